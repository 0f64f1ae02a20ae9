/*
 * remote - the server: where it is, who we are, and one HTTP call at a time (libcurl, blocking).
 *
 * Address and token come from BERTH_URL, BERTH_TOKEN or BERTH_TOKEN_FILE. An answer that is a problem (RFC
 * 9457) becomes an error that carries its detail; err->code is then the HTTP status. ERR_AWAY: nobody answers
 * there.
 */
#ifndef BERTH_CLIENT_REMOTE_H
#define BERTH_CLIENT_REMOTE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/err.h"

enum {
    REMOTE_CONNECT_TIMEOUT_MS = 10000,
    REMOTE_ANSWER_TIMEOUT_MS =
        90000, /* of a call that is answered whole; above the longest ?wait= that we ask for */
    REMOTE_PATIENCE_MS = 30000, /* of remote_post_once(): no try begins later */
    REMOTE_PAUSE_MIN_MS = 250,  /* between two tries, twice as long each time … */
    REMOTE_PAUSE_MAX_MS = 4000,
    REMOTE_BODY_MAX = 64 * 1024 * 1024,
    REMOTE_LINE_MAX = 4 * 1024 * 1024,
    REMOTE_TOKEN_MAX = 4096,
    REMOTE_SPEC_WRONG = 422, /* the status for what the user has asked for and cannot be */
};
#define REMOTE_DEFAULT_URL "http://127.0.0.1:8710"

struct remote {
    char *url;   /* without a slash at its end */
    char *token; /* NULL: none */
    void *curl;
    bool reached; /* a call of remote_post_once() may have got as far as the server */
    /* Called about once a second within remote_call, and between two tries of remote_post_once(); not 0
     * breaks it off. NULL: nothing. */
    int (*on_wait)(void *arg);
    void *arg;
};

int remote_open(struct remote *ret, struct err *err);
void remote_done(struct remote *remote);
#define AUTO_REMOTE CLEANUP(remote_done)

/* path with its query, beginning with '/'. body NULL: none. idempotency_key NULL: none. *ret_doc (owned by
 * the caller) is NULL when the answer has no JSON. Returns the HTTP status (< 400), or -1. */
int remote_call(struct remote *remote, const char *method, const char *path, const json_t *body,
                const char *idempotency_key, json_t **ret_doc, struct err *err);

/* POST of what must be done once, however often it is sent: under an idempotency key of its own, and repeated
 * while nobody answers or the server says that something it needs is away (a restart, an upgrade, its
 * database). Says so on standard error, once. */
int remote_post_once(struct remote *remote, const char *path, const json_t *body, json_t **ret_doc,
                     struct err *err);

/* GET, the answer handed over line by line without the newline. A callback that returns < 0 ends it with that
 * error. */
typedef int remote_line(void *arg, const char *line, size_t len, struct err *err);
int remote_lines(struct remote *remote, const char *path, const char *accept, remote_line *on_line, void *arg,
                 struct err *err);

/* Percent-encodes for a query or path segment; owned by the caller. */
char *remote_escape(struct remote *remote, const char *text);

#endif
