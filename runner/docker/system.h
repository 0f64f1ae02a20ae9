/*
 * system - what the engine and its host can do.
 */
#ifndef BERTH_RUNNER_DOCKER_SYSTEM_H
#define BERTH_RUNNER_DOCKER_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

#include "runner/docker/engine.h"

struct system_info {
    char id[128];            /* the engine's own; the same after a restart */
    char server_version[64]; /* "20.10.24" */
    char cgroup_driver[32];  /* "cgroupfs", "systemd", "none" */
    int cgroup_version;      /* 1 or 2 */
    int ncpu;
    int64_t mem_total_bytes;
    bool live_restore; /* containers survive the engine */
};

/* Errors: see engine.h. */
int system_info(struct engine *engine, const struct ctx *ctx, struct system_info *ret_info, struct err *err);

#endif
