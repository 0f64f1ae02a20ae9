#include "runner/docker/url.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

static bool is_unreserved(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~", c));
}

static int add_escaped(struct buf *out, const char *text) {
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (is_unreserved(c) ? buf_add(out, text, 1) < 0 : buf_addf(out, "%%%02X", c) < 0)
            return -1;
    }
    return 0;
}

int url_format(struct buf *out, struct err *err, const char *pattern, ...) {
    va_list args;
    va_start(args, pattern);
    int result = 0;
    for (const char *p = pattern; *p && result == 0;) {
        const char *hole = strstr(p, "{}");
        size_t literal = hole ? (size_t)(hole - p) : strlen(p);
        if (buf_add(out, p, literal) < 0)
            result = err_set(err, ERR_LIMIT, 0, "%s: longer than %d bytes", pattern, URL_MAX);
        if (!hole)
            break;
        p = hole + 2;
        const char *arg = va_arg(args, const char *);
        if (result == 0 && (!arg || !*arg))
            result = err_set(err, ERR_INVALID, 0, "%s: an id, name or value in it is empty", pattern);
        else if (result == 0 && add_escaped(out, arg) < 0)
            result = err_set(err, ERR_LIMIT, 0, "%s: longer than %d bytes", pattern, URL_MAX);
    }
    va_end(args);
    return result;
}
