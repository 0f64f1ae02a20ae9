/* The gateway alone, as `berthd gateway` runs it, for tests/integration/gateway_*_test.py; with an argument,
 * the connection string of a database, it brings that database's schema up first and ends. */
#include <stdio.h>

#include "orchestrator/db/migrate.h"
#include "orchestrator/gateway/gateway.h"

int main(int argc, char **argv) {
    if (argc == 1)
        return gateway_main();
    struct ctx ctx = ctx_root(NULL);
    struct db *db = db_new(argv[1], "test");
    struct err err;
    int r = db_connect(db, &ctx, &err) < 0 || migrate_run(db, &ctx, &err) < 0;
    if (r)
        fprintf(stderr, "%s\n", err.text);
    db_free(db);
    return r;
}
