/*
 * patience - how long a job waits before its start for an engine that is away, or for a host that is short of
 * memory, descriptors or room: JOB_AWAY_MAX_MS in one piece. Every step forward shows that the engine was
 * there in between, and the time begins anew; a job has so few steps that this comes to an end.
 */
#ifndef BERTH_RUNNER_PATIENCE_H
#define BERTH_RUNNER_PATIENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "runner/job.h"

struct patience {
    size_t progress; /* at the last try */
    int64_t end_ns;  /* CLOCK_BOOTTIME; 0: the engine has not been away since */
};

/* The engine was away; `progress` grows with each step that was done. False: it has been for too long. */
static inline bool patience_lasts(struct patience *p, size_t progress, int64_t now_ns) {
    if (!p->end_ns || progress != p->progress)
        p->end_ns = now_ns + JOB_AWAY_MAX_MS * NS_PER_MS;
    p->progress = progress;
    return now_ns < p->end_ns;
}

#endif
