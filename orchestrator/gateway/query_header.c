#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "orchestrator/gateway/query.h"

enum { DIGITS_MAX = 18, REQUEST_ID_MAX = 64 };

const char *query_cursor_make(int64_t created_us, const char *id, char out[QUERY_CURSOR_MAX]) {
    char text[64];
    int len = snprintf(text, sizeof text, "%lld %s", (long long)created_us, id);
    return sodium_bin2base64(out, QUERY_CURSOR_MAX, (const unsigned char *)text, (size_t)len,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* Up to DIGITS_MAX digits; NULL when there is none or more. */
static const char *read_digits(const char *p, int64_t *ret) {
    size_t len = strspn(p, "0123456789");
    if (len == 0 || len > DIGITS_MAX)
        return NULL;
    *ret = strtoll(p, NULL, 10);
    return p + len;
}

int query_cursor_read(const char *cursor, int64_t *ret_us, char ret_id[ID_TEXT_MAX], struct err *err) {
    char text[64] = "";
    size_t len = 0;
    int64_t us = 0;
    const char *rest = NULL;
    if (sodium_base642bin((unsigned char *)text, sizeof text - 1, cursor, strlen(cursor), NULL, &len, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 &&
        strlen(text) == len)
        rest = read_digits(text, &us);
    if (!rest || *rest != ' ' || !id_valid(rest + 1))
        return err_set(err, ERR_INVALID, 0, "this is no cursor that a list has given out; begin without one");
    *ret_us = us;
    memcpy(ret_id, rest + 1, ID_TEXT_MAX);
    return 0;
}

static enum query_range range_suffix(const char *p, int64_t size, int64_t *ret_first, int64_t *ret_last) {
    int64_t n;
    const char *end = read_digits(p, &n);
    if (!end || *end)
        return QUERY_RANGE_NONE;
    if (n == 0 || size == 0)
        return QUERY_RANGE_UNSATISFIABLE;
    *ret_first = n > size ? 0 : size - n;
    *ret_last = size - 1;
    return QUERY_RANGE_OK;
}

enum query_range query_range(const char *header, int64_t size, int64_t *ret_first, int64_t *ret_last) {
    if (strncasecmp(header, "bytes=", 6) != 0)
        return QUERY_RANGE_NONE;
    const char *p = header + 6;
    if (*p == '-')
        return range_suffix(p + 1, size, ret_first, ret_last);
    int64_t first, last = INT64_MAX;
    p = read_digits(p, &first);
    if (!p || *p++ != '-')
        return QUERY_RANGE_NONE;
    if (*p && (!(p = read_digits(p, &last)) || *p || last < first))
        return QUERY_RANGE_NONE;
    if (first >= size)
        return QUERY_RANGE_UNSATISFIABLE;
    *ret_first = first;
    *ret_last = last >= size ? size - 1 : last;
    return QUERY_RANGE_OK;
}

/* The weight of one element of Accept in thousandths; its parameters begin behind the media type. */
static int weight(const char *params, size_t len) {
    for (size_t i = 0; i + 3 <= len; i++) {
        if (params[i] != ';')
            continue;
        size_t k = i + 1;
        while (k < len && params[k] == ' ')
            k++;
        if (k + 2 < len + 1 && k + 1 < len && (params[k] == 'q' || params[k] == 'Q') &&
            params[k + 1] == '=') {
            double q = strtod(params + k + 2, NULL);
            return q >= 0 && q <= 1 ? (int)(q * 1000) : 0;
        }
    }
    return 1000;
}

enum query_format query_accept(const char *header) {
    static const struct {
        const char *type;
        enum query_format format;
    } known[] = {
        {"text/plain", QUERY_FORMAT_TEXT},       {"*/*", QUERY_FORMAT_TEXT},
        {"text/*", QUERY_FORMAT_TEXT},           {"application/x-ndjson", QUERY_FORMAT_NDJSON},
        {"text/event-stream", QUERY_FORMAT_SSE},
    };
    enum query_format best = QUERY_FORMAT_TEXT;
    int best_weight = 0;
    while (*header) {
        header += strspn(header, " ,");
        size_t len = strcspn(header, ","), type = strcspn(header, ";, ");
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            int w = weight(header + type, len > type ? len - type : 0);
            if (strlen(known[i].type) == type && strncasecmp(header, known[i].type, type) == 0 &&
                w > best_weight) {
                best_weight = w;
                best = known[i].format;
            }
        }
        header += len;
    }
    return best;
}

bool query_event_id(const char *text, int64_t *ret_attempt, int64_t *ret_offset) {
    int64_t attempt, offset;
    const char *p = read_digits(text, &attempt);
    if (!p || *p != ':' || attempt < 1 || attempt > QUERY_ATTEMPT_MAX || !(p = read_digits(p + 1, &offset)) ||
        *p)
        return false;
    *ret_attempt = attempt;
    *ret_offset = offset;
    return true;
}

bool query_request_id_ok(const char *text) {
    size_t len = strlen(text);
    return len > 0 && len <= REQUEST_ID_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:") == len;
}
