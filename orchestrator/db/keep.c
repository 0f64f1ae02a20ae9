#include "orchestrator/db/keep.h"

#include <stdio.h>

#define RETENTION_ "$1::bigint * interval '1 millisecond'"

enum { DROP_STEPS_MAX = 10000 };

int keep_make_days(struct db *db, const struct ctx *ctx, struct err *err) {
    if (DB_EXEC(db, ctx, "select berth.make_log_days($1::integer)", NULL, err, DB_INT(KEEP_DAYS_AHEAD)) < 0)
        return err_wrap(err, "make partitions for the logs of the next days");
    return 0;
}

int keep_expired(struct db *db, const struct ctx *ctx, int64_t retention_ms, struct keep_days *ret,
                 struct err *err) {
    AUTO_RESULT PGresult *r = NULL;
    if (DB_EXEC(db, ctx, "select berth.expired_log_days(" RETENTION_ ") limit $2", &r, err,
                DB_INT(retention_ms), DB_INT(KEEP_DAYS_MAX)) < 0)
        return err_wrap(err, "list the days whose logs have expired");
    struct keep_days days = {.count = (size_t)PQntuples(r)};
    for (size_t i = 0; i < days.count; i++)
        snprintf(days.items[i], KEEP_DAY_TEXT_MAX, "%s", db_get_text(r, (int)i, 0));
    *ret = days;
    return 0;
}

/* A statement, and so a transaction, for each step. */
int keep_drop_day(struct db *db, const struct ctx *ctx, const char *day, int64_t retention_ms,
                  struct err *err) {
    for (int i = 0; i < DROP_STEPS_MAX; i++) {
        AUTO_RESULT PGresult *r = NULL;
        if (DB_EXEC(db, ctx, "select berth.drop_log_day($2::date, " RETENTION_ ")", &r, err,
                    DB_INT(retention_ms), DB_TEXT(day)) < 0)
            return err_wrap(err, "remove the logs of %s", day);
        if (db_is_null(r, 0, 0) || db_get_bool(r, 0, 0))
            return 0;
    }
    return err_set(err, ERR_LIMIT, 0, "the logs of %s are too many for one sweep", day);
}
