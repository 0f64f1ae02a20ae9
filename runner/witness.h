/*
 * witness - what the engine remembers about the end of a container that Berth has not ended.
 *
 * It keeps its last WITNESS_MEMORY events, all kinds together, and none from before its own start (moby:
 * daemon/events/events.go). So its memory tells who sent a signal, whether the kernel took a process for lack
 * of memory, and, by what is missing in it, whether the engine itself was restarted while the container ran.
 */
#ifndef BERTH_RUNNER_WITNESS_H
#define BERTH_RUNNER_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "runner/docker/engine.h"
#include "runner/docker/events.h"
#include "runner/orders.h"
#include "runner/verdict.h"

enum {
    WITNESS_MEMORY = 256,        /* events that an engine keeps */
    WITNESS_EVENTS_MAX = 4096,   /* more than these are not looked at, should an engine keep more */
    WITNESS_AWAY_MAX_MS = 60000, /* so long is an engine waited for that is away */
    WITNESS_LATE_MS = 1000,      /* so long after the end may the `oom` event still come */
    WITNESS_CLOCK_MS = 300000,   /* so far may the clock have been set back since the container was made */
};

/* --- pure --- */

/* Begins zeroed. */
struct witness {
    unsigned events;   /* of any kind, of anything */
    bool has_begin;    /* the container's creation or start is among them */
    bool oom;          /* the kernel killed a process of it for memory */
    int kill_signal;   /* the last one that the engine was asked to send it; 0: none */
    bool has_overflow; /* not all of them were looked at */
};
void witness_take(struct witness *witness, const struct event *event, const char *container);

enum witness_engine {
    WITNESS_UNSURE, /* its memory is full: it may have forgotten the container's begin as well */
    WITNESS_SAME,   /* it has run since the container was made */
    WITNESS_OTHER,  /* it has room for more, and does not know of the begin: it was started after that */
};
enum witness_engine witness_engine(const struct witness *witness);

/* Whether there is anything that only the engine's memory can tell. */
bool witness_needed(const struct evidence *evidence);
/* Puts what was learned into the evidence. lost_touch: the engine did not answer, or broke off, while the
 * container ran or just after; live_restore: what it runs outlives it. */
void witness_tell(const struct witness *witness, bool lost_touch, bool live_restore,
                  struct evidence *evidence);

/* --- with the engine --- */

struct witness_case {
    struct engine *engine;
    struct orders *orders;
    const char *container; /* its name */
    int64_t since_us;      /* wall clock, a moment before it was started */
    bool lost_touch;
};
/* Asks, where it is needed, and puts what was learned into the evidence. Waits for an engine that is away,
 * for a bounded time. */
void witness_gather(const struct witness_case *what, struct evidence *evidence);

#endif
