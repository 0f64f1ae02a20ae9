#include "client/watch.h"

#include <libwebsockets.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

enum { HOST_MAX = 256, PATH_MAX_BYTES = 512, HEADER_MAX = REMOTE_TOKEN_MAX + 16 };

struct viewer {
    const struct watch *watch;
    struct err *err;
    struct lws_context *lws;
    struct lws *wsi; /* NULL: not connected */
    lws_sorted_usec_list_t again;
    struct buf message;
    char host[HOST_MAX];
    int port;
    bool tls;
    int attempt;    /* what we are at; 0: not told yet */
    int64_t offset; /* -1: nothing seen yet */
    int64_t backoff_ms, away_since_ms;
    int signal_fd;
    bool ended, failed;
};

static void stop(struct viewer *v, bool failed) {
    v->ended = true;
    v->failed = failed;
    lws_cancel_service(v->lws);
}

static int split_url(struct viewer *v, struct err *err) {
    const char *p = strstr(v->watch->remote->url, "://") + 3;
    v->tls = strncmp(v->watch->remote->url, "https", 5) == 0;
    v->port = v->tls ? 443 : 80;
    size_t len = strcspn(p, "/");
    const char *close = *p == '[' ? memchr(p, ']', len) : NULL;
    const char *colon = memchr(close ? close : p, ':', len - (size_t)((close ? close : p) - p));
    if (colon)
        v->port = (int)strtol(colon + 1, NULL, 10);
    size_t host = colon ? (size_t)(colon - p) : len;
    if (close) {
        p++;
        host = (size_t)(close - p);
    }
    if (host == 0 || host >= sizeof v->host || v->port <= 0 || v->port > 65535 || p[len])
        return err_set(err, ERR_USAGE, 0, "BERTH_URL is '%s': write it like " REMOTE_DEFAULT_URL,
                       v->watch->remote->url);
    memcpy(v->host, p, host);
    v->host[host] = '\0';
    return 0;
}

static void write_path(const struct viewer *v, char out[PATH_MAX_BYTES]) {
    struct buf path = BUF(PATH_MAX_BYTES - 1);
    buf_addf(&path, "/v1/jobs/%s/stream?", v->watch->job);
    if (v->offset >= 0)
        buf_addf(&path, "offset=%lld&", (long long)v->offset);
    else if (v->watch->tail >= 0)
        buf_addf(&path, "tail=%lld&", (long long)v->watch->tail);
    if (v->attempt > 0)
        buf_addf(&path, "attempt=%d&", v->attempt);
    if (v->watch->stream)
        buf_addf(&path, "stream=%s&", v->watch->stream);
    snprintf(out, PATH_MAX_BYTES, "%s", buf_str(&path));
    out[strlen(out) - 1] = '\0'; /* the last '&' or '?' */
    buf_done(&path);
}

static void connect_again(lws_sorted_usec_list_t *sul);

static void connect_later(struct viewer *v, const char *why) {
    int64_t now = clock_boot_ms();
    v->wsi = NULL;
    if (v->ended)
        return;
    if (!v->away_since_ms)
        v->away_since_ms = now;
    if (now - v->away_since_ms > WATCH_AWAY_MAX_MS) {
        err_set(v->err, ERR_AWAY, 0, "%s did not answer for %d minutes (%s); the job is not touched by this",
                v->watch->remote->url, WATCH_AWAY_MAX_MS / 60000, why);
        stop(v, true);
        return;
    }
    unsigned jitter = 0;
    if (getrandom(&jitter, sizeof jitter, 0) < 0)
        jitter = 0;
    int64_t wait_ms = v->backoff_ms / 2 + jitter % (v->backoff_ms / 2 + 1);
    v->backoff_ms = v->backoff_ms * 2 > WATCH_BACKOFF_MAX_MS ? WATCH_BACKOFF_MAX_MS : v->backoff_ms * 2;
    lws_sul_schedule(v->lws, 0, &v->again, connect_again, wait_ms * LWS_US_PER_MS);
}

static void connect_again(lws_sorted_usec_list_t *sul) {
    struct viewer *v = lws_container_of(sul, struct viewer, again);
    char path[PATH_MAX_BYTES];
    write_path(v, path);
    struct lws_client_connect_info info = {
        .context = v->lws,
        .address = v->host,
        .host = v->host,
        .port = v->port,
        .path = path,
        .protocol = MESSAGE_SUBPROTOCOL,
        .local_protocol_name = MESSAGE_SUBPROTOCOL,
        .ssl_connection = v->tls ? LCCSCF_USE_SSL : 0,
        .pwsi = &v->wsi,
        .opaque_user_data = v,
    };
    buf_clear(&v->message);
    if (!lws_client_connect_via_info(&info))
        connect_later(v, "the connection could not be begun");
}

/* The server has these bytes, we were too slow: it hangs up, and we fetch them with the next connection. */
static bool was_skipped(const struct message *m) {
    return m->type == MESSAGE_GAP && m->cause && strcmp(m->cause, "skipped") == 0;
}

/* Where a viewer stands after this message. */
static void advance(struct viewer *v, const struct message *m) {
    switch (m->type) {
    case MESSAGE_HELLO:
        v->attempt = (int)m->attempt;
        v->offset = m->offset;
        break;
    case MESSAGE_ATTEMPT:
        v->attempt = (int)m->attempt;
        v->offset = 0;
        if (v->watch->attempt)
            stop(v, false);
        break;
    case MESSAGE_LOG:
        v->offset = m->offset + (int64_t)m->data_len;
        break;
    case MESSAGE_GAP:
        if (!was_skipped(m))
            v->offset = m->offset + m->bytes;
        break;
    case MESSAGE_END:
        stop(v, false);
        break;
    case MESSAGE_STATUS:
    case MESSAGE_TYPE_COUNT:
        break;
    }
}

static void take_message(struct viewer *v) {
    struct message m = {0};
    v->backoff_ms = WATCH_BACKOFF_MIN_MS;
    v->away_since_ms = 0;
    if (message_parse(buf_str(&v->message), v->message.len, &m, v->err) < 0) {
        err_wrap(v->err, "a message of %s", v->watch->remote->url);
        stop(v, true);
        return;
    }
    advance(v, &m);
    if (!was_skipped(&m) && v->watch->on_message(v->watch->arg, &m, v->err) < 0)
        stop(v, true);
    message_done(&m);
}

static int take_part(struct viewer *v, struct lws *wsi, const void *part, size_t len) {
    if (buf_add(&v->message, part, len) < 0) {
        err_set(v->err, ERR_LIMIT, 0, "a message is longer than %d bytes", WATCH_MESSAGE_MAX);
        stop(v, true);
        return -1;
    }
    if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi))
        return 0;
    take_message(v);
    buf_clear(&v->message);
    return v->ended ? -1 : 0;
}

/* Codes after which coming back cannot help. */
static int take_close(struct viewer *v, const unsigned char *bytes, size_t len) {
    int code = len >= 2 ? bytes[0] << 8 | bytes[1] : 0;
    bool refused = code == MESSAGE_CLOSE_BAD || code == MESSAGE_CLOSE_UNAUTHORIZED ||
                   code == MESSAGE_CLOSE_FORBIDDEN || code == MESSAGE_CLOSE_NOT_FOUND;
    if (refused && !v->ended) {
        err_set(v->err, ERR_INVALID, code, "%s closed the stream of job %s with code %d: %.*s",
                v->watch->remote->url, v->watch->job, code, (int)(len - 2), (const char *)bytes + 2);
        stop(v, true);
    }
    return 0;
}

static int add_authorization(const struct viewer *v, struct lws *wsi, unsigned char **p, unsigned char *end) {
    if (!v->watch->remote->token)
        return 0;
    char value[HEADER_MAX];
    int n = snprintf(value, sizeof value, "Bearer %s", v->watch->remote->token);
    if (n < 0 || (size_t)n >= sizeof value)
        return -1;
    return lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, (unsigned char *)value, n, p, end);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
    (void)user;
    struct viewer *v = lws_get_opaque_user_data(wsi);
    if (!v)
        return 0;
    switch ((int)reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER: {
        unsigned char **p = in;
        return add_authorization(v, wsi, p, *p + len) ? -1 : 0;
    }
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return take_part(v, wsi, in, len);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return take_close(v, in, len);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        connect_later(v, in ? in : "no connection");
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        connect_later(v, "the connection was closed");
        return 0;
    default:
        return 0;
    }
}

static int on_signal(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
    (void)user, (void)in, (void)len;
    if (reason != LWS_CALLBACK_RAW_RX_FILE)
        return 0;
    struct viewer *v = lws_context_user(lws_get_context(wsi));
    struct signalfd_siginfo info;
    if (read(v->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        v->watch->on_interrupt(v->watch->arg);
    return 0;
}

static const struct lws_protocols protocols[] = {
    {.name = MESSAGE_SUBPROTOCOL, .callback = on_event, .rx_buffer_size = 65536},
    {.name = "signals", .callback = on_signal},
    {0},
};

static const lws_retry_bo_t idle_policy = {
    .secs_since_valid_ping = WATCH_PING_AFTER_S,
    .secs_since_valid_hangup = WATCH_HANGUP_AFTER_S,
};

static int open_context(struct viewer *v, struct err *err) {
    lws_set_log_level(0, NULL);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
        .retry_and_idle_policy = &idle_policy,
        .user = v,
        .gid = -1,
        .uid = -1,
    };
    v->lws = lws_create_context(&info);
    return v->lws ? 0 : err_set(err, ERR_SYS, 0, "libwebsockets cannot be set up");
}

/* From here on the two signals come through the loop. Returns the mask to go back to. */
static int catch_signals(struct viewer *v, sigset_t *ret_before, struct err *err) {
    sigset_t caught;
    sigemptyset(&caught);
    sigaddset(&caught, SIGINT);
    sigaddset(&caught, SIGTERM);
    sigprocmask(v->watch->on_interrupt ? SIG_BLOCK : SIG_UNBLOCK, &caught, ret_before);
    if (!v->watch->on_interrupt)
        return 0;
    v->signal_fd = signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK);
    if (v->signal_fd < 0)
        return err_sys(err, "make a descriptor for signals");
    lws_sock_file_fd_type fd = {.filefd = v->signal_fd};
    struct lws_vhost *vhost = lws_get_vhost_by_name(v->lws, "default");
    if (!lws_adopt_descriptor_vhost(vhost, LWS_ADOPT_RAW_FILE_DESC, fd, "signals", NULL))
        return err_set(err, ERR_SYS, 0, "the descriptor for signals cannot be watched");
    return 0;
}

int watch_run(const struct watch *watch, struct err *err) {
    struct viewer v = {.watch = watch,
                       .err = err,
                       .offset = -1,
                       .attempt = watch->attempt,
                       .signal_fd = -1,
                       .backoff_ms = WATCH_BACKOFF_MIN_MS,
                       .message = BUF(WATCH_MESSAGE_MAX)};
    if (split_url(&v, err) < 0 || open_context(&v, err) < 0)
        return -1;
    sigset_t before;
    v.failed = catch_signals(&v, &before, err) < 0;
    if (!v.failed)
        connect_again(&v.again);
    while (!v.failed && !v.ended && lws_service(v.lws, 0) >= 0)
        ;
    v.ended = true; /* closing what is open must not begin anything anew */
    lws_context_destroy(v.lws);
    sigprocmask(SIG_SETMASK, &before, NULL);
    buf_done(&v.message);
    return v.failed ? -1 : 0;
}
