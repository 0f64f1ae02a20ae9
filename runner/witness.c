#include "runner/witness.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "runner/docker/container.h"
#include "runner/docker/system.h"
#include "runner/job.h"

enum { EXIT_KILLED = 137, EXIT_LOST = 255 };

/* --- pure --- */

static bool is_of(const struct event *event, const char *container) {
    const char *name = container_label(event->attributes, "name");
    return strcmp(event->type, "container") == 0 && name && strcmp(name, container) == 0;
}

void witness_take(struct witness *witness, const struct event *event, const char *container) {
    witness->events++;
    if (!is_of(event, container))
        return;
    const char *action = event->action;
    const char *signal = container_label(event->attributes, "signal");
    witness->has_begin |= strcmp(action, "create") == 0 || strcmp(action, "start") == 0;
    witness->oom |= strcmp(action, "oom") == 0;
    if (strcmp(action, "kill") == 0 && signal)
        witness->kill_signal = (int)strtol(signal, NULL, 10);
}

enum witness_engine witness_engine(const struct witness *witness) {
    if (witness->has_begin)
        return WITNESS_SAME;
    return witness->events < WITNESS_MEMORY && !witness->has_overflow ? WITNESS_OTHER : WITNESS_UNSURE;
}

bool witness_needed(const struct evidence *e) {
    if (!e->started || e->host_restarted || e->fault != REASON_NONE)
        return false;
    if (e->stop != REASON_NONE && !e->stop_missed)
        return false;
    return !e->end_known || e->end.signal_outside;
}

void witness_tell(const struct witness *witness, bool lost_touch, bool live_restore, struct evidence *e) {
    bool code_of_engine = !e->end_known && e->inspected && e->engine_exit_code == EXIT_LOST;
    enum witness_engine engine = witness_engine(witness);
    e->kill_signal = witness->kill_signal;
    e->engine_oom_killed |= witness->oom;
    e->engine_restarted = !live_restore && (engine == WITNESS_OTHER ||
                                            (engine == WITNESS_UNSURE && (lost_touch || code_of_engine)));
}

/* --- with the engine --- */

static int recall(const struct witness_case *what, const struct ctx *ctx, struct witness *ret_witness,
                  struct err *err) {
    const struct events_query query = {.since_us = what->since_us - WITNESS_CLOCK_MS * US_PER_MS,
                                       .until_us = clock_real_us()};
    struct witness witness = {0};
    AUTO_EVENTS struct events *events = NULL;
    if (!engine_api_version(what->engine)[0] && engine_negotiate(what->engine, ctx, err) < 0)
        return -1;
    if (events_open(what->engine, ctx, &query, &events, err) < 0)
        return -1;
    for (;;) {
        AUTO_EVENT struct event event = {0};
        int got = events_next(events, ctx, &event, err);
        if (got < 0)
            return -1;
        witness.has_overflow = witness.events >= WITNESS_EVENTS_MAX;
        if (got == 0 || witness.has_overflow)
            break;
        witness_take(&witness, &event, what->container);
    }
    *ret_witness = witness;
    return 0;
}

/* The kernel's word about memory goes a way of its own and may come after the end. */
static void await_late(const struct witness_case *what, struct witness *witness) {
    static const char *const actions[] = {"oom", "kill", NULL};
    const char *const containers[] = {what->container, NULL};
    const struct events_query query = {
        .actions = actions, .containers = containers, .since_us = what->since_us};
    AUTO_EVENTS struct events *events = NULL;
    AUTO_EVENT struct event event = {0};
    struct ctx ctx = orders_fresh(what->orders, WITNESS_LATE_MS);
    if (events_open(what->engine, &ctx, &query, &events, NULL) == 0 &&
        events_next(events, &ctx, &event, NULL) == 1)
        witness_take(witness, &event, what->container);
}

/* 0: the engine has answered; -1: it is away for too long. *lost_touch is set as soon as it does not answer.
 */
static int ask(const struct witness_case *what, struct witness *ret_witness, bool *ret_live_restore,
               bool *lost_touch) {
    struct ctx whole = orders_fresh(what->orders, WITNESS_AWAY_MAX_MS);
    for (int64_t pause_ms = JOB_BACKOFF_FIRST_MS;; pause_ms *= 2) {
        struct err err = {0};
        struct system_info info = {.live_restore = false};
        struct ctx call = ctx_child(&whole);
        ctx_deadline_in(&call, JOB_CALL_MAX_MS);
        if (recall(what, &call, ret_witness, &err) == 0 &&
            system_info(what->engine, &call, &info, &err) == 0) {
            *ret_live_restore = info.live_restore;
            return 0;
        }
        *lost_touch |= err.kind == ERR_AWAY || err.kind == ERR_DEADLINE;
        if (ctx_state(&whole) != CTX_LIVE || err.kind == ERR_ENGINE || err.kind == ERR_INVALID) {
            log_warn("engine cannot be asked about its events", LS("container", what->container), LERR(&err));
            return -1;
        }
        orders_pause(what->orders, &whole, pause_ms < JOB_BACKOFF_MAX_MS ? pause_ms : JOB_BACKOFF_MAX_MS);
    }
}

void witness_gather(const struct witness_case *what, struct evidence *e) {
    struct witness witness = {0};
    bool live_restore = false;
    bool lost_touch = what->lost_touch;
    if (!witness_needed(e))
        return;
    if (ask(what, &witness, &live_restore, &lost_touch) < 0)
        witness =
            (struct witness){.has_overflow = true}; /* nothing can be concluded from what it does not say */
    if (!e->end_known && e->inspected && e->engine_exit_code == EXIT_KILLED && !e->engine_oom_killed &&
        !witness.oom && !witness.kill_signal)
        await_late(what, &witness);
    witness_tell(&witness, lost_touch, live_restore, e);
}
