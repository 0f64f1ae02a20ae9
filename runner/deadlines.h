/*
 * deadlines - when a running job's time is over: its run deadline, which can be moved, and its idle deadline,
 * which its output moves.
 *
 * Nothing here waits: deadlines_next_ns() goes into the context of the wait; when that ends, look again, and
 * only deadlines_passed() says which one it was, if any. Times are CLOCK_BOOTTIME.
 */
#ifndef BERTH_RUNNER_DEADLINES_H
#define BERTH_RUNNER_DEADLINES_H

#include <stdint.h>

#include "proto/spec.h"
#include "proto/status.h"

struct deadlines {
    int64_t started_ns;
    int64_t run_ms;      /* as extended; 0: none */
    int64_t idle_ms;     /* 0: none */
    int64_t output_ns;   /* of the last output, as far as is known; the start where there is none */
    int64_t seen_ns;     /* when the spool was looked at last */
    int64_t spool_bytes; /* how long it was then */
};

void deadlines_begin(struct deadlines *d, const struct spec *spec, int64_t started_ns);
/* By so much the run deadline lies behind that of the spec, in all. */
void deadlines_extend(struct deadlines *d, const struct spec *spec, int64_t extended_ms);
/* What was seen of the spool at now_ns: its length, and how long ago it was changed. That counts as output
 * only where it has become longer: the scribe takes room back from it meanwhile. */
void deadlines_see(struct deadlines *d, int64_t bytes, int64_t changed_ago_ns, int64_t now_ns);

int64_t deadlines_next_ns(const struct deadlines *d); /* or CTX_NEVER */
/* REASON_RUN_DEADLINE, REASON_IDLE_DEADLINE or REASON_NONE. */
enum reason deadlines_passed(const struct deadlines *d, int64_t now_ns);

/* Looks at the spool of the attempt's directory now. One that cannot be looked at has no output. */
void deadlines_look(struct deadlines *d, int dir_fd);

#endif
