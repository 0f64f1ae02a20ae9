/*
 * keep - for how long logs are kept: partitions of berth.log_chunks, one a day, made ahead and dropped whole.
 *
 * A log lies in the partition of the day (UTC) on which its attempt was claimed. A day goes when every
 * attempt that was claimed on it ended longer ago than the retention; their rows say so from then on
 * (log_expired, log_complete false). Rows that came when a day had no partition lie in the default one and go
 * likewise.
 */
#ifndef BERTH_DB_KEEP_H
#define BERTH_DB_KEEP_H

#include "orchestrator/db/db.h"

enum {
    KEEP_DAYS_AHEAD = 3, /* partitions that are made before they are needed */
    KEEP_DAYS_MAX = 64,  /* days that go in one sweep */
    KEEP_DAY_TEXT_MAX = 12,
};

/* Makes what partitions are missing. ERR_DB 55P03: others were at work on the table, try again later. */
int keep_make_days(struct db *db, const struct ctx *ctx, struct err *err);

struct keep_days {
    char items[KEEP_DAYS_MAX][KEEP_DAY_TEXT_MAX]; /* "2026-11-27" */
    size_t count;
};
int keep_expired(struct db *db, const struct ctx *ctx, int64_t retention_ms, struct keep_days *ret,
                 struct err *err);
/* Takes the logs of one such day away. */
int keep_drop_day(struct db *db, const struct ctx *ctx, const char *day, int64_t retention_ms,
                  struct err *err);

#endif
