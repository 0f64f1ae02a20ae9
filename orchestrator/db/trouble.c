#include "orchestrator/db/trouble.h"

#include <stddef.h>

#include "base/cleanup.h"
#include "orchestrator/db/db.h"

enum { LASTS_MS = 15000 };

#define WRONG_SCHEMA_                                                                                        \
    "the database has not the schema of this version; the operator has to run berthd migrate"

/* Codes before the classes that they are of. */
static const struct trouble table[] = {
    {"53100", "full", "the database has no room on its disk", 10, LASTS_MS},
    {"53300", "busy", "the database has no connection free", 5, 0},
    {"53", "busy", "the database has run out of memory or of another resource", 5, 0},
    {"57014", "busy", "the database did not do it in time: a lock or too much work holds it up", 5, 0},
    {"55P03", "busy", "somebody has locked what is needed in the database", 2, 0},
    {"40", "busy", "the same jobs were changed by others at this very moment", 1, 0},
    {"58", "error", "the database cannot read or write its files", 10, LASTS_MS},
    {"3F000", "missing", WRONG_SCHEMA_, 10, 0},
    {"42P01", "missing", WRONG_SCHEMA_, 10, 0},
    {"42703", "missing", WRONG_SCHEMA_, 10, 0},
    {"42883", "missing", WRONG_SCHEMA_, 10, 0},
};

const struct trouble *trouble_find(const struct err *err) {
    for (size_t i = 0; err->kind == ERR_DB && i < ARRAY_LEN(table); i++)
        if (db_sqlstate_is(err->code, table[i].sqlstate))
            return &table[i];
    return NULL;
}
