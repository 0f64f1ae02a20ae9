/* gateway_private - the gateway's own process: its one context, its bounds, and how its parts find each
 * other. */
#ifndef BERTH_GATEWAY_PRIVATE_H
#define BERTH_GATEWAY_PRIVATE_H

#include <libwebsockets.h>
#include <systemd/sd-event.h>

#include "orchestrator/db/api.h"
#include "orchestrator/gateway/auth.h"
#include "orchestrator/settings.h"
#include "proto/control.h"
#include "proto/spec.h"

enum {
    GATEWAY_CONNECTIONS_MAX = 4096, /* one more is not accepted */
    GATEWAY_FDS_OURS =
        64, /* descriptors that are no connections: libraries, database, loop, room to refuse */
    GATEWAY_FDS_MAX = GATEWAY_CONNECTIONS_MAX + 128,
    GATEWAY_HEADERS_MAX = 16384, /* bytes of one request's headers */
    GATEWAY_HEADERS_S = 10,      /* a request's headers have to be there after this, … */
    GATEWAY_BODY_S = 30,         /* … its whole body after this more */
    GATEWAY_KEEPALIVE_S = 60,    /* a connection without a request */
    GATEWAY_WRITE_S = 60,        /* a reader of a response takes nothing: the connection is closed */
    GATEWAY_PING_S = 30,
    GATEWAY_DEAD_S = 75, /* a viewer that answers no ping */
    GATEWAY_DB_CONNECTIONS = 4,
    GATEWAY_DB_QUEUE_MS =
        3000, /* then the database counts as away for this request: a restart of it may pass unseen */
    GATEWAY_DB_STATEMENT_MS = 10000, /* nobody waits that long for a page */
    GATEWAY_HINT_MS = 20,            /* hints of new jobs are gathered for this long */
    GATEWAY_LISTEN_MS = 3000,        /* at the start: an address that is taken may get free, … */
    GATEWAY_LISTEN_AGAIN_MS = 50,    /* … and is tried this often */
    GATEWAY_GOODBYE_MS = 2000,       /* at the end: for the close messages to leave */
};

#define GATEWAY_LOOP_PROTOCOL "berth-loop" /* of no client: the subprotocol that one asks for is checked */

struct hub;
struct trouble;

struct gateway {
    struct settings settings;
    struct spec_policy policy;
    struct auth auth;
    sd_event *loop;
    struct db_pool *db;
    struct hub *hub;
    struct lws_context *lws;
    struct lws_vhost *vhost;
    const struct trouble
        *trouble; /* what the database has last refused a change for, NULL: nothing yet; and when */
    int64_t trouble_ms;
    struct health health[HEALTH_PART_COUNT]; /* of this host, as the parent tells it */
    unsigned connections, connections_max;
    sd_event_source *hint_timer; /* on: a hint is due */
    bool ending;                 /* nothing new is begun any more */
    bool ended;
    int exit_status;
};

/* Tells the orchestrators that there is a new job, together with the other new ones of this moment. */
void gateway_hint_jobs(struct gateway *gateway);
void gateway_hint_cancel(struct gateway *gateway);

/* The one libwebsockets protocol, for HTTP and WebSocket (session.c). */
extern const struct lws_protocols gateway_protocols[];
/* Begins to write what has been answered since the last call. */
void session_answer_all(void);

#endif
