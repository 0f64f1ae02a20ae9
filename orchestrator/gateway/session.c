/* session - libwebsockets' one callback, sorted: HTTP goes to http.c, WebSockets to ws.c, our loop to nobody.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "orchestrator/gateway/http.h"
#include "orchestrator/gateway/ws.h"
#include "proto/message.h"

/* One a connection; libwebsockets makes it zeroed. */
struct session {
    struct request *request;
    struct ws *ws;
};

static void drop_request(struct session *session) {
    http_free(session->request);
    session->request = NULL;
}

/* What a client sends behind a whole request lies in the socket until that one is answered, or the socket
 * does not take more of the answer: libwebsockets would take it for the next one at once. */
static void read_no_more(struct lws *wsi) {
    lws_rx_flow_control(wsi, 0);
}

/* A request that came in one piece with the end of the one before it was put aside by libwebsockets, and 4.1
 * takes the headers of such a one for its body, again and again (lws_http_action, deal_body). It is never the
 * first one of its connection. For others libwebsockets tells only that somebody's bytes lie aside in this
 * turn, so that one that came by itself is rarely hung up on, too. */
static bool body_would_be_misread(struct lws *wsi) {
    bool first = !lws_get_opaque_user_data(wsi);
    return !first && http_has_body(wsi) && lws_service_adjust_timeout(lws_get_context(wsi), 1, 0) == 0;
}

static int on_http(struct gateway *gateway, struct lws *wsi, struct session *session, const char *path,
                   size_t len) {
    if (gateway->ending || session->request) /* one that did not wait for a long answer's end */
        return -1;
    if (body_would_be_misread(wsi)) {
        log_info("a request with a body came together with the one before it, hanging up unanswered");
        return -1;
    }
    lws_set_opaque_user_data(wsi, wsi); /* it has had a request */
    if (http_begin(gateway, wsi, path, len, &session->request) < 0)
        return -1;
    if (http_is_whole(session->request))
        read_no_more(wsi);
    return 0;
}

/* Told again and again when the socket does not take an answer at once and its client has sent more
 * meanwhile, and libwebsockets' time-out for the writing has no effect then. */
static int on_body_done(struct lws *wsi, struct session *session) {
    struct request *request = session->request;
    if (!request)
        return 0;
    if (request->body_read)
        return request->write_until_ns && clock_boot_ns() > request->write_until_ns ? -1 : 0;
    request->body_read = true;
    read_no_more(wsi);
    http_body_done(request);
    return 0;
}

static int on_writable(struct lws *wsi, struct session *session) {
    if (!session->request)
        return 0;
    int more = http_writable(session->request);
    if (more > 0)
        return 0;
    drop_request(session);
    lws_rx_flow_control(wsi, 1);
    /* Behind this the session is another one. */
    return more < 0 || lws_http_transaction_completed(wsi) ? -1 : 0;
}

/* Outside of libwebsockets' turns, so that an answer which the socket takes whole is out, and its request
 * done, before anything more is read. */
void session_answer_all(void) {
    for (struct request *request = http_take_answered(); request; request = http_take_answered()) {
        struct lws *wsi = request->wsi;
        if (on_writable(wsi, lws_wsi_user(wsi)) < 0)
            lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, LWS_TO_KILL_SYNC);
    }
}

static int on_ws(struct gateway *gateway, struct lws *wsi, enum lws_callback_reasons reason,
                 struct session *session) {
    switch ((int)reason) {
    case LWS_CALLBACK_ESTABLISHED:
        session->ws = ws_open(gateway, wsi);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return session->ws ? ws_writable(session->ws) : 0;
    case LWS_CALLBACK_CLOSED:
        ws_free(session->ws);
        session->ws = NULL;
        return 0;
    default:
        return 0; /* what a viewer sends means nothing (yet) */
    }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
    struct session *session = user;
    struct gateway *gateway = lws_context_user(lws_get_context(wsi));
    switch ((int)reason) {
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
        return gateway->ending || gateway->connections >= gateway->connections_max;
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
        gateway->connections++;
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        gateway->connections -= gateway->connections > 0;
        return 0;
    case LWS_CALLBACK_HTTP:
        return on_http(gateway, wsi, session, in, len);
    case LWS_CALLBACK_HTTP_BODY:
        return session->request ? http_body(session->request, in, len) : 0;
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return on_body_done(wsi, session);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return on_writable(wsi, session);
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
    case LWS_CALLBACK_CLOSED_HTTP:
        if (session)
            drop_request(session);
        return 0;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return ws_confirm(gateway, wsi, in);
    case LWS_CALLBACK_RAW_ADOPT:
    case LWS_CALLBACK_RAW_RX:
        return -1; /* CONNECT would make a connection raw */
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_RECEIVE:
        return on_ws(gateway, wsi, reason, session);
    default:
        return 0;
    }
}

/* Our loop is readable: gateway.c runs it behind every turn of libwebsockets. */
static int on_loop(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
    (void)wsi, (void)reason, (void)user, (void)in, (void)len;
    return 0;
}

const struct lws_protocols gateway_protocols[] = {
    {.name = MESSAGE_SUBPROTOCOL,
     .callback = on_event,
     .per_session_data_size = sizeof(struct session),
     .rx_buffer_size = 4096,
     .tx_packet_size = HTTP_WRITE_MAX},
    {.name = GATEWAY_LOOP_PROTOCOL, .callback = on_loop},
    {0},
};
