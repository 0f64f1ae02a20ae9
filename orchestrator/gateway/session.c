/* session - libwebsockets' one callback, sorted: HTTP goes to http.c, WebSockets to ws.c, our loop to nobody.
 */
#include <string.h>

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

static int on_http(struct gateway *gateway, struct lws *wsi, struct session *session, const char *path,
                   size_t len) {
    if (gateway->ending)
        return -1;
    drop_request(session);
    if (http_begin(gateway, wsi, path, len, &session->request) < 0)
        return -1;
    return 0;
}

static int on_writable(struct lws *wsi, struct session *session) {
    if (!session->request)
        return 0;
    int more = http_writable(session->request);
    if (more > 0)
        return 0;
    drop_request(session);
    /* Behind this the session is another one. */
    return more < 0 || lws_http_transaction_completed(wsi) ? -1 : 0;
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
        if (session->request)
            http_body_done(session->request);
        return 0;
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
     .rx_buffer_size = 4096},
    {.name = GATEWAY_LOOP_PROTOCOL, .callback = on_loop},
    {0},
};
