#include "client/remote.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/fdutil.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"

static void slist_p(struct curl_slist **list) {
    curl_slist_free_all(*list);
}
#define AUTO_SLIST CLEANUP(slist_p)

static int read_token(char **ret, struct err *err) {
    const char *token = config_env("BERTH_TOKEN");
    const char *path = config_env("BERTH_TOKEN_FILE");
    if (token || !path) {
        *ret = mem_strdup(token);
        return 0;
    }
    AUTO_BUF struct buf text = BUF(0);
    if (file_read(AT_FDCWD, path, REMOTE_TOKEN_MAX, &text, err) < 0)
        return err_wrap(err, "BERTH_TOKEN_FILE");
    *ret = mem_strndup(buf_str(&text), strcspn(buf_str(&text), "\r\n"));
    return 0;
}

int remote_open(struct remote *ret, struct err *err) {
    const char *url = config_env("BERTH_URL");
    if (!url)
        url = REMOTE_DEFAULT_URL;
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return err_set(err, ERR_USAGE, 0, "BERTH_URL is '%s': write it like " REMOTE_DEFAULT_URL, url);
    struct remote remote = {0};
    if (read_token(&remote.token, err) < 0)
        return -1;
    size_t len = strlen(url);
    while (len && url[len - 1] == '/')
        len--;
    remote.url = mem_strndup(url, len);
    remote.curl = curl_easy_init();
    if (!remote.curl) {
        remote_done(&remote);
        return err_set(err, ERR_SYS, 0, "libcurl cannot be set up");
    }
    *ret = remote;
    return 0;
}

void remote_done(struct remote *remote) {
    if (remote->curl)
        curl_easy_cleanup(remote->curl);
    free(remote->url);
    free(remote->token);
    *remote = (struct remote){0};
}

char *remote_escape(struct remote *remote, const char *text) {
    char *escaped = curl_easy_escape(remote->curl, text, 0);
    char *own = mem_strdup(escaped ? escaped : "");
    curl_free(escaped);
    return own;
}

static int add_header(struct curl_slist **list, char *text) {
    AUTO_FREE char *own = text;
    struct curl_slist *longer = curl_slist_append(*list, own);
    if (!longer)
        return -1;
    *list = longer;
    return 0;
}

static int add_headers(const struct remote *remote, struct curl_slist **list, const char *accept, bool body,
                       const char *idempotency_key, struct err *err) {
    bool failed =
        add_header(list, mem_printf("Accept: %s", accept)) < 0 || add_header(list, mem_strdup("Expect:")) < 0;
    if (remote->token)
        failed |= add_header(list, mem_printf("Authorization: Bearer %s", remote->token)) < 0;
    if (body)
        failed |= add_header(list, mem_strdup("Content-Type: application/json")) < 0;
    if (idempotency_key)
        failed |= add_header(list, mem_printf("Idempotency-Key: \"%s\"", idempotency_key)) < 0;
    return failed ? err_set(err, ERR_SYS, 0, "no memory for the request's headers") : 0;
}

/* What the detail of a problem says, with a remedy where we know one. */
static int problem_error(const struct remote *remote, long status, const json_t *doc, struct err *err) {
    const char *detail = json_get_string(doc, "detail");
    const char *title = json_get_string(doc, "title");
    if (status == 401)
        return err_set(err, ERR_INVALID, 401,
                       "%s does not accept the token: set BERTH_TOKEN or BERTH_TOKEN_FILE%s%s", remote->url,
                       detail ? ": " : "", detail ? detail : "");
    AUTO_BUF struct buf text = BUF(ERR_TEXT_MAX);
    buf_addf(&text, "%s", detail ? detail : title ? title : "no explanation");
    size_t i;
    json_t *fault;
    json_array_foreach(json_object_get(doc, "errors"), i, fault) {
        const char *pointer = json_get_string(fault, "pointer");
        const char *words = json_get_string(fault, "detail");
        if (pointer && words && buf_addf(&text, "\n  %s: %s", *pointer ? pointer : "(the whole)", words) < 0)
            break;
    }
    return err_set(err, status >= 500 ? ERR_AWAY : ERR_INVALID, (int)status, "%s", buf_str(&text));
}

/* What no later try mends. */
static bool is_final(CURLcode code) {
    static const CURLcode final[] = {
        CURLE_URL_MALFORMAT,    CURLE_UNSUPPORTED_PROTOCOL,
        CURLE_WRITE_ERROR,      CURLE_PEER_FAILED_VERIFICATION,
        CURLE_SSL_CERTPROBLEM,  CURLE_SSL_CACERT_BADFILE,
        CURLE_SSL_ISSUER_ERROR, CURLE_SSL_PINNEDPUBKEYNOTMATCH,
    };
    for (size_t i = 0; i < ARRAY_LEN(final); i++)
        if (final[i] == code)
            return true;
    return false;
}

static int perform(struct remote *remote, struct err *err) {
    char reason[CURL_ERROR_SIZE] = "";
    long sent = 0; /* bytes of requests */
    curl_easy_setopt(remote->curl, CURLOPT_ERRORBUFFER, reason);
    CURLcode code = curl_easy_perform(remote->curl);
    curl_easy_setopt(remote->curl, CURLOPT_ERRORBUFFER, NULL);
    curl_easy_getinfo(remote->curl, CURLINFO_REQUEST_SIZE, &sent);
    remote->reached |= sent > 0;
    if (code == CURLE_OK)
        return 0;
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return err_set(err, ERR_CANCELED, 0, "interrupted before %s had answered", remote->url);
    return err_set(err, is_final(code) ? ERR_INVALID : ERR_AWAY, 0,
                   "cannot reach %s: %s; is berthd running there? BERTH_URL says where it is looked for",
                   remote->url, *reason ? reason : curl_easy_strerror(code));
}

static int on_progress(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now) {
    (void)total, (void)now, (void)up_total, (void)up_now;
    const struct remote *remote = arg;
    return remote->on_wait(remote->arg);
}

static void set_common(struct remote *remote, const char *url, struct curl_slist *headers) {
    curl_easy_reset(remote->curl);
    curl_easy_setopt(remote->curl, CURLOPT_URL, url);
    curl_easy_setopt(remote->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(remote->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(remote->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)REMOTE_CONNECT_TIMEOUT_MS);
    curl_easy_setopt(remote->curl, CURLOPT_USERAGENT, "berth/" BERTH_VERSION);
    if (!remote->on_wait)
        return;
    curl_easy_setopt(remote->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(remote->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(remote->curl, CURLOPT_XFERINFODATA, remote);
}

static size_t take_body(char *bytes, size_t size, size_t count, void *arg) {
    return buf_add(arg, bytes, size * count) < 0 ? 0 : size * count;
}

int remote_call(struct remote *remote, const char *method, const char *path, const json_t *body,
                const char *idempotency_key, json_t **ret_doc, struct err *err) {
    AUTO_SLIST struct curl_slist *headers = NULL;
    if (add_headers(remote, &headers, "application/json", body != NULL, idempotency_key, err) < 0)
        return -1;
    AUTO_FREE char *url = mem_printf("%s%s", remote->url, path);
    AUTO_FREE char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    AUTO_BUF struct buf answer = BUF(REMOTE_BODY_MAX);
    set_common(remote, url, headers);
    curl_easy_setopt(remote->curl, CURLOPT_TIMEOUT_MS, (long)REMOTE_ANSWER_TIMEOUT_MS);
    curl_easy_setopt(remote->curl, CURLOPT_CUSTOMREQUEST, method);
    if (text)
        curl_easy_setopt(remote->curl, CURLOPT_POSTFIELDS, text);
    else if (strcmp(method, "POST") == 0)
        curl_easy_setopt(remote->curl, CURLOPT_POSTFIELDSIZE, 0L);
    curl_easy_setopt(remote->curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(remote->curl, CURLOPT_WRITEDATA, &answer);
    if (perform(remote, err) < 0)
        return -1;
    long status = 0;
    curl_easy_getinfo(remote->curl, CURLINFO_RESPONSE_CODE, &status);
    AUTO_JSON json_t *doc = json_loadb(buf_str(&answer), answer.len, JSON_ALLOW_NUL, NULL);
    if (status >= 400 || status < 200)
        return problem_error(remote, status, doc, err);
    if (ret_doc)
        *ret_doc = STEAL(doc);
    return (int)status;
}

/* Of an answer that a server or what stands before it gives while a part of it is away; 0: none at all. */
static bool may_pass(const struct err *err) {
    return err->kind == ERR_AWAY && (err->code == 0 || (err->code >= 502 && err->code <= 504));
}

/* 1: over; 0: the user wants no more. */
static int pause_between(const struct remote *remote, int64_t ms) {
    for (int64_t end_ms = clock_boot_ms() + ms; clock_boot_ms() < end_ms;) {
        if (remote->on_wait && remote->on_wait(remote->arg))
            return 0;
        poll(NULL, 0, REMOTE_PAUSE_MIN_MS);
    }
    return 1;
}

int remote_post_once(struct remote *remote, const char *path, const json_t *body, json_t **ret_doc,
                     struct err *err) {
    char key[ID_TEXT_MAX];
    int64_t end_ms = clock_boot_ms() + REMOTE_PATIENCE_MS, pause_ms = REMOTE_PAUSE_MIN_MS;
    id_new_v7(key);
    remote->reached = false;
    for (;;) {
        int status = remote_call(remote, "POST", path, body, key, ret_doc, err);
        bool passes = status < 0 && may_pass(err);
        if (status >= 0 || (!passes && err->code))
            return status;
        if (!passes || clock_boot_ms() + pause_ms > end_ms || !pause_between(remote, pause_ms))
            break;
        if (pause_ms == REMOTE_PAUSE_MIN_MS)
            fprintf(stderr, "berth: %s; trying again for %d s\n", err->text, REMOTE_PATIENCE_MS / 1000);
        pause_ms = pause_ms * 2 < REMOTE_PAUSE_MAX_MS ? pause_ms * 2 : REMOTE_PAUSE_MAX_MS;
    }
    struct err last = *err;
    return remote->reached ? err_set(err, last.kind, last.code,
                                     "%s; it may have been done all the same: look with `berth ps -a` before "
                                     "you repeat it",
                                     last.text)
                           : -1;
}

struct line_taker {
    struct remote *remote;
    struct buf pending;
    remote_line *on_line;
    void *arg;
    struct err *err;
    bool failed;
};

static int take_lines(struct line_taker *t) {
    size_t begin = 0;
    const char *newline;
    while ((newline = memchr(t->pending.data + begin, '\n', t->pending.len - begin))) {
        size_t len = (size_t)(newline - t->pending.data) - begin;
        if (len && t->on_line(t->arg, t->pending.data + begin, len, t->err) < 0)
            return -1;
        begin += len + 1;
    }
    buf_drop_front(&t->pending, begin);
    return 0;
}

static size_t take_stream(char *bytes, size_t size, size_t count, void *arg) {
    struct line_taker *t = arg;
    if (buf_add(&t->pending, bytes, size * count) < 0) {
        err_set(t->err, ERR_LIMIT, 0, "a line of the answer is longer than %d bytes", REMOTE_LINE_MAX);
        t->failed = true;
        return 0;
    }
    long status = 0;
    curl_easy_getinfo(t->remote->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 400 && take_lines(t) < 0) {
        t->failed = true;
        return 0;
    }
    return size * count;
}

int remote_lines(struct remote *remote, const char *path, const char *accept, remote_line *on_line, void *arg,
                 struct err *err) {
    AUTO_SLIST struct curl_slist *headers = NULL;
    if (add_headers(remote, &headers, accept, false, NULL, err) < 0)
        return -1;
    AUTO_FREE char *url = mem_printf("%s%s", remote->url, path);
    struct line_taker taker = {
        .remote = remote, .pending = BUF(REMOTE_LINE_MAX), .on_line = on_line, .arg = arg, .err = err};
    set_common(remote, url, headers);
    curl_easy_setopt(remote->curl, CURLOPT_WRITEFUNCTION, take_stream);
    curl_easy_setopt(remote->curl, CURLOPT_WRITEDATA, &taker);
    struct err away = {0};
    int rc = perform(remote, &away);
    AUTO_BUF struct buf rest = taker.pending;
    if (taker.failed)
        return -1; /* err says why, not that the transfer was then broken off */
    if (rc < 0)
        return err_set(err, away.kind, away.code, "%s", away.text);
    long status = 0;
    curl_easy_getinfo(remote->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 400)
        return rest.len ? on_line(arg, rest.data, rest.len, err) : 0;
    AUTO_JSON json_t *doc = json_loadb(buf_str(&rest), rest.len, JSON_ALLOW_NUL, NULL);
    return problem_error(remote, status, doc, err);
}
