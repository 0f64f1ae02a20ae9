/*
 * restart - when a child that has died is started again. Pure.
 *
 * The rule is postfix's: one that dies before it was ready shows a fault that will still be there in a
 * moment, so it waits, twice as long each time and with jitter; one that has worked is started at once. Work
 * counts only from RESTART_WORKED_MS on, or a child that says READY and falls over would take the machine
 * with it.
 */
#ifndef BERTH_SUPERVISOR_RESTART_H
#define BERTH_SUPERVISOR_RESTART_H

#include <stdbool.h>
#include <stdint.h>

enum {
    RESTART_MIN_MS = 100,
    RESTART_MAX_MS = 10000,
    RESTART_WORKED_MS = 1000,
    RESTART_FAULTS_MAX = 20, /* of a runner: then its attempt ends, if there is nothing of it on the engine */
};

enum restart_what {
    RESTART_DONE,  /* it has done its work */
    RESTART_AGAIN, /* after the delay, which may be 0 */
    RESTART_NEVER, /* it said that starting it again would not help */
};

struct restart {
    unsigned failures; /* in a row */
    unsigned faults;   /* of these, for which no dependency that was away is to blame */
};

struct death {
    bool was_ready;
    bool exited; /* else killed by a signal */
    int status;  /* exit status or signal */
    int64_t lived_ms;
    bool may_end; /* a runner: exit 0 means done; else nothing ends a child for good but CHILD_EXIT_NEVER */
};

/* random: any number; spreads the delay over the upper half of its range. */
enum restart_what restart_decide(struct restart *r, const struct death *death, uint32_t random,
                                 int64_t *ret_delay_ms);

#endif
