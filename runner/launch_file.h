/*
 * launch_file - the bytes of a `launch` file (proto/launch.h), of the main container or of a service, written
 * and looked at. Pure.
 */
#ifndef BERTH_RUNNER_LAUNCH_FILE_H
#define BERTH_RUNNER_LAUNCH_FILE_H

#include <jansson.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "proto/attempt.h"
#include "runner/argv.h"
#include "runner/mounts.h"

/* Borrows everything. */
struct launch_plan {
    const struct attempt *attempt; /* whose BERTH_* variables they are */
    const struct argv *argv;
    const struct spec_pairs *env;
    bool has_input;
    int64_t deadline_us;            /* wall clock, for BERTH_DEADLINE; 0: none */
    const struct spec_ready *ready; /* of a service; NULL: the main container */
    const json_t *health;           /* the image's HEALTHCHECK (image_info.health); NULL, []: it has none */
    const struct mounts *mounts;    /* whose binds init compares; NULL: none */
};

/* Adds the file to `out`, whose max must be at least LAUNCH_BYTES_MAX. Berth's own variables win over the
 * job's of the same name. ERR_LIMIT: the launch file's bounds; ERR_INVALID: readiness is to be the image's
 * HEALTHCHECK, and it has none. Both texts are for people. */
int launch_file_build(const struct launch_plan *plan, struct buf *out, struct err *err);

/* Reads back what a launch file's beginning says is to be executed, cut to what fits; "" when there is none.
 */
void launch_file_program(const char *bytes, size_t len, char *ret_program, size_t max);

#endif
