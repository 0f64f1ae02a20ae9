/*
 * live - what the reaper asks the database: which attempts of an instance have not ended yet, which instances
 * are dead, which jobs are over, which images are wanted.
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
    LIVE_DEAD_MAX = 10000,
    /* So long behind lease and leave of absence an orchestrator counts as dead, if none of its attempts is
     * left. Long enough that a database which was away makes nobody dead. */
    LIVE_DEAD_AFTER_MS = 3600000,
    LIVE_WANTED_MAX = 4096, /* different images of unfinished jobs */
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

/* Texts, sorted by strcmp. */
struct live_names {
    char **items;
    size_t count;
};
bool live_names_have(const struct live_names *names, const char *name);
void live_names_done(struct live_names *names);
#define AUTO_LIVE_NAMES CLEANUP(live_names_done)

/* Orchestrators that have not been heard of for LIVE_DEAD_AFTER_MS behind their lease and leave of absence,
 * and have no attempt that has not ended. Never `instance` itself. */
int live_dead(struct db *db, const struct ctx *ctx, const char *instance, struct live_names *ret,
              struct err *err);
/* Which of these jobs (uuids, as PostgreSQL reads an array: {…,…}) have not ended. */
int live_unfinished(struct db *db, const struct ctx *ctx, const char *jobs, struct live_names *ret,
                    struct err *err);
/* Every image that an unfinished job names, for itself or a service. ERR_LIMIT beyond LIVE_WANTED_MAX. */
int live_wanted(struct db *db, const struct ctx *ctx, struct live_names *ret, struct err *err);

#define AUTO_LIVE CLEANUP(live_done)

#endif
