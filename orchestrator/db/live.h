/*
 * live - what the reaper asks the database: which attempts of an instance have not ended yet.
 */
#ifndef BERTH_DB_LIVE_H
#define BERTH_DB_LIVE_H

#include "orchestrator/db/db.h"
#include "proto/attempt.h"

enum {
    LIVE_ATTEMPTS_MAX = 100000,
    /* So long behind its run deadline (moved ones as they were moved) and its grace an attempt is overdue:
     * neither its runner nor the parent has ended it. */
    LIVE_OVERDUE_MS = 300000,
};

struct live_attempt {
    char name[ATTEMPT_NAME_MAX]; /* of its directory (attempt_dir_name) */
    bool overdue;
};
/* Sorted by strcmp of the names. */
struct live_attempts {
    struct live_attempt *items;
    size_t count;
};

/* ERR_LIMIT beyond LIVE_ATTEMPTS_MAX: an answer that is not whole must not be taken for one. */
int live_list(struct db *db, const struct ctx *ctx, const char *instance, struct live_attempts *ret,
              struct err *err);
bool live_has(const struct live_attempts *live, const char *name);
bool live_is_overdue(const struct live_attempts *live,
                     const char *name); /* false for one that is not there */
void live_done(struct live_attempts *live);

#define AUTO_LIVE CLEANUP(live_done)

#endif
