/*
 * sweep - one comparison of the engine with the attempts' directories and the database, and the removal of
 * what belongs to nothing: containers, networks, control groups. As the last backstop, what runs far behind
 * its deadline is killed: neither its runner nor the parent has ended it.
 *
 * Order matters: engine and control groups are listed first, the directories and the database are read after
 * it. So whatever was made meanwhile is not on the list, and whatever is on the list had its directory
 * before.
 */
#ifndef BERTH_REAPER_SWEEP_H
#define BERTH_REAPER_SWEEP_H

#include <stdbool.h>

#include "base/ctx.h"
#include "orchestrator/db/db.h"
#include "runner/docker/engine.h"

enum {
    SWEEP_LIST_TIMEOUT_MS = 30000,
    SWEEP_REMOVE_TIMEOUT_MS = 60000,
};

struct sweep {
    struct engine *engine;
    struct db *db;
    const char *cluster, *instance;
    int attempts_fd;   /* <state>/attempts; -1: there is none yet */
    const char *group; /* the control group over all jobs; NULL or "": there is none */
    bool dry_run;
    /* Told for each orphan, and each container that was killed for being overdue; error is NULL when it was
     * removed (or would be). */
    void (*on_orphan)(const char *kind, const char *name, const char *why, const struct err *error);
};

/* How many of these there were; -1 when one side could not be seen whole: then nothing was touched. */
int sweep_run(const struct sweep *sweep, const struct ctx *ctx, struct err *err);

#endif
