#include "proto/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ctx.h"
#include "base/fdutil.h"
#include "base/json.h"
#include "base/mem.h"
#include "proto/child.h"
#include "proto/journal.h"

static const char *const words[CONTROL_TYPE_COUNT] = {
#define X(symbol, word) word,
    CONTROL_TABLE(X)
#undef X
};

static const char *const part_words[HEALTH_PART_COUNT] = {
#define X(symbol, word) word,
    HEALTH_TABLE(X)
#undef X
};

const char *health_part_word(enum health_part part) {
    return part_words[part];
}

static const char *or_empty(const char *text) {
    return text ? text : "";
}

static json_t *encode_config(const struct control *m) {
    return json_pack("{s:s, s:O, s:s, s:s, s:s}", "type", words[CONTROL_CONFIG], "settings", m->settings,
                     "instance", m->instance, "cluster", or_empty(m->cluster), "cgroup", or_empty(m->cgroup));
}

static json_t *encode_word(const struct control *m) {
    return json_pack("{s:s}", "type", words[m->type]);
}

static json_t *encode_cancel(const struct control *m) {
    return json_pack("{s:s, s:b, s:s}", "type", words[CONTROL_CANCEL], "force", m->force, "reason",
                     reason_name(m->reason));
}

static json_t *encode_extend(const struct control *m) {
    return json_pack("{s:s, s:I}", "type", words[CONTROL_EXTEND], "run_ms", (json_int_t)m->run_ms);
}

static json_t *encode_probed(const struct control *m) {
    return json_pack("{s:s, s:b, s:s, s:s, s:s}", "type", words[CONTROL_PROBED], "ok", m->ok, "detail",
                     or_empty(m->detail), "cgroup", or_empty(m->cgroup), "warning", or_empty(m->warning));
}

static json_t *encode_health(const struct control *m) {
    return json_pack("{s:s, s:s, s:b, s:o}", "type", words[CONTROL_HEALTH], "part", part_words[m->part], "ok",
                     m->ok, "detail", journal_text(or_empty(m->detail)));
}

/* JSON_STRICT: a member that is not named in the format is an error. */
static int decode_config(json_t *doc, struct control *m, json_error_t *error) {
    const char *type = NULL;
    const char *instance = NULL;
    const char *cluster = NULL;
    const char *cgroup = NULL;
    json_t *settings = NULL;
    if (json_unpack_ex(doc, error, JSON_STRICT, "{s:s, s:o, s:s, s:s, s:s}", "type", &type, "settings",
                       &settings, "instance", &instance, "cluster", &cluster, "cgroup", &cgroup) < 0)
        return -1;
    if (!json_is_object(settings)) {
        snprintf(error->text, sizeof error->text, "settings is not an object");
        return -1;
    }
    m->settings = json_incref(settings);
    m->instance = mem_strdup(instance);
    m->cluster = mem_strdup(cluster);
    m->cgroup = mem_strdup(cgroup);
    return 0;
}

static int decode_word(json_t *doc, struct control *m, json_error_t *error) {
    const char *type = NULL;
    (void)m;
    return json_unpack_ex(doc, error, JSON_STRICT, "{s:s}", "type", &type);
}

static int decode_cancel(json_t *doc, struct control *m, json_error_t *error) {
    const char *type = NULL;
    const char *reason = NULL;
    int force = 0;
    if (json_unpack_ex(doc, error, JSON_STRICT, "{s:s, s:b, s:s}", "type", &type, "force", &force, "reason",
                       &reason) < 0)
        return -1;
    if (!reason_parse(reason, &m->reason) || reason_status(m->reason) != STATUS_CANCELED) {
        snprintf(error->text, sizeof error->text, "reason is none of those for canceled");
        return -1;
    }
    m->force = force;
    return 0;
}

static int decode_extend(json_t *doc, struct control *m, json_error_t *error) {
    const char *type = NULL;
    json_int_t run_ms = 0;
    if (json_unpack_ex(doc, error, JSON_STRICT, "{s:s, s:I}", "type", &type, "run_ms", &run_ms) < 0)
        return -1;
    if (run_ms < 1) {
        snprintf(error->text, sizeof error->text, "run_ms is less than 1");
        return -1;
    }
    m->run_ms = run_ms;
    return 0;
}

static int decode_probed(json_t *doc, struct control *m, json_error_t *error) {
    const char *type = NULL;
    const char *detail = NULL;
    const char *cgroup = NULL;
    const char *warning = NULL;
    int ok = 0;
    if (json_unpack_ex(doc, error, JSON_STRICT, "{s:s, s:b, s:s, s:s, s:s}", "type", &type, "ok", &ok,
                       "detail", &detail, "cgroup", &cgroup, "warning", &warning) < 0)
        return -1;
    m->ok = ok;
    m->detail = mem_strdup(detail);
    m->cgroup = mem_strdup(cgroup);
    m->warning = mem_strdup(warning);
    return 0;
}

static int decode_health(json_t *doc, struct control *m, json_error_t *error) {
    const char *type = NULL;
    const char *part = NULL;
    const char *detail = NULL;
    int ok = 0;
    if (json_unpack_ex(doc, error, JSON_STRICT, "{s:s, s:s, s:b, s:s}", "type", &type, "part", &part, "ok",
                       &ok, "detail", &detail) < 0)
        return -1;
    for (unsigned i = 0; i < HEALTH_PART_COUNT; i++) {
        if (strcmp(part, part_words[i]) != 0)
            continue;
        m->part = (enum health_part)i;
        m->ok = ok;
        m->detail = mem_strdup(detail);
        return 0;
    }
    snprintf(error->text, sizeof error->text, "part is none that is known");
    return -1;
}

static const struct {
    json_t *(*encode)(const struct control *m);
    int (*decode)(json_t *doc, struct control *m, json_error_t *error);
} codecs[CONTROL_TYPE_COUNT] = {
    [CONTROL_CONFIG] = {encode_config, decode_config}, [CONTROL_READY] = {encode_word, decode_word},
    [CONTROL_CANCEL] = {encode_cancel, decode_cancel}, [CONTROL_EXTEND] = {encode_extend, decode_extend},
    [CONTROL_BEGIN] = {encode_word, decode_word},      [CONTROL_PROBED] = {encode_probed, decode_probed},
    [CONTROL_HEALTH] = {encode_health, decode_health}, [CONTROL_ALIVE] = {encode_word, decode_word},
};

int control_send(int fd, const struct control *message, struct err *err) {
    const char *word = words[message->type];
    AUTO_JSON json_t *doc = codecs[message->type].encode(message);
    AUTO_FREE char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
    if (!text)
        return err_set(err, ERR_BUG, 0, "message %s cannot be written as JSON", word);
    size_t len = strlen(text);
    if (len > CHILD_MESSAGE_MAX)
        return err_set(err, ERR_LIMIT, 0, "message %s has %zu bytes, more than %d", word, len,
                       CHILD_MESSAGE_MAX);
    return packet_send(fd, text, len, err) < 0 ? err_wrap(err, "message %s", word) : 0;
}

void control_answer_alive(int fd, const struct control *message) {
    if (message->type == CONTROL_ALIVE)
        (void)control_send(fd, message, NULL);
}

static int type_of(const json_t *doc, enum control_type *ret, struct err *err) {
    const char *word = json_get_string(doc, "type");
    if (!word)
        return err_set(err, ERR_INVALID, 0, "message without a type");
    for (unsigned i = 0; i < CONTROL_TYPE_COUNT; i++)
        if (strcmp(word, words[i]) == 0) {
            *ret = (enum control_type)i;
            return 0;
        }
    return err_set(err, ERR_INVALID, 0,
                   "message of unknown type \"%.40s\": do all processes have one version?", word);
}

int control_decode(const char *bytes, size_t len, struct control *ret_message, struct err *err) {
    json_error_t error;
    AUTO_JSON json_t *doc = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &error);
    if (!doc)
        return err_set(err, ERR_INVALID, 0, "message is not JSON: %s", error.text);
    struct control m = {0};
    if (type_of(doc, &m.type, err) < 0)
        return -1;
    if (codecs[m.type].decode(doc, &m, &error) < 0) {
        control_done(&m);
        return err_set(err, ERR_INVALID, 0, "message %s is wrong: %s", words[m.type], error.text);
    }
    *ret_message = m;
    return 0;
}

int control_recv(int fd, struct control *ret_message, struct err *err) {
    char bytes[CHILD_MESSAGE_MAX];
    ssize_t n = packet_recv(fd, bytes, sizeof bytes, err);
    if (n <= 0)
        return (int)n;
    int result = control_decode(bytes, (size_t)n, ret_message, err);
    explicit_bzero(bytes, (size_t)n); /* secrets come this way */
    return result < 0 ? -1 : 1;
}

int control_recv_config(int fd, struct control *ret_message, struct err *err) {
    struct ctx ctx = ctx_root(NULL);
    ctx_deadline_in(&ctx, CONTROL_CONFIG_WAIT_MS);
    for (;;) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        if (ctx_poll(&ctx, &pfd, 1, "wait for the parent's first message", err) < 0)
            return -1;
        struct err why = {0};
        struct control m = {0};
        int got = control_recv(fd, &m, &why);
        if (got < 0 && why.kind == ERR_SYS && why.code == EAGAIN)
            continue;
        if (got < 0)
            return err_set(err, why.kind, why.code, "first message of the parent: %s", why.text);
        if (got == 0)
            return err_set(err, ERR_AWAY, 0, "the parent is gone");
        if (m.type != CONTROL_CONFIG) {
            control_done(&m);
            return err_set(err, ERR_INVALID, 0, "first message of the parent is not config");
        }
        *ret_message = m;
        return 0;
    }
}

void control_done(struct control *message) {
    json_decref(message->settings);
    free(message->instance);
    free(message->cluster);
    free(message->detail);
    free(message->cgroup);
    free(message->warning);
    message->settings = NULL;
    message->instance = message->cluster = message->detail = message->cgroup = message->warning = NULL;
}
