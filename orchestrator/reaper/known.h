/*
 * known - what the directories and the database say of the things that were seen on the engine. To be read
 * behind sides_look(): whatever is on the engine's list had its row and its directory before.
 */
#ifndef BERTH_REAPER_KNOWN_H
#define BERTH_REAPER_KNOWN_H

#include "orchestrator/db/live.h"
#include "orchestrator/reaper/judge.h"
#include "orchestrator/reaper/sides.h"

struct known {
    int attempts_fd; /* borrowed; directories are looked for when they are asked about */
    struct live_attempts attempts;
    struct live_names dead;
    struct live_names unfinished; /* of the jobs whose volumes were seen */
};

/* -1: the database did not answer whole, or it is not that of the cluster any more. */
int known_read(struct db *db, const struct ctx *ctx, const char *cluster, const char *instance,
               int attempts_fd, const struct sides *sides, struct known *ret, struct err *err);
/* Borrows `known`. */
struct judge_view known_view(const struct known *known, const char *instance, int64_t began_us);
bool known_is_live(const void *known, const char *attempt);
void known_done(struct known *known);
#define AUTO_KNOWN CLEANUP(known_done)

#endif
