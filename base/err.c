#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* A text that was cut may end within a character; what reads it later (JSON) takes whole ones only. */
static void drop_half_char(char *text) {
    size_t len = strlen(text);
    size_t start = len;
    while (start && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start && !utf8_char_len(text + start - 1, len - start + 1))
        text[start - 1] = '\0';
}

int err_set(struct err *err, enum err_kind kind, int code, const char *fmt, ...) {
    if (!err)
        return -1;
    char text[ERR_TEXT_MAX]; /* an argument may be the text that is replaced */
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof text)
        drop_half_char(text);
    err->kind = kind;
    err->code = code;
    memcpy(err->text, text, sizeof text);
    return -1;
}

/* The cause matters most to whoever reads this: when both do not fit, the context is cut. */
static void join(struct err *err, char context[ERR_TEXT_MAX], const char *cause) {
    size_t taken = strlen(cause) + sizeof ": ";
    size_t room = taken < sizeof err->text ? sizeof err->text - taken : 0;
    if (strlen(context) >= room) {
        context[room] = '\0';
        drop_half_char(context);
    }
    int n = snprintf(err->text, sizeof err->text, "%s%s%s", context, *context ? ": " : "", cause);
    if (n >= (int)sizeof err->text)
        drop_half_char(err->text);
}

int err_sys(struct err *err, const char *fmt, ...) {
    int code = errno;
    if (!err)
        return -1;
    char what[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    char reason[128];
    const char *text = strerror_r(code, reason, sizeof reason);
    err->kind = ERR_SYS;
    err->code = code;
    join(err, what, text);
    return -1;
}

int err_wrap(struct err *err, const char *fmt, ...) {
    if (!err)
        return -1;
    char context[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(context, sizeof context, fmt, ap);
    va_end(ap);
    char cause[ERR_TEXT_MAX];
    memcpy(cause, err->text, sizeof cause);
    join(err, context, cause);
    return -1;
}

const char *err_kind_name(enum err_kind kind) {
    static const char *const names[] = {
        [ERR_NONE] = "none",       [ERR_SYS] = "sys",           [ERR_USAGE] = "usage",
        [ERR_INVALID] = "invalid", [ERR_CANCELED] = "canceled", [ERR_DEADLINE] = "deadline",
        [ERR_ENGINE] = "engine",   [ERR_AWAY] = "away",         [ERR_DB] = "db",
        [ERR_LIMIT] = "limit",     [ERR_BUG] = "bug",
    };
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}
