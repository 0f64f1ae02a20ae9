#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "proto/message.h"

enum kind { KIND_STRING, KIND_COUNT, KIND_EXIT_CODE, KIND_TIME };

/* Every member but the payload; the bit says whether a message needs it. */
#define MEMBER_TABLE(X)                                                                                      \
    X(JOB, "job", KIND_STRING, job)                                                                          \
    X(STATUS, "status", KIND_STRING, status)                                                                 \
    X(REASON, "reason", KIND_STRING, reason)                                                                 \
    X(STREAM, "stream", KIND_STRING, stream)                                                                 \
    X(CAUSE, "cause", KIND_STRING, cause)                                                                    \
    X(SHA256, "sha256", KIND_STRING, sha256)                                                                 \
    X(ATTEMPT, "attempt", KIND_COUNT, attempt)                                                               \
    X(OFFSET, "offset", KIND_COUNT, offset)                                                                  \
    X(BYTES, "bytes", KIND_COUNT, bytes)                                                                     \
    X(EXIT_CODE, "exit_code", KIND_EXIT_CODE, exit_code)                                                     \
    X(TS, "ts", KIND_TIME, time_us)

enum member {
#define X(symbol, word, kind, field) MEMBER_##symbol,
    MEMBER_TABLE(X)
#undef X
        MEMBER_COUNT
};
#define BIT(symbol) (1U << MEMBER_##symbol)

static const struct {
    const char *word;
    enum kind kind;
    size_t offset;
} members[MEMBER_COUNT] = {
#define X(symbol, word_, kind_, field) [MEMBER_##symbol] = {word_, kind_, offsetof(struct message, field)},
    MEMBER_TABLE(X)
#undef X
};

static const struct {
    const char *word;
    unsigned needs;
} types[MESSAGE_TYPE_COUNT] = {
    [MESSAGE_HELLO] = {"hello", BIT(JOB) | BIT(ATTEMPT) | BIT(STATUS) | BIT(OFFSET)},
    [MESSAGE_LOG] = {"log", BIT(OFFSET) | BIT(TS) | BIT(STREAM)},
    [MESSAGE_GAP] = {"gap", BIT(OFFSET) | BIT(BYTES) | BIT(CAUSE)},
    [MESSAGE_STATUS] = {"status", BIT(STATUS) | BIT(ATTEMPT)},
    [MESSAGE_ATTEMPT] = {"attempt", BIT(ATTEMPT)},
    [MESSAGE_END] = {"end", BIT(OFFSET) | BIT(STATUS)},
};

static bool take_string(const json_t *value, const char **at) {
    *at = json_string_value(value);
    return *at && strlen(*at) == json_string_length(value);
}

static bool take_count(const json_t *value, int64_t max, int64_t *at) {
    *at = json_integer_value(value);
    return json_is_integer(value) && *at >= 0 && *at <= max;
}

static bool take_member(struct message *m, enum member member, const json_t *value) {
    void *at = (char *)m + members[member].offset;
    int64_t number = 0;
    switch (members[member].kind) {
    case KIND_STRING:
        return take_string(value, at);
    case KIND_COUNT:
        return take_count(value, INT64_MAX, at);
    case KIND_EXIT_CODE:
        if (!take_count(value, INT32_MAX, &number))
            return false;
        m->exit_code = (int)number;
        return true;
    case KIND_TIME:
        return json_is_string(value) && clock_parse_rfc3339(json_string_value(value), at, NULL) == 0;
    }
    return false;
}

/* 0 to 63, 64 for padding, -1. */
static int digit_value(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    const char *p = c ? strchr(digits, c) : NULL;
    return p ? (int)(p - digits) : -1;
}

/* RFC 4648, section 4, with padding and nothing else. */
static int base64_decode(const char *text, size_t len, struct message *m) {
    AUTO_FREE unsigned char *data = mem_alloc(len / 4 * 3 + 1);
    size_t n = 0;
    if (len % 4)
        return -1;
    for (size_t i = 0; i < len; i += 4) {
        int v[4];
        for (size_t k = 0; k < 4; k++)
            v[k] = digit_value(text[i + k]);
        bool last = i + 4 == len;
        if (v[0] < 0 || v[0] > 63 || v[1] < 0 || v[1] > 63 || v[2] < 0 || v[3] < 0 ||
            (v[2] > 63 && v[3] <= 63) || (v[3] > 63 && !last))
            return -1;
        unsigned group =
            (unsigned)v[0] << 18 | (unsigned)v[1] << 12 | ((unsigned)v[2] & 63) << 6 | ((unsigned)v[3] & 63);
        data[n++] = (unsigned char)(group >> 16);
        if (v[2] <= 63)
            data[n++] = (unsigned char)(group >> 8);
        if (v[3] <= 63)
            data[n++] = (unsigned char)group;
    }
    m->data = STEAL(data);
    m->data_len = n;
    return 0;
}

static int take_payload(struct message *m, struct err *err) {
    const json_t *text = json_object_get(m->doc, "text");
    const json_t *base64 = json_object_get(m->doc, "base64");
    const json_t *payload = text ? text : base64;
    if (!json_is_string(payload) || (text && base64))
        return err_set(err, ERR_INVALID, 0, "a log message needs either text or base64");
    const char *chars = json_string_value(payload);
    size_t len = json_string_length(payload);
    if (base64)
        return base64_decode(chars, len, m) < 0 ? err_set(err, ERR_INVALID, 0, "base64 is malformed") : 0;
    m->data = mem_alloc(len + 1);
    memcpy(m->data, chars, len);
    m->data_len = len;
    return 0;
}

static int take_type(struct message *m, struct err *err) {
    const char *word = json_get_string(m->doc, "type");
    for (unsigned i = 0; word && i < MESSAGE_TYPE_COUNT; i++)
        if (strcmp(word, types[i].word) == 0) {
            m->type = (enum message_type)i;
            return 0;
        }
    return err_set(err, ERR_INVALID, 0, "message of unknown type \"%.40s\"", word ? word : "");
}

static int take_members(struct message *m, struct err *err) {
    unsigned seen = 0;
    m->exit_code = -1;
    for (unsigned i = 0; i < MEMBER_COUNT; i++) {
        const json_t *value = json_object_get(m->doc, members[i].word);
        if (!value || json_is_null(value))
            continue;
        if (!take_member(m, (enum member)i, value))
            return err_set(err, ERR_INVALID, 0, "message %s: %s has a wrong value", types[m->type].word,
                           members[i].word);
        seen |= 1U << i;
    }
    unsigned missing = types[m->type].needs & ~seen;
    if (missing)
        return err_set(err, ERR_INVALID, 0, "message %s: %s is missing", types[m->type].word,
                       members[__builtin_ctz(missing)].word);
    return m->type == MESSAGE_LOG ? take_payload(m, err) : 0;
}

int message_parse(const char *text, size_t len, struct message *ret_message, struct err *err) {
    json_error_t error;
    struct message m = {.doc = json_loadb(text, len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error)};
    if (!m.doc)
        return err_set(err, ERR_INVALID, 0, "message is not JSON: %s", error.text);
    if (take_type(&m, err) < 0 || take_members(&m, err) < 0) {
        message_done(&m);
        return -1;
    }
    *ret_message = m;
    return 0;
}

void message_done(struct message *message) {
    free(message->data);
    json_decref(message->doc);
    message->data = NULL;
    message->doc = NULL;
}
