#include "orchestrator/gateway/http.h"

#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "orchestrator/gateway/opening.h"
#include "orchestrator/gateway/origin.h"
#include "orchestrator/gateway/viewer.h"
#include "orchestrator/gateway/wait.h"

static TAILQ_HEAD(, request) requests = TAILQ_HEAD_INITIALIZER(requests);

static const char *const method_words[] = {
    [LWSHUMETH_GET] = "GET",   [LWSHUMETH_POST] = "POST",   [LWSHUMETH_OPTIONS] = "OPTIONS",
    [LWSHUMETH_PUT] = "PUT",   [LWSHUMETH_PATCH] = "PATCH", [LWSHUMETH_DELETE] = "DELETE",
    [LWSHUMETH_HEAD] = "HEAD",
};

static enum route_method route_method(int lws_method) {
    switch (lws_method) {
    case LWSHUMETH_GET:
    case LWSHUMETH_HEAD:
        return ROUTE_GET;
    case LWSHUMETH_POST:
        return ROUTE_POST;
    case LWSHUMETH_PUT:
        return ROUTE_PUT;
    case LWSHUMETH_PATCH:
        return ROUTE_PATCH;
    case LWSHUMETH_DELETE:
        return ROUTE_DELETE;
    default:
        return ROUTE_OPTIONS;
    }
}

bool http_header(struct lws *wsi, enum lws_token_indexes token, char *out, size_t max) {
    out[0] = '\0';
    if (lws_hdr_total_length(wsi, token) <= 0)
        return true;
    int n = lws_hdr_copy(wsi, out, (int)max, token);
    if (n < 0)
        out[0] = '\0';
    return n >= 0;
}

/* A header that libwebsockets does not know; name in lower case, with its colon. */
static bool custom_header(struct lws *wsi, const char *name, char *out, size_t max) {
    out[0] = '\0';
    if (lws_hdr_custom_length(wsi, name, (int)strlen(name)) <= 0)
        return true;
    int n = lws_hdr_custom_copy(wsi, out, (int)max, name, (int)strlen(name));
    if (n < 0)
        out[0] = '\0';
    return n >= 0;
}

int http_query(struct lws *wsi, struct query *query, struct err *err) {
    char text[QUERY_ARG_MAX + 2];
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_URI_ARGS) <= 0)
        return 0;
    for (int i = 0; i <= QUERY_ARGS_MAX; i++) {
        int len = lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i);
        int n = lws_hdr_copy_fragment(wsi, text, sizeof text, WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0 && len > QUERY_ARG_MAX)
            return err_set(err, ERR_LIMIT, 0, "a query parameter is longer than %d bytes", QUERY_ARG_MAX);
        if (n < 0)
            break;
        if (query_add(query, text, (size_t)n, err) < 0)
            return -1;
    }
    return 0;
}

static void take_request_id(struct request *request) {
    if (!custom_header(request->wsi, "x-request-id:", request->request_id, sizeof request->request_id) ||
        !query_request_id_ok(request->request_id))
        id_new_v7(request->request_id);
}

static bool takes_body(int lws_method) {
    return lws_method == LWSHUMETH_POST || lws_method == LWSHUMETH_PUT || lws_method == LWSHUMETH_PATCH;
}

bool http_has_body(struct lws *wsi) {
    char *uri;
    int uri_len;
    return takes_body(lws_http_get_uri_and_method(wsi, &uri, &uri_len)) ||
           lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0;
}

bool http_is_whole(const struct request *request) {
    bool refused = request->status && request->close; /* its body is read, so that the answer arrives */
    return request->body_expected == 0 && !refused;
}

/* How long the body will be. False: answered already. */
static bool take_length(struct request *request, int lws_method) {
    char text[32], coding[64];
    bool with_body = takes_body(lws_method);
    bool told = lws_hdr_total_length(request->wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0;
    if (!http_header(request->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING, coding, sizeof coding) || *coding) {
        request->close = true; /* libwebsockets 4.1 would take the chunks for the body itself */
        http_problem(request, 411, "a chunked body is not taken; send Content-Length");
        return false;
    }
    if (!told) {
        request->close =
            with_body; /* … and waits for a body that does not come (RFC 9112, section 6.3: it is empty) */
        request->body_expected = 0;
        return true;
    }
    if (!http_header(request->wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, text, sizeof text) || !*text ||
        strlen(text) > 15 || text[strspn(text, "0123456789")]) {
        request->close = true;
        http_problem(request, 400, "Content-Length is not a number of bytes");
        return false;
    }
    request->body_expected = strtoll(text, NULL, 10);
    request->close |= request->body_expected > HTTP_DISCARD_MAX || (request->body_expected > 0 && !with_body);
    return true;
}

static bool authorized(struct request *request) {
    char header[AUTH_TOKEN_MAX + 16];
    size_t len = 0;
    const char *token = http_header(request->wsi, WSI_TOKEN_HTTP_AUTHORIZATION, header, sizeof header)
                            ? auth_bearer(header, &len)
                            : NULL;
    bool ok = request->route->open || auth_token_ok(&request->gateway->auth, token, len);
    if (!ok) {
        http_add_header(request, "WWW-Authenticate", "Bearer realm=\"berth\"%s",
                        *header ? ", error=\"invalid_token\"" : "");
        http_problem(
            request, 401,
            *header
                ? "the token is not known here"
                : "a token is needed: send \"Authorization: Bearer <token>\" (BERTH_TOKEN of the client)");
    }
    sodium_memzero(header, sizeof header);
    return ok;
}

static bool content_type_is_json(const char *type) {
    size_t len = strcspn(type, "; ");
    return len == strlen("application/json") && strncasecmp(type, "application/json", len) == 0;
}

/* False: answered already. */
static bool find_route(struct request *request) {
    unsigned allow;
    request->route = route_find(routes, request->method, request->path, request->id, &allow);
    if (request->route)
        return true;
    if (allow) {
        char text[64];
        http_add_header(request, "Allow", "%s", route_allow_text(allow, text));
        http_problem(request, 405, "%s takes only %s", request->path, text);
        return false;
    }
    http_problem(request, 404, "there is nothing at %s", request->path);
    return false;
}

static void dispatch(struct request *request) {
    request->dispatched = true;
    request->timer = sd_event_source_disable_unref(request->timer);
    lws_set_timeout(request->wsi, NO_PENDING_TIMEOUT, 0);
    request->route->handler(request);
}

static int on_body_late(sd_event_source *source, uint64_t us, void *arg) {
    struct request *request = arg;
    (void)source, (void)us;
    if (request->status)
        return 0;
    request->close = true;
    http_problem(request, 408, "the body did not come within %d s", GATEWAY_BODY_S);
    return 0;
}

/* libwebsockets' own time-out begins anew with every byte. */
static void await_body(struct request *request) {
    sd_event_add_time_relative(request->gateway->loop, &request->timer, CLOCK_BOOTTIME,
                               GATEWAY_BODY_S * US_PER_S, 0, on_body_late, request);
}

static void take_headers(struct request *request) {
    struct lws *wsi = request->wsi;
    char version[16], connection[128];
    http_header(wsi, WSI_TOKEN_HTTP, version, sizeof version);
    http_header(wsi, WSI_TOKEN_CONNECTION, connection, sizeof connection);
    http_header(wsi, WSI_TOKEN_HTTP_CONTENT_TYPE, request->content_type, sizeof request->content_type);
    http_header(wsi, WSI_TOKEN_HTTP_ACCEPT, request->accept, sizeof request->accept);
    http_header(wsi, WSI_TOKEN_HTTP_RANGE, request->range, sizeof request->range);
    custom_header(wsi, "last-event-id:", request->event_id, sizeof request->event_id);
    request->http10 = strcmp(version, "HTTP/1.1") != 0;
    request->close = request->http10 || strcasecmp(connection, "close") == 0;
}

int http_begin(struct gateway *gateway, struct lws *wsi, const char *path, size_t path_len,
               struct request **ret) {
    char *uri = NULL;
    int uri_len = 0, lws_method = lws_http_get_uri_and_method(wsi, &uri, &uri_len);
    if (lws_method < 0 || (size_t)lws_method >= ARRAY_LEN(method_words) || !method_words[lws_method])
        return -1;
    struct request *request = mem_alloc(sizeof *request);
    *ret = request;
    *request = (struct request){.gateway = gateway,
                                .wsi = wsi,
                                .method = route_method(lws_method),
                                .head = lws_method == LWSHUMETH_HEAD,
                                .body = BUF(HTTP_BODY_MAX),
                                .extra = BUF(HTTP_EXTRA_MAX),
                                .out = BUF(HTTP_RESPONSE_MAX),
                                .begun_ns = clock_boot_ns()};
    TAILQ_INSERT_TAIL(&requests, request, link);
    take_headers(request);
    take_request_id(request);
    snprintf(request->path, sizeof request->path, "%.*s", (int)path_len, path);
    struct err err;
    if (!take_length(request, lws_method))
        return 0;
    if (path_len >= HTTP_PATH_MAX) {
        http_problem(request, 404, "there is nothing at so long a path");
        return 0;
    }
    if (origin_refuses(gateway, wsi)) {
        http_problem(request, 403, ORIGIN_REFUSED);
        return 0;
    }
    if (!find_route(request) || !authorized(request))
        return 0;
    if (http_query(wsi, &request->query, &err) < 0) {
        http_problem(request, 400, "%s", err.text);
        return 0;
    }
    if (!custom_header(wsi, "idempotency-key:", request->key, sizeof request->key)) {
        http_problem(request, 400, "Idempotency-Key is longer than %d bytes", HTTP_KEY_MAX);
        return 0;
    }
    if (request->body_expected > HTTP_DISCARD_MAX && request->route->body_max > 0) {
        http_problem(request, 413, "the body is larger than %zu bytes", request->route->body_max);
        return 0;
    }
    bool awaited = request->route->body_max > 0 && request->body_expected > 0;
    if (awaited && !content_type_is_json(request->content_type)) {
        http_add_header(request, "Accept-Post", "application/json");
        http_problem(request, 415, "the body has to be application/json");
        return 0;
    }
    if (awaited)
        await_body(request);
    else
        dispatch(request);
    return 0;
}

int http_body(struct request *request, const void *bytes, size_t len) {
    if (request->status || request->dispatched || len == 0)
        return 0; /* answered already, or a body nobody asked for */
    request->too_long = request->too_long || request->body.len + len > request->route->body_max ||
                        buf_add(&request->body, bytes, len) < 0;
    return 0;
}

void http_body_done(struct request *request) {
    if (request->status || request->dispatched)
        return;
    if (request->too_long)
        http_problem(request, 413, "the body is larger than %zu bytes", request->route->body_max);
    else
        dispatch(request);
}

void http_free(struct request *request) {
    if (!request)
        return;
    if (request->ticket > 0)
        db_async_forget(request->gateway->db, request->ticket);
    viewer_free(request->viewer);
    opening_cancel(request->opening);
    wait_done(request);
    TAILQ_REMOVE(&requests, request, link);
    http_answer_forget(request);
    query_done(&request->query);
    buf_done(&request->body);
    buf_done(&request->extra);
    buf_done(&request->out);
    json_decref(request->known);
    free(request->state);
    free(request);
}

static bool peer_gone(const struct request *request) {
    char byte;
    ssize_t n = recv(lws_get_socket_fd(request->wsi), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

void http_tick(void) {
    struct request *request;
    TAILQ_FOREACH(request, &requests, link)
    if (request->dispatched && (!request->status || request->streams) && peer_gone(request))
        lws_set_timeout(request->wsi, PENDING_TIMEOUT_HTTP_CONTENT, LWS_TO_KILL_ASYNC);
}
