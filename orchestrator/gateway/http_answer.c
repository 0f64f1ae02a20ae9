/* http_answer - the second half of http.h: a response, from its first header to its last byte. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "orchestrator/gateway/http.h"
#include "orchestrator/gateway/problem.h"
#include "orchestrator/gateway/viewer.h"

static TAILQ_HEAD(, request) answered = TAILQ_HEAD_INITIALIZER(answered);

static void log_request(const struct request *request) {
    bool quiet = request->route && request->route->quiet && request->status < 400;
    log_write(quiet ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "request",
              LOG_FIELDS_(LS("method", (request->head ? "HEAD" : route_method_word(request->method))),
                          LS("path", request->path), LI("status", request->status),
                          LI("ms", (clock_boot_ns() - request->begun_ns) / NS_PER_MS),
                          LS("request", request->request_id)));
}

/* The rest goes out when the socket takes it, which libwebsockets looks at only where it may read, too. */
static int go_on_writing(struct request *request) {
    lws_rx_flow_control(request->wsi, 1);
    lws_set_timeout(request->wsi, PENDING_TIMEOUT_HTTP_CONTENT, GATEWAY_WRITE_S);
    request->write_until_ns = clock_boot_ns() + GATEWAY_WRITE_S * NS_PER_S;
    lws_callback_on_writable(request->wsi);
    return 1;
}

/* Everything is out. 0: the connection is free for the next request; -1: it ends. */
static int finish(struct request *request) {
    if (lws_partial_buffered(request->wsi))
        return go_on_writing(request);
    log_request(request);
    return request->close ? -1 : 0;
}

/* The last piece ends the request at once: the client may send its next one as soon as it has it. */
static int write_out(struct request *request) {
    size_t n = request->out.len - request->out_pos;
    if (n > HTTP_WRITE_MAX)
        n = HTTP_WRITE_MAX;
    if (lws_write(request->wsi, (unsigned char *)request->out.data + request->out_pos, n, LWS_WRITE_HTTP) < 0)
        return -1;
    request->out_pos += n;
    bool last = request->out_pos == request->out.len && (!request->streams || request->stream_ended);
    return last ? finish(request) : go_on_writing(request);
}

/* Room for libwebsockets in front, as it wants it. */
static void out_restart(struct request *request) {
    static const char room[LWS_PRE];
    buf_clear(&request->out);
    buf_add(&request->out, room, sizeof room);
    request->out_pos = sizeof room;
}

/* The next piece of a stream into `out`. False: there is none now. */
static bool stream_fill(struct request *request) {
    enum { SIZE_LINE = 10 }; /* "%08x\r\n" */
    out_restart(request);
    size_t at = request->out.len;
    if (request->chunked)
        buf_add(&request->out, "00000000\r\n", SIZE_LINE);
    size_t start = request->out.len;
    enum viewer_state state = viewer_fill(request->viewer, &request->out, HTTP_WRITE_MAX);
    size_t n = request->out.len - start;
    if (request->chunked && n > 0) {
        char line[SIZE_LINE + 1];
        snprintf(line, sizeof line, "%08x\r\n", (unsigned)n);
        memcpy(request->out.data + at, line, SIZE_LINE);
        buf_adds(&request->out, "\r\n");
    } else if (n == 0) {
        out_restart(request);
    }
    request->promised -= (int64_t)n;
    if (state == VIEWER_END || state == VIEWER_LOST) {
        request->stream_ended = true;
        request->close |=
            state == VIEWER_LOST || request->promised > 0; /* only its end tells that it is cut */
        if (request->chunked && state == VIEWER_END)
            buf_adds(&request->out, "0\r\n\r\n");
    }
    return request->out.len > request->out_pos;
}

int http_writable(struct request *request) {
    if (!request->status)
        return 1;
    if (request->out_pos < request->out.len)
        return write_out(request);
    if (!request->streams || request->stream_ended)
        return finish(request);
    if (stream_fill(request))
        return write_out(request);
    if (request->stream_ended)
        return finish(request);
    lws_set_timeout(request->wsi, NO_PENDING_TIMEOUT, 0); /* idle until the viewer wakes it */
    lws_rx_flow_control(request->wsi, 0);
    return 1;
}

void http_stream_wake(struct request *request) {
    if (!request->answer_waits)
        go_on_writing(request);
}

void http_answer_forget(struct request *request) {
    if (request->answer_waits)
        TAILQ_REMOVE(&answered, request, answered_link);
    request->answer_waits = false;
}

struct request *http_take_answered(void) {
    struct request *request = TAILQ_FIRST(&answered);
    if (request)
        http_answer_forget(request);
    return request;
}

void http_add_header(struct request *request, const char *name, const char *fmt, ...) {
    char value[HTTP_HEADER_VALUE_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(value, sizeof value, fmt, args);
    va_end(args);
    for (char *p = value; *p; p++)
        if (iscntrl((unsigned char)*p))
            *p = ' ';
    buf_addf(&request->extra, "%s: %s\r\n", name, value);
}

/* length -1: chunked, or until the connection's end for HTTP/1.0. */
static void begin_response(struct request *request, int status, const char *type, int64_t length) {
    request->status = status;
    request->chunked = length < 0 && !request->http10;
    out_restart(request);
    buf_addf(&request->out, "HTTP/1.1 %d %s\r\n", status, problem_title(status));
    if (type)
        buf_addf(&request->out, "Content-Type: %s\r\n", type);
    if (length >= 0)
        buf_addf(&request->out, "Content-Length: %lld\r\n", (long long)length);
    else if (request->chunked)
        buf_adds(&request->out, "Transfer-Encoding: chunked\r\n");
    buf_addf(&request->out,
             "X-Request-Id: %s\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n%s%s\r\n",
             request->request_id, buf_str(&request->extra), request->close ? "Connection: close\r\n" : "");
    if (!request->answer_waits)
        TAILQ_INSERT_TAIL(&answered, request, answered_link);
    request->answer_waits = true;
}

/* When the response itself cannot be made. */
static void respond_sorry(struct request *request, const char *why) {
    static const char sorry[] =
        "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\",\"status\":500}";
    log_error("a response cannot be made", LS("why", why), LS("path", request->path),
              LS("request", request->request_id));
    begin_response(request, 500, PROBLEM_CONTENT_TYPE, sizeof sorry - 1);
    if (!request->head)
        buf_adds(&request->out, sorry);
}

void http_respond(struct request *request, int status, const char *type, const char *body, size_t len) {
    begin_response(request, status, len || status != 204 ? type : NULL, (int64_t)len);
    if (!request->head && buf_add(&request->out, body, len) < 0)
        respond_sorry(request, "it is larger than its bound");
}

void http_respond_json(struct request *request, int status, json_t *doc) {
    AUTO_FREE char *text = json_dumps(doc, JSON_COMPACT);
    json_decref(doc);
    if (!text) {
        respond_sorry(request, "it is not JSON");
        return;
    }
    http_respond(request, status, status >= 400 ? PROBLEM_CONTENT_TYPE : "application/json", text,
                 strlen(text));
}

void http_problem(struct request *request, int status, const char *fmt, ...) {
    char detail[HTTP_HEADER_VALUE_MAX + HTTP_PATH_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    http_respond_json(request, status, problem_make(status, detail, request->request_id, NULL));
}

void http_problem_faults(struct request *request, const struct spec_faults *faults) {
    char detail[64];
    size_t all = faults->count + faults->omitted;
    snprintf(detail, sizeof detail, "the job has %zu fault%s", all, all == 1 ? "" : "s");
    http_respond_json(request, 422, problem_make(422, detail, request->request_id, faults));
}

void http_stream_begin(struct request *request, int status, const char *type, int64_t length) {
    begin_response(request, status, type, length);
    request->streams = !request->head && length != 0;
    request->promised = length;
}
