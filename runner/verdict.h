/*
 * verdict - how an attempt ended, decided from all that is known about it. Pure.
 *
 * Three witnesses: berth-init's END record (the true wait status and the kernel's counters), the engine's
 * inspect and memory of events, and what the runner itself did. Exit status 137 alone says nothing: a kill by
 * signal 9 and a lack of memory rest on what init saw and on the counters. contract.md, "Status and reason".
 */
#ifndef BERTH_RUNNER_VERDICT_H
#define BERTH_RUNNER_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "proto/journal.h"
#include "proto/spec.h"
#include "proto/spool.h"
#include "proto/status.h"

enum { VERDICT_PROGRAM_MAX = 256, VERDICT_TEXT_MAX = 960 }; /* a longer one is cut */

struct evidence {
    const struct spec *spec; /* for figures in messages; required */

    /* Preparation: what went wrong before the command could run (an `errored` reason), or REASON_NONE. */
    enum reason fault;
    char fault_text[VERDICT_TEXT_MAX]; /* a sentence for people, or the engine's words */

    /* Why the runner ended it: a `timed_out` or `canceled` reason, or REASON_NONE. */
    enum reason stop;
    bool stop_missed;                 /* the command had ended by itself before the stop reached it */
    char stop_text[VERDICT_TEXT_MAX]; /* SERVICE_FAILED: which service, how it ended, its last lines, as
                                       * sentences
                                       */
    bool killed; /* it did not end within the grace, or was not given any, and got SIGKILL */
    bool forced; /* whoever wanted the stop wanted no grace */

    bool started;          /* the engine confirmed the container's start */
    bool host_restarted;   /* the machine's boot id is not the one of the start */
    bool engine_restarted; /* the engine ended while the container ran */
    bool paused;           /* someone else had paused it when it was to be stopped */
    int64_t extended_ms;   /* by so much the run deadline was moved */
    struct usage others; /* of the job's other containers, summed; all -1 where there are none. Without an END
                            record those of the whole attempt, where a control group has counted them */

    bool end_known; /* init's END record is there: */
    struct spool_end end;
    char program[VERDICT_PROGRAM_MAX]; /* what was to be executed; "": not known */

    bool container_missing; /* the engine does not know the container any more */
    int kill_signal;        /* the engine remembers that someone else had this sent to it; 0: none */
    bool inspected;         /* the engine's words about the container that has ended: */
    int engine_exit_code;
    bool engine_oom_killed; /* by its inspect or by its `oom` event */
    char engine_error[256]; /* "" when there is none */
};

/* Which reason an answer >= 400 of the engine to "create" or "start" is. It says 500 also where the job is at
 * fault, so its words are looked at: REASON_SPEC_REFUSED, or REASON_INTERNAL where a repeat may help. */
enum reason verdict_refusal(int http_status, const char *text);

void verdict_decide(const struct evidence *evidence, struct verdict *ret_verdict);

#endif
