#include "orchestrator/db/live.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int compare(const void *a, const void *b) {
    return strcmp(a, b);
}

int live_list(struct db *db, const struct ctx *ctx, const char *instance, struct live_attempts *ret,
              struct err *err) {
    AUTO_RESULT PGresult *rows = NULL;
    if (DB_EXEC(db, ctx,
                "select job_id, number from berth.attempts where orchestrator = $1 and finished_at is null "
                "limit $2",
                &rows, err, DB_TEXT(instance), DB_INT(LIVE_ATTEMPTS_MAX + 1)) < 0)
        return err_wrap(err, "list the attempts of %s that have not ended", instance);
    int n = PQntuples(rows);
    if (n > LIVE_ATTEMPTS_MAX)
        return err_set(err, ERR_LIMIT, 0, "more than %d attempts of %s have not ended", LIVE_ATTEMPTS_MAX,
                       instance);
    struct live_attempts live = {.names = mem_alloc((size_t)n * sizeof *live.names), .count = (size_t)n};
    for (int i = 0; i < n; i++)
        attempt_dir_name(db_get_text(rows, i, 0), (int)db_get_int(rows, i, 1), live.names[i]);
    qsort(live.names, live.count, sizeof *live.names, compare);
    *ret = live;
    return 0;
}

bool live_has(const struct live_attempts *live, const char *name) {
    return live->count && bsearch(name, live->names, live->count, sizeof *live->names, compare);
}

void live_done(struct live_attempts *live) {
    free(live->names);
    *live = (struct live_attempts){0};
}
