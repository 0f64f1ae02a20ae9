/*
 * work - what the role and the command share: the settings, both sides, one sweep. Private to this folder.
 */
#ifndef BERTH_REAPER_WORK_H
#define BERTH_REAPER_WORK_H

#include "orchestrator/reaper/sweep.h"
#include "orchestrator/settings.h"
#include "proto/attempt.h"

struct work {
    struct settings settings;
    char *instance;
    char *cgroup; /* over all jobs; NULL or "": there is none */
    char cluster[ATTEMPT_ID_MAX];
    struct engine *engine;
    struct db *db;
    struct ctx ctx;
    bool child; /* of berthd, which starts it when its probe has ended, and makes no other */
};

/* Engine and database, without any input or output yet. */
int work_open(struct work *work, struct err *err);
/* keep_logs: logs that have expired are removed with this one. */
int work_sweep(struct work *work, bool dry_run, bool keep_logs, const struct sweep_told *told,
               struct err *err);
void work_done(struct work *work);
#define AUTO_WORK CLEANUP(work_done)

#endif
