#include "orchestrator/gateway/ws.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "orchestrator/gateway/http.h"
#include "orchestrator/gateway/opening.h"
#include "orchestrator/gateway/origin.h"
#include "orchestrator/gateway/problem.h"
#include "orchestrator/gateway/viewer.h"
#include "proto/message.h"

struct ws {
    TAILQ_ENTRY(ws) link;
    struct gateway *gateway;
    struct lws *wsi;
    char job[ID_TEXT_MAX];
    struct logs_query query;
    struct opening *opening;
    struct viewer *viewer;
    struct buf out;
    int close_code; /* 0: open */
    char reason[WS_REASON_MAX];
    int64_t asked_ms; /* since when it was to take something; 0: it is not */
    bool slow, skip_told;
};

static TAILQ_HEAD(, ws) all = TAILQ_HEAD_INITIALIZER(all);
static size_t count;

/* --- Before the handshake --- */

/* "/v1/jobs/{id}/stream"; what stands for the id is not looked at. */
static bool stream_path(const char *path, char *ret_id, size_t max) {
    static const char before[] = "/v1/jobs/", behind[] = "/stream";
    size_t len = strlen(path), frame = sizeof before - 1 + sizeof behind - 1;
    if (len <= frame || strncmp(path, before, sizeof before - 1) != 0 ||
        strcmp(path + len - (sizeof behind - 1), behind) != 0 ||
        strchr(path + sizeof before - 1, '/') == NULL)
        return false;
    snprintf(ret_id, max, "%.*s", (int)(len - frame), path + sizeof before - 1);
    return strchr(ret_id, '/') == NULL;
}

static bool token_ok(const struct gateway *gateway, struct lws *wsi) {
    char header[AUTH_TOKEN_MAX + 16];
    size_t len = 0;
    const char *token = http_header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, header, sizeof header)
                            ? auth_bearer(header, &len)
                            : NULL;
    bool ok = auth_token_ok(&gateway->auth, token, len);
    if (!token) {
        http_header(wsi, WSI_TOKEN_PROTOCOL, header, sizeof header);
        token = auth_subprotocol(header, &len);
        ok = auth_token_ok(&gateway->auth, token, len);
    }
    sodium_memzero(header, sizeof header);
    return ok;
}

static int refuse(struct lws *wsi, int status, const char *detail) {
    char id[ID_TEXT_MAX];
    AUTO_BUF struct buf out = BUF(4096);
    static const char room[LWS_PRE];
    id_new_v7(id);
    json_t *doc = problem_make(status, detail, id, NULL);
    AUTO_FREE char *text = json_dumps(doc, JSON_COMPACT);
    json_decref(doc);
    buf_add(&out, room, sizeof room);
    buf_addf(&out,
             "HTTP/1.1 %d %s\r\nContent-Type: " PROBLEM_CONTENT_TYPE
             "\r\nContent-Length: %zu\r\nX-Request-Id: %s\r\n"
             "Connection: close\r\n%s\r\n%s",
             status, problem_title(status), strlen(text), id,
             status == 401 ? "WWW-Authenticate: Bearer realm=\"berth\"\r\n" : "", text);
    log_info("websocket refused", LI("status", status), LS("detail", detail), LS("request", id));
    lws_write(wsi, (unsigned char *)out.data + LWS_PRE, out.len - LWS_PRE, LWS_WRITE_HTTP_HEADERS);
    return -1; /* what was written leaves before the connection ends */
}

int ws_confirm(struct gateway *gateway, struct lws *wsi, char *upgrade) {
    char path[HTTP_PATH_MAX], id[64], offered[WS_SUBPROTOCOLS_MAX + 1];
    /* libwebsockets has answered an unknown word with 403 and given the headers away, `upgrade` too. */
    if (lws_hdr_total_length(wsi, WSI_TOKEN_UPGRADE) <= 0)
        return -1;
    if (strcasecmp(upgrade, "websocket") != 0) {
        /* An upgrade may be passed over (RFC 9110, section 7.8); libwebsockets looks at the word again behind
         * this. */
        upgrade[0] = '-';
        return 0;
    }
    if (!http_header(wsi, WSI_TOKEN_GET_URI, path, sizeof path) || !stream_path(path, id, sizeof id))
        return refuse(wsi, 404, "there is no WebSocket here; /v1/jobs/{id}/stream is one");
    if (!http_header(wsi, WSI_TOKEN_PROTOCOL, offered, sizeof offered))
        return refuse(wsi, 400,
                      "Sec-WebSocket-Protocol is longer than 126 bytes; send the token as Authorization");
    if (origin_refuses(gateway, wsi))
        return refuse(wsi, 403, ORIGIN_REFUSED);
    if (gateway->ending)
        return refuse(wsi, 503, "the server is going away; come back with the offset");
    if (*offered)
        return auth_offers_first(offered, MESSAGE_SUBPROTOCOL)
                   ? 0
                   : refuse(wsi, 400, "the first subprotocol that is offered is not " MESSAGE_SUBPROTOCOL);
    if (!token_ok(gateway, wsi))
        return refuse(wsi, 401,
                      "a token is needed, as Authorization or as subprotocol bearer.<token> behind berth.v1");
    return id_valid(id) ? 0 : refuse(wsi, 404, "there is no such job");
}

/* --- Open --- */

static void want_write(struct ws *ws) {
    if (!ws->asked_ms)
        ws->asked_ms = clock_boot_ms();
    lws_callback_on_writable(ws->wsi);
}

static void close_with(struct ws *ws, int code, const char *reason) {
    if (ws->close_code)
        return;
    ws->close_code = code;
    snprintf(ws->reason, sizeof ws->reason, "%.*s", WS_REASON_MAX - 1, reason);
    want_write(ws);
}

static void on_wake(void *arg) {
    want_write(arg);
}

static void on_opened(void *arg, const struct err *err, const struct hub_head *head, int64_t cursor) {
    struct ws *ws = arg;
    struct err why;
    ws->opening = NULL;
    if (err) {
        close_with(ws, MESSAGE_CLOSE_AWAY, "the database cannot be reached; come back with the offset");
        return;
    }
    if (!head) {
        close_with(ws, MESSAGE_CLOSE_NOT_FOUND, "there is no such job or attempt");
        return;
    }
    if (head->services_known && streams_find(head->services, ws->query.stream) == STREAMS_NO_SUCH) {
        close_with(ws, MESSAGE_CLOSE_BAD, "the job has no such stream");
        return;
    }
    if (cursor > head->log_bytes && hub_head_ended(head)) {
        close_with(ws, MESSAGE_CLOSE_BAD, "the offset lies behind the end of the log");
        return;
    }
    if (viewer_new(ws->gateway->hub, head, on_wake, ws, &ws->viewer, &why) < 0) {
        close_with(ws, MESSAGE_CLOSE_MANY, "too many viewers; try again later");
        return;
    }
    ws->viewer->format = VIEWER_WS;
    snprintf(ws->viewer->stream, sizeof ws->viewer->stream, "%s", ws->query.stream);
    ws->viewer->follow = true;
    ws->viewer->fixed = query_stays(&ws->query);
    ws->viewer->cursor = cursor;
    want_write(ws);
}

static void begin(struct ws *ws) {
    char path[HTTP_PATH_MAX], id[64] = "";
    struct query query = {0};
    struct err err;
    http_header(ws->wsi, WSI_TOKEN_GET_URI, path, sizeof path);
    bool found = stream_path(path, id, sizeof id) && id_valid(id);
    if (count > WS_VIEWERS_MAX)
        close_with(ws, MESSAGE_CLOSE_MANY, "too many viewers; try again later");
    else if (!token_ok(ws->gateway, ws->wsi))
        close_with(ws, MESSAGE_CLOSE_UNAUTHORIZED, "no token or one that is not known here");
    else if (!found)
        close_with(ws, MESSAGE_CLOSE_NOT_FOUND, "there is no such job");
    else if (http_query(ws->wsi, &query, &err) < 0 || query_logs(&query, true, &ws->query, &err) < 0)
        close_with(ws, MESSAGE_CLOSE_BAD, err.text);
    query_done(&query);
    if (ws->close_code)
        return;
    memcpy(ws->job, id, sizeof ws->job);
    ws->opening = opening_start(ws->gateway, ws->job, &ws->query, on_opened, ws, &err);
    if (!ws->opening)
        close_with(ws, MESSAGE_CLOSE_AWAY, "the database cannot be reached; come back with the offset");
}

struct ws *ws_open(struct gateway *gateway, struct lws *wsi) {
    struct ws *ws = mem_alloc(sizeof *ws);
    *ws = (struct ws){.gateway = gateway, .wsi = wsi, .out = BUF(VIEWER_BUFFER_MAX)};
    TAILQ_INSERT_TAIL(&all, ws, link);
    count++;
    begin(ws);
    return ws;
}

void ws_free(struct ws *ws) {
    if (!ws)
        return;
    opening_cancel(ws->opening);
    viewer_free(ws->viewer);
    buf_done(&ws->out);
    TAILQ_REMOVE(&all, ws, link);
    count--;
    free(ws);
}

static void out_restart(struct ws *ws) {
    static const char room[LWS_PRE];
    buf_clear(&ws->out);
    buf_add(&ws->out, room, sizeof room);
}

static int send_out(struct ws *ws) {
    size_t len = ws->out.len - LWS_PRE;
    int n = lws_write(ws->wsi, (unsigned char *)ws->out.data + LWS_PRE, len, LWS_WRITE_TEXT);
    if (n < 0)
        return -1;
    want_write(ws);
    return 0;
}

static int say_close(struct ws *ws) {
    lws_close_reason(ws->wsi, (enum lws_close_status)ws->close_code, (unsigned char *)ws->reason,
                     strlen(ws->reason));
    return -1;
}

/* It took nothing for too long: what it has missed is named, then it is sent away. */
static int say_skipped(struct ws *ws) {
    const struct viewer *viewer = ws->viewer;
    const struct hub_log *log = viewer ? viewer->member.log : NULL;
    ws->skip_told = true;
    out_restart(ws);
    if (log && log->head.log_bytes > viewer->cursor)
        message_put_gap(&ws->out, viewer->cursor, log->head.log_bytes - viewer->cursor, "skipped");
    close_with(ws, MESSAGE_CLOSE_SLOW, "too slow; come back with the offset");
    return ws->out.len > LWS_PRE ? send_out(ws) : say_close(ws);
}

int ws_writable(struct ws *ws) {
    ws->asked_ms = 0;
    if (ws->slow && !ws->skip_told)
        return say_skipped(ws);
    if (ws->close_code)
        return say_close(ws);
    if (!ws->viewer)
        return 0;
    out_restart(ws);
    enum viewer_state state = VIEWER_DATA;
    while (state == VIEWER_DATA && ws->out.len == LWS_PRE)
        state = viewer_next(ws->viewer, &ws->out);
    if (ws->out.len > LWS_PRE)
        return send_out(ws);
    if (state == VIEWER_END)
        close_with(ws, MESSAGE_CLOSE_END, "");
    else if (state == VIEWER_LOST)
        close_with(ws, MESSAGE_CLOSE_NOT_FOUND, "the job was removed");
    else
        buf_done(&ws->out); /* idle: it costs no more than its cursor */
    return ws->close_code ? say_close(ws) : 0;
}

void ws_tick(void) {
    struct ws *ws;
    int64_t now = clock_boot_ms();
    TAILQ_FOREACH(ws, &all, link) {
        if (ws->slow || !ws->asked_ms || now - ws->asked_ms < WS_SLOW_MS)
            continue;
        ws->slow = true;
        log_info("viewer takes nothing", LS("job", ws->job));
        lws_set_timeout(ws->wsi, PENDING_TIMEOUT_USER_REASON_BASE, WS_SLOW_KILL_S);
    }
}

void ws_go_away(void) {
    struct ws *ws;
    TAILQ_FOREACH(ws, &all, link)
    close_with(ws, MESSAGE_CLOSE_AWAY, "server going away; come back with the offset");
}

bool ws_any(void) {
    return !TAILQ_EMPTY(&all);
}
