/*
 * live - what the reaper asks the database: which attempts of an instance have not ended yet.
 */
#ifndef BERTH_DB_LIVE_H
#define BERTH_DB_LIVE_H

#include "orchestrator/db/db.h"
#include "proto/attempt.h"

enum { LIVE_ATTEMPTS_MAX = 100000 };

/* Directory names (attempt_dir_name), sorted by strcmp. */
struct live_attempts {
    char (*names)[ATTEMPT_NAME_MAX];
    size_t count;
};

/* ERR_LIMIT beyond LIVE_ATTEMPTS_MAX: an answer that is not whole must not be taken for one. */
int live_list(struct db *db, const struct ctx *ctx, const char *instance, struct live_attempts *ret,
              struct err *err);
bool live_has(const struct live_attempts *live, const char *name);
void live_done(struct live_attempts *live);

#define AUTO_LIVE CLEANUP(live_done)

#endif
