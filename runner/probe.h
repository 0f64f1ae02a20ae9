/*
 * probe - `berth-runner --probe`: does the engine answer, and does it see the state directory at the same
 * path?
 * And what all jobs share on its host is set up.
 *
 * A container made from nothing but berth-init copies a random text from one file of the state directory to
 * another; what arrives there is compared. Nothing is left but the image (a megabyte, kept for the next
 * start).
 */
#ifndef BERTH_RUNNER_PROBE_H
#define BERTH_RUNNER_PROBE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/ctx.h"
#include "runner/docker/engine.h"
#include "runner/limits/limits.h"

enum { PROBE_MAX_MS = 60 * 1000, PROBE_DETAIL_MAX = 1024, PROBE_WARNING_MAX = 1536 };

struct probe {
    const char *state_dir, *init_path, *instance, *cluster;
    /* What probe_host() sets up. */
    bool cgroups;
    bool egress_filter, egress_open;       /* set the rules; remove them; neither: leave them */
    int64_t memory_bytes, jobs_cpus_milli; /* of all jobs together; 0: none */
    const char *egress_allow;              /* may be NULL */
};

/* The fields below `cluster`, from the parent's settings, which are texts; borrows. What is not there is off.
 */
void probe_take_settings(struct probe *probe, const json_t *settings);

/* Whether all is well; detail: a sentence that says so, or what is wrong and the remedy. */
bool probe_run(const struct probe *probe, struct engine *engine, const struct ctx *ctx,
               char detail[PROBE_DETAIL_MAX]);

/* What all jobs share on the host: the control group over them (the result is what limits_make() wants, "":
 * none) and the rules that keep them from the host. warning: a sentence for each of these that the host does
 * not allow, with the remedy; "": nothing. To be called when probe_run() has said that all is well. */
void probe_host(const struct probe *probe, struct engine *engine, const struct ctx *ctx,
                char group[LIMITS_GROUP_MAX], char warning[PROBE_WARNING_MAX]);

#endif
