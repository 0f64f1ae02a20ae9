#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, enum err_kind kind, int code, const char *fmt, ...) {
    if (!err)
        return -1;
    err->kind = kind;
    err->code = code;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    return -1;
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
    if (snprintf(err->text, sizeof err->text, "%s: %s", what, text) < 0)
        err->text[0] = '\0';
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
    /* The cause matters most to whoever reads this: when both do not fit, the context is cut. */
    int room = (int)sizeof err->text - (int)strlen(cause) - 3;
    if (snprintf(err->text, sizeof err->text, "%.*s: %s", room > 0 ? room : 0, context, cause) < 0)
        err->text[0] = '\0';
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
