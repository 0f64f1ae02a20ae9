/*
 * orders - the wish that the job should end, from wherever it comes: the parent's socket, a signal by hand.
 *
 * The first order cancels `live`, the context of all work; one with force also cancels `patience`, the
 * context of the grace that a job is given. Work that must be done whatever was ordered uses orders_fresh().
 */
#ifndef BERTH_RUNNER_ORDERS_H
#define BERTH_RUNNER_ORDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "proto/status.h"

struct orders {
    struct ctx_watch watch;
    struct ctx live, patience;
    struct ctx calm; /* below live; ends also when there is something to look at, see orders_stir() */
    bool may_begin;  /* the parent's license */
    bool canceled, force;
    enum reason reason; /* of the first order */
    int64_t extend_ms;  /* by so much the run deadline is to lie behind the spec's, in all; 0: no such
                           order. One that is new stirs */
    struct ctx_watch first, second; /* what watch serves, where it has to serve two; private */
    int both_fd;
};

/* *orders must not move any more; watch: what is served while waiting. */
void orders_init(struct orders *orders, struct ctx_watch watch);
/* Listens to CHILD_FD's messages. End of file there ends the process at once: the parent is gone, the
 * container and the directory stay as they are for the next runner. */
void orders_init_child(struct orders *orders, int control_fd);
void orders_cancel(struct orders *orders, enum reason reason, bool force);

/* There is something to look at for whoever waits under `calm`: a service's spool was closed, a deadline was
 * moved. Who comes back from such a wait calls orders_calm(), looks, and waits again. */
void orders_stir(struct orders *orders);
void orders_calm(struct orders *orders);
/* Serves a second descriptor, too, in every wait there is; until orders_watch_end(). */
int orders_watch_also(struct orders *orders, struct ctx_watch second, struct err *err);
void orders_watch_end(struct orders *orders);

/* A context that no order cancels, ending ms from now. */
struct ctx orders_fresh(struct orders *orders, int64_t ms);
/* Waits (a back-off) and serves the orders meanwhile; ends early when *until ends (NULL: nothing ends it
 * early). */
void orders_pause(struct orders *orders, const struct ctx *until, int64_t ms);

#endif
