/*
 * fault - places at which a test kills the process, to see what becomes of all the rest.
 *
 * Compiled in only with BERTH_FAULTS (CMake; the presets dev and asan have it), else FAULT_PASS is nothing.
 * The names are those of proto/fault_points.h. What is wanted:
 *
 *   scribe.committed:2                   SIGKILL when this process passes the point for the second time
 *   scribe.committed:2,parent.left:1@DIR of all processes that count in DIR together the one that passes the
 *                                        point as the second (as the first) dies, and no other ever
 *
 * DIR/<point> has a line with the process id for each pass, so the N-th line tells who died.
 */
#ifndef BERTH_BASE_FAULT_H
#define BERTH_BASE_FAULT_H

#include <stddef.h>

#include "base/err.h"

enum { FAULT_ARMED_MAX = 256, FAULT_NUMBER_MAX = 1000000, FAULT_LINE_BYTES = 11 /* "1234567890\n" */ };

struct fault_point {
    const char *name, *sentence;
};

#ifdef BERTH_FAULTS
/* Takes over what is wanted; NULL: nothing. ERR_USAGE, also for a point that is not in the table, which has
 * to stay. */
int fault_arm(const char *wanted, const struct fault_point *table, size_t count, struct err *err);
/* Keeps errno. A process that may not write to DIR does not count. */
void fault_pass(const char *name);
#define FAULT_PASS(name) fault_pass(name)
#else
#define FAULT_PASS(name) ((void)sizeof(name))
#endif

#endif
