/*
 * byhand - `berth-runner --job FILE`: one job against the local engine, without berthd and without a
 * database.
 */
#ifndef BERTH_RUNNER_BYHAND_H
#define BERTH_RUNNER_BYHAND_H

#include "runner/docker/engine.h"
#include "runner/job.h"

struct byhand {
    const char *job;       /* path of the job's JSON, or "-" */
    const char *state_dir; /* absolute; holds the directory "byhand" */
    const char *init_path;
    struct engine_settings engine;
    struct job_place place; /* the operator's part of it: pool, bind roots, credentials */
};

enum {
    BYHAND_EXIT_USAGE = 2,
    BYHAND_EXIT_TIMED_OUT = 124,
    BYHAND_EXIT_ERRORED = 125,
    BYHAND_EXIT_CANCELED = 130
};

/* Prints the job's output to stdout and stderr and, unless it succeeded, why on stderr. Returns the exit
 * status: the job's own when it ran, else as above (contract.md, section 6). SIGINT or SIGTERM cancel, a
 * second one kills. */
int byhand_run(const struct byhand *byhand);

#endif
