/*
 * events - what happened on the engine, as it happens or looked up afterwards (GET /events).
 *
 * A stream has a connection of its own: other calls go on beside it. The engine remembers the last 256 events
 * only, and none from before its own start. Errors: see engine.h.
 */
#ifndef BERTH_RUNNER_DOCKER_EVENTS_H
#define BERTH_RUNNER_DOCKER_EVENTS_H

#include <jansson.h>
#include <stdint.h>

#include "runner/docker/engine.h"

/* All of it borrowed during events_open only. Lists end with NULL; NULL: all. */
struct events_query {
    struct engine_pairs labels;    /* all of them, as in container_list() */
    const char *const *types;      /* "container", "network", "volume", "image", "daemon" */
    const char *const *actions;    /* "start", "kill", "oom", "die", "destroy", … */
    const char *const *containers; /* ids or names */
    int64_t since_us;              /* since 1970; 0: only what happens from now on */
    int64_t until_us;              /* 0: without end */
};

struct event {
    const char *type, *action; /* "container", "die" */
    const char *id;            /* of what it happened to */
    const json_t *attributes;  /* object of strings: labels, "name", "exitCode", "signal", …; never NULL */
    int64_t time_ns;           /* since 1970, the engine's clock */
    json_t *owner;             /* private */
};

struct events;

/* Comes back when the engine has begun its answer. What happens in the moment before may be missed: who must
 * not miss it gives since_us. The engine must outlive the stream. */
int events_open(struct engine *engine, const struct ctx *ctx, const struct events_query *query,
                struct events **ret_events, struct err *err);

/* Waits for the next event. 1: there it is; 0: until_us is reached. After an error the stream is only good
 * for events_close(), except ERR_CANCELED and ERR_DEADLINE, after which it may be asked again. An engine that
 * ends is ERR_AWAY. */
int events_next(struct events *events, const struct ctx *ctx, struct event *ret_event, struct err *err);
void event_done(struct event *event);
void events_close(struct events *events); /* NULL is fine */

static inline void events_close_p(struct events **events) {
    events_close(*events);
}
#define AUTO_EVENTS CLEANUP(events_close_p)
#define AUTO_EVENT CLEANUP(event_done)

#endif
