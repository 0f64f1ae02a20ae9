#include "orchestrator/db/trouble.h"

#include <stddef.h>

#include "base/cleanup.h"
#include "orchestrator/db/db.h"

#define WRONG_SCHEMA_                                                                                        \
    "the database has not the schema of this version; the operator has to run berthd migrate"

/* Codes before the classes that they are of. */
static const struct trouble table[] = {
    {"53100", "full", "the database has no room on its disk", 10},
    {"53300", "busy", "the database has no connection free", 5},
    {"53", "busy", "the database has run out of memory or of another resource", 5},
    {"57014", "busy", "the database did not do it in time: a lock or too much work holds it up", 5},
    {"55P03", "busy", "somebody has locked what is needed in the database", 2},
    {"40", "busy", "the same jobs were changed by others at this very moment", 1},
    {"58", "error", "the database cannot read or write its files", 10},
    {"3F000", "missing", WRONG_SCHEMA_, 10},
    {"42P01", "missing", WRONG_SCHEMA_, 10},
    {"42703", "missing", WRONG_SCHEMA_, 10},
    {"42883", "missing", WRONG_SCHEMA_, 10},
};

const struct trouble *trouble_find(const struct err *err) {
    for (size_t i = 0; err->kind == ERR_DB && i < ARRAY_LEN(table); i++)
        if (db_sqlstate_is(err->code, table[i].sqlstate))
            return &table[i];
    return NULL;
}
