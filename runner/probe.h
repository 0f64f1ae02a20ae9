/*
 * probe - `berth-runner --probe`: does the engine answer, and does it see the state directory at the same
 * path?
 *
 * A container made from nothing but berth-init copies a random text from one file of the state directory to
 * another; what arrives there is compared. Nothing is left but the image (a megabyte, kept for the next
 * start).
 */
#ifndef BERTH_RUNNER_PROBE_H
#define BERTH_RUNNER_PROBE_H

#include <stdbool.h>

#include "base/ctx.h"
#include "runner/docker/engine.h"

enum { PROBE_MAX_MS = 60 * 1000, PROBE_DETAIL_MAX = 1024 };

struct probe {
    const char *state_dir, *init_path, *instance, *cluster;
};

/* Whether all is well; detail: a sentence that says so, or what is wrong and the remedy. */
bool probe_run(const struct probe *probe, struct engine *engine, const struct ctx *ctx,
               char detail[PROBE_DETAIL_MAX]);

#endif
