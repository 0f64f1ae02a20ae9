#include "runner/docker/transfer.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/mem.h"

/* "/containers/x/json" of "/containers/x/json?size=1", for messages. */
static int path_len(const struct call *call) {
    return (int)strcspn(call->path, "?");
}

static const char *remedy(const struct engine *engine, long os_errno) {
    if (os_errno == EACCES || os_errno == EPERM)
        return "run as root or as a member of the group that owns the socket";
    if (engine->socket)
        return "is the daemon running? If it listens elsewhere, set DOCKER_HOST";
    return "is the daemon running and listening there? See DOCKER_HOST";
}

static int away(const struct transfer *t, CURLcode code, struct err *err) {
    const struct engine *engine = t->engine;
    long os_errno = 0;
    curl_easy_getinfo(t->slot->easy, CURLINFO_OS_ERRNO, &os_errno);
    const char *why = t->curl_text[0] ? t->curl_text : curl_easy_strerror(code);
    if (code == CURLE_COULDNT_CONNECT && os_errno)
        why = strerror((int)os_errno);
    return err_set(err, ERR_AWAY, (int)os_errno, "cannot reach the Docker Engine at %s: %s; %s", engine->host,
                   why, remedy(engine, os_errno));
}

static int tls_away(const struct transfer *t, CURLcode code, struct err *err) {
    return err_set(err, ERR_AWAY, 0,
                   "no TLS with the Docker Engine at %s: %s; see the certificates in DOCKER_CERT_PATH "
                   "(ca.pem, cert.pem, key.pem)",
                   t->engine->host, t->curl_text[0] ? t->curl_text : curl_easy_strerror(code));
}

static int closed(const struct transfer *t, CURLcode code, struct err *err) {
    return err_set(err, ERR_AWAY, 0, "%s %.*s: the Docker Engine at %s closed the connection%s (%s)",
                   t->call->method, path_len(t->call), t->call->path, t->engine->host,
                   code == CURLE_GOT_NOTHING ? " before it answered" : " before its answer was whole",
                   t->curl_text[0] ? t->curl_text : curl_easy_strerror(code));
}

/* Only what curl is known to say is told apart; the rest is the engine's fault until shown otherwise. */
static int curl_failure(const struct transfer *t, CURLcode code, struct err *err) {
    static const struct {
        CURLcode code;
        enum { AWAY, TLS, CLOSED, TOO_LONG } meaning;
    } known[] = {
        {CURLE_COULDNT_CONNECT, AWAY},
        {CURLE_COULDNT_RESOLVE_HOST, AWAY},
        {CURLE_OPERATION_TIMEDOUT, AWAY},
        {CURLE_INTERFACE_FAILED, AWAY},
        {CURLE_SSL_CONNECT_ERROR, TLS},
        {CURLE_PEER_FAILED_VERIFICATION, TLS},
        {CURLE_SSL_CERTPROBLEM, TLS},
        {CURLE_SSL_CACERT_BADFILE, TLS},
        {CURLE_SSL_ISSUER_ERROR, TLS},
        {CURLE_SSL_CIPHER, TLS},
        {CURLE_GOT_NOTHING, CLOSED},
        {CURLE_RECV_ERROR, CLOSED},
        {CURLE_SEND_ERROR, CLOSED},
        {CURLE_PARTIAL_FILE, CLOSED},
        {CURLE_OUT_OF_MEMORY, TOO_LONG}, /* what curl makes of a header line of more than 100 KB */
#if LIBCURL_VERSION_NUM >= 0x080600
        {CURLE_TOO_LARGE, TOO_LONG},
#endif
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (known[i].code != code)
            continue;
        switch (known[i].meaning) {
        case AWAY:
            return away(t, code, err);
        case TLS:
            return tls_away(t, code, err);
        case CLOSED:
            if (strcasestr(t->curl_text, "chunk")) /* curl has no code of its own for a malformed chunk */
                break;
            return closed(t, code, err);
        case TOO_LONG:
            return err_set(err, ERR_LIMIT, 0, "%s %.*s: the answer's header is longer than %d bytes",
                           t->call->method, path_len(t->call), t->call->path, ENGINE_HEADER_MAX);
        }
    }
    return err_set(err, ERR_INVALID, 0, "%s %.*s: what answers at %s is not a Docker Engine (%s)",
                   t->call->method, path_len(t->call), t->call->path, t->engine->host,
                   t->curl_text[0] ? t->curl_text : curl_easy_strerror(code));
}

/* The engine's {"message": "…"}, or the first line of whatever it says instead. */
static int engine_failure(const struct transfer *t, struct err *err) {
    const struct call_answer *answer = t->answer;
    AUTO_JSON json_t *json =
        answer->body.len ? json_loadb(answer->body.data, answer->body.len, 0, NULL) : NULL;
    const char *text = json_string_value(json_object_get(json, "message"));
    if (!text)
        text = answer->body.len ? answer->body.data : "no reason given";
    return err_set(err, ERR_ENGINE, answer->status, "%s %.*s: the Docker Engine answered %d: %.*s",
                   t->call->method, path_len(t->call), t->call->path, answer->status,
                   (int)strcspn(text, "\r\n"), text);
}

int transfer_verdict(struct transfer *t, CURLcode code, struct err *err) {
    if (t->failed) {
        if (err)
            *err = t->err;
        return -1;
    }
    if (code != CURLE_OK)
        return curl_failure(t, code, err);
    if (!t->header_done) /* curl is content with a header that breaks off */
        return closed(t, code, err);
    long status = 0;
    curl_easy_getinfo(t->slot->easy, CURLINFO_RESPONSE_CODE, &status);
    t->answer->status = (int)status;
    if (status >= 400)
        return engine_failure(t, err);
    if (status < 200 || (status >= 300 && status != 304))
        return err_set(err, ERR_INVALID, (int)status,
                       "%s %.*s: the answer's status is %ld, which no engine gives", t->call->method,
                       path_len(t->call), t->call->path, status);
    return 0;
}

static int fail(struct transfer *t, enum err_kind kind, const char *what, int bound) {
    t->failed = true;
    err_set(&t->err, kind, 0, "%s %.*s: %s %d bytes", t->call->method, path_len(t->call), t->call->path, what,
            bound);
    return 0; /* curl takes a short count for "stop" */
}

static long status_of(const struct transfer *t) {
    long status = 0;
    curl_easy_getinfo(t->slot->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg) {
    static const char name[] = "Api-Version:";
    struct transfer *t = arg;
    size_t len = size * count;
    t->header_bytes += len;
    if (t->header_bytes > ENGINE_HEADER_MAX)
        return (size_t)fail(t, ERR_LIMIT, "the answer's header is longer than", ENGINE_HEADER_MAX);
    if (len > sizeof name - 1 && strncasecmp(bytes, name, sizeof name - 1) == 0) {
        const char *value = bytes + sizeof name - 1, *end = bytes + len;
        while (value < end && (*value == ' ' || *value == '\t'))
            value++;
        size_t n = 0;
        while (value + n < end && value[n] > ' ' && n + 1 < sizeof t->answer->api_version)
            n++;
        memcpy(t->answer->api_version, value, n);
        t->answer->api_version[n] = '\0';
    }
    if (len <= 2 && strspn(bytes, "\r\n") >= len)
        t->header_done = status_of(t) >= 200;
    return len;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg) {
    struct transfer *t = arg;
    size_t len = size * count;
    if (t->call->on_bytes && status_of(t) < 300) {
        int taken = t->call->on_bytes(t->call->arg, bytes, len, &t->err);
        t->failed = taken < 0;
        return taken == TRANSFER_PAUSE ? CURL_WRITEFUNC_PAUSE : t->failed ? 0 : len;
    }
    if (buf_add(&t->answer->body, bytes, len) < 0)
        return (size_t)fail(t, ERR_LIMIT, "the answer is longer than", ENGINE_BODY_MAX);
    return len;
}

/* What curl's own machinery says is for want of memory or descriptors: no word about the engine, and it may
 * pass. */
static int machinery_failure(CURLMcode code, struct err *err) {
    return err_set(err, ERR_SYS, code == CURLM_OUT_OF_MEMORY ? ENOMEM : EIO, "libcurl: %s",
                   curl_multi_strerror(code));
}

static int slot_open(struct call_slot *slot, struct err *err) {
    if (!slot->multi)
        slot->multi = curl_multi_init();
    if (!slot->easy)
        slot->easy = curl_easy_init();
    return slot->multi && slot->easy ? 0 : machinery_failure(CURLM_OUT_OF_MEMORY, err);
}

void call_slot_close(struct call_slot *slot) {
    curl_easy_cleanup(slot->easy);
    curl_multi_cleanup(slot->multi);
    *slot = (struct call_slot){0};
}

static struct curl_slist *header_list(const struct call *call) {
    struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* no waiting for 100 Continue */
    AUTO_FREE char *type = mem_printf("Content-Type:%s%s", call->content_type ? " " : "",
                                      call->content_type ? call->content_type : "");
    list = curl_slist_append(list, type);
    return call->header ? curl_slist_append(list, call->header) : list;
}

static void set_peer(const struct engine *engine, CURL *easy) {
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* whatever http_proxy says */
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CALL_CONNECT_MAX_MS);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT,
                     1L); /* a name that is being looked up does not hold up an end */
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L); /* a wait may be silent for days */
    if (engine->socket)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, engine->socket);
    if (engine->ca)
        curl_easy_setopt(easy, CURLOPT_CAINFO, engine->ca);
    if (engine->cert)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, engine->cert);
    if (engine->key)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, engine->key);
}

static void set_call(struct transfer *t, const char *url) {
    CURL *easy = t->slot->easy;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->curl_text);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    if (strcmp(t->call->method, "POST") == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, t->call->body ? t->call->body : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->call->body_bytes);
    } else if (strcmp(t->call->method, "GET") != 0) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, t->call->method);
    }
}

int transfer_begin(struct engine *engine, struct call_slot *slot, const struct call *call,
                   struct call_answer *answer, struct transfer *ret_transfer, struct err *err) {
    *ret_transfer = (struct transfer){.engine = engine, .slot = slot, .call = call, .answer = answer};
    if (!call->unversioned && !engine->version[0])
        return err_set(err, ERR_BUG, 0, "%s %s: no API version agreed yet", call->method, call->path);
    if (slot_open(slot, err) < 0)
        return -1;
    AUTO_FREE char *url = call->unversioned
                              ? mem_printf("%s%s", engine->base, call->path)
                              : mem_printf("%s/v%s%s", engine->base, engine->version, call->path);
    ret_transfer->headers = header_list(call);
    curl_easy_reset(slot->easy); /* keeps its connections */
    set_peer(engine, slot->easy);
    set_call(ret_transfer, url);
    CURLMcode code = curl_multi_add_handle(slot->multi, slot->easy);
    return code == CURLM_OK ? 0 : machinery_failure(code, err);
}

int transfer_step(struct transfer *t, CURLcode *ret_code, struct err *err) {
    int running = 0, left = 0;
    CURLMcode code = curl_multi_perform(t->slot->multi, &running);
    for (CURLMsg *msg; code == CURLM_OK && (msg = curl_multi_info_read(t->slot->multi, &left));) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        *ret_code = msg->data.result;
        return 1;
    }
    return code == CURLM_OK ? 0 : machinery_failure(code, err);
}

int transfer_wait(struct transfer *t, const struct ctx *ctx, struct err *err) {
    if (ctx_check(ctx, "waiting for the Docker Engine", err) < 0)
        return err_wrap(err, "%s %.*s", t->call->method, path_len(t->call), t->call->path);
    struct curl_waitfd wake = {.fd = ctx_wake_fd(ctx), .events = CURL_WAIT_POLLIN};
    int left_ms = ctx_remaining_ms(ctx);
    CURLMcode code =
        curl_multi_poll(t->slot->multi, &wake, wake.fd >= 0, left_ms < 0 ? INT_MAX : left_ms, NULL);
    if (code != CURLM_OK)
        return machinery_failure(code, err);
    ctx_pump(ctx); /* asks poll(2) itself: curl does not report POLLHUP of a foreign descriptor */
    return 0;
}

bool transfer_is_good(const struct transfer *t) {
    return t->header_done && status_of(t) < 300;
}

void transfer_end(struct transfer *t) {
    if (!t->slot)
        return;
    curl_multi_remove_handle(t->slot->multi,
                             t->slot->easy); /* closes the connection if the answer is not whole */
    curl_easy_setopt(t->slot->easy, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(t->headers);
    t->headers = NULL;
    t->slot = NULL;
}
