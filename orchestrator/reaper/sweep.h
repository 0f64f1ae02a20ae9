/*
 * sweep - one comparison of the engine and the state directory with the database, and the removal of what
 * belongs to nothing. As the last backstop, what runs far behind its deadline is killed: neither its runner
 * nor the parent has ended it.
 *
 * Order matters. Engine and control groups are listed first, the directories and the database are read after
 * it: whatever was made meanwhile is not on the list, and whatever is on the list had its row and its
 * directory before. Then the engine is listed again, and only what is still there counts: what a runner has
 * just cleaned up is no orphan. (A directory goes after its attempt's containers, so one whose directory was
 * missing and which is there all the same has been left behind.) Nothing is removed before all is known; a
 * sweep that is killed in the middle is simply done again.
 */
#ifndef BERTH_REAPER_SWEEP_H
#define BERTH_REAPER_SWEEP_H

#include <stdbool.h>

#include "base/ctx.h"
#include "orchestrator/db/db.h"
#include "orchestrator/reaper/plan.h"
#include "runner/docker/engine.h"

enum {
    SWEEP_LIST_TIMEOUT_MS = 30000,
    SWEEP_REMOVE_TIMEOUT_MS = 60000,
};

struct sweep_told {
    /* For each orphan, and each container that was killed for being overdue; error is NULL when it was
     * removed (or would be). */
    void (*orphan)(const char *kind, const char *name, const char *why, const struct err *error);
    void (*put_off)(const char *what, const struct err *why); /* "images" or "logs": left for the next time */
};

struct sweep {
    struct engine *engine;
    struct db *db;
    const char *cluster, *instance;
    const char *state_dir;
    int state_fd, attempts_fd; /* that directory, and attempts/ below it */
    const char *group;         /* the control group over all jobs; NULL or "": there is none */
    int64_t images_high_bytes; /* 0: no image goes; above it, some go until there are no more than low */
    int64_t images_low_bytes;
    int64_t log_retention_ms; /* 0: logs stay for ever */
    bool keep_logs;           /* partitions are looked after with this sweep */
    bool dry_run;
    bool no_probe; /* as in struct judge_view */
    struct sweep_told told;
};

/* How many orphans there were; -1 when one side could not be seen whole: then nothing was touched. Images and
 * logs come behind and are no reason to leave orphans where they are. */
int sweep_run(const struct sweep *sweep, const struct ctx *ctx, struct err *err);

#endif
