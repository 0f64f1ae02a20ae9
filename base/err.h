/*
 * err - an error as a value.
 *
 * A struct err lives on the caller's stack and owns nothing, so there is nothing to release and an error can
 * be reported when memory has run out. A function that can fail takes `struct err *` as its last parameter,
 * returns 0 (or a count) on success and a negative number on failure, and leaves its `ret_` parameters
 * untouched on failure. Callers add context on the way up with err_wrap(). Every function here accepts a
 * NULL err, for callers that do not care why.
 */
#ifndef BERTH_BASE_ERR_H
#define BERTH_BASE_ERR_H

enum { ERR_TEXT_MAX = 512 }; /* bytes, with the final NUL; a longer text is cut, its cause kept */

enum err_kind {
    ERR_NONE = 0,
    ERR_SYS,      /* a system call failed; code is errno */
    ERR_USAGE,    /* wrong command line or settings; the text names the remedy */
    ERR_INVALID,  /* bytes from elsewhere are not what they should be */
    ERR_CANCELED, /* the context was canceled */
    ERR_DEADLINE, /* the context's deadline has passed */
    ERR_ENGINE,   /* the Docker Engine answered with an error; code is the HTTP status */
    ERR_AWAY,     /* a dependency (engine, database, server) cannot be reached; trying again may help */
    ERR_DB,       /* the database refused a statement; code is its SQLSTATE, see db_sqlstate() */
    ERR_LIMIT,    /* a named bound would be exceeded */
    ERR_BUG,      /* an assumption of ours is wrong */
};

struct err {
    enum err_kind kind;
    int code;
    char text[ERR_TEXT_MAX];
};

/* Always returns -1, so that `return err_set(...)` reads well. */
int err_set(struct err *err, enum err_kind kind, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* ERR_SYS from errno: "<what>: <strerror(errno)>". Returns -1. */
int err_sys(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts "<context>: " before the text that is there. Kind and code stay. Returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A word for logs: "sys", "engine", … */
const char *err_kind_name(enum err_kind kind);

#endif
