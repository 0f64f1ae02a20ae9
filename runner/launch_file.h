/*
 * launch_file - the bytes of an attempt's `launch` file (proto/launch.h), written and looked at. Pure.
 */
#ifndef BERTH_RUNNER_LAUNCH_FILE_H
#define BERTH_RUNNER_LAUNCH_FILE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "proto/attempt.h"
#include "runner/argv.h"

/* Adds the file to `out`, whose max must be at least LAUNCH_BYTES_MAX. deadline_us: wall clock, for
 * BERTH_DEADLINE; 0: none. Berth's own variables win over the job's of the same name. ERR_LIMIT: the launch
 * file's bounds. */
int launch_file_build(const struct attempt *attempt, const struct argv *argv, int64_t deadline_us,
                      struct buf *out, struct err *err);

/* Reads back what a launch file's beginning says is to be executed, cut to what fits; "" when there is none.
 */
void launch_file_program(const char *bytes, size_t len, char *ret_program, size_t max);

#endif
