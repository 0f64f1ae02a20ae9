#include "proto/message.h"

#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/utf8.h"

enum { ESCAPE_MAX = 6 };

/* What stands for a byte inside a JSON string (RFC 8259, section 7): 0 itself, 'u' as \u00XX, else '\' and
 * this. */
static const char escapes[256] = {
    'u',         'u',           'u', 'u', 'u', 'u', 'u', 'u',
    'b',         't',           'n', 'u', 'f', 'r', 'u', 'u', /* 0x00 */
    'u',         'u',           'u', 'u', 'u', 'u', 'u', 'u',
    'u',         'u',           'u', 'u', 'u', 'u', 'u', 'u', /* 0x10 */
    ['"'] = '"', ['\\'] = '\\',
};

static size_t escaped_len(const unsigned char *bytes, size_t len) {
    size_t sum = 0;
    for (size_t i = 0; i < len; i++) {
        char e = escapes[bytes[i]];
        sum += e == 0 ? 1 : e == 'u' ? ESCAPE_MAX : 2;
    }
    return sum;
}

/* The caller has made room. */
static void add_escaped(struct buf *out, const unsigned char *bytes, size_t len) {
    static const char hex[] = "0123456789abcdef";
    char *p = out->data + out->len;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = bytes[i];
        char e = escapes[c];
        if (!e) {
            *p++ = (char)c;
            continue;
        }
        *p++ = '\\';
        *p++ = e;
        if (e != 'u')
            continue;
        *p++ = '0';
        *p++ = '0';
        *p++ = hex[c >> 4];
        *p++ = hex[c & 15];
    }
    *p = '\0';
    out->len = (size_t)(p - out->data);
}

/* RFC 4648, section 4. */
static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static size_t base64_len(size_t len) {
    return (len + 2) / 3 * 4;
}

/* The caller has made room. */
static void add_base64(struct buf *out, const unsigned char *bytes, size_t len) {
    char *p = out->data + out->len;
    for (size_t i = 0; i < len; i += 3) {
        unsigned group = (unsigned)bytes[i] << 16;
        group |= i + 1 < len ? (unsigned)bytes[i + 1] << 8 : 0;
        group |= i + 2 < len ? bytes[i + 2] : 0;
        *p++ = base64_digits[group >> 18];
        *p++ = base64_digits[group >> 12 & 63];
        *p++ = i + 1 < len ? base64_digits[group >> 6 & 63] : '=';
        *p++ = i + 2 < len ? base64_digits[group & 63] : '=';
    }
    *p = '\0';
    out->len = (size_t)(p - out->data);
}

int message_put_log(struct buf *out, int64_t offset, int64_t time_us, const char *stream,
                    const unsigned char *bytes, size_t len) {
    char ts[CLOCK_RFC3339_MAX];
    static const char tail[] = "\"}";
    bool text = utf8_valid(bytes, len);
    size_t before = out->len;
    size_t more = text ? escaped_len(bytes, len) : base64_len(len);
    if (buf_addf(out, "{\"type\":\"log\",\"offset\":%" PRId64 ",\"ts\":\"%s\",\"stream\":\"%s\",\"%s\":\"",
                 offset, clock_format_rfc3339(time_us, ts), stream, text ? "text" : "base64") < 0)
        return -1;
    if (buf_reserve(out, more + strlen(tail)) < 0) {
        out->len = before; /* nothing rather than half a message */
        out->data[before] = '\0';
        return -1;
    }
    if (text)
        add_escaped(out, bytes, len);
    else
        add_base64(out, bytes, len);
    return buf_adds(out, tail);
}

int message_put_gap(struct buf *out, int64_t offset, int64_t bytes, const char *cause) {
    return buf_addf(out, "{\"type\":\"gap\",\"offset\":%" PRId64 ",\"bytes\":%" PRId64 ",\"cause\":\"%s\"}",
                    offset, bytes, cause);
}
