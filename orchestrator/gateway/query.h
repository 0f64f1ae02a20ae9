/*
 * query - what a request says beside its path and body: query parameters, Range, Accept, and the cursor of a
 * list.
 *
 * Pure. A parameter that a call does not know, one given twice where once is meant, and a value out of its
 * range are refused with ERR_INVALID and a sentence for the client that names the parameter, the value and
 * what is allowed.
 */
#ifndef BERTH_GATEWAY_QUERY_H
#define BERTH_GATEWAY_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "orchestrator/gateway/streams.h"

enum {
    QUERY_ARGS_MAX = 32,
    QUERY_ARG_MAX = 2048, /* bytes of one "name=value" */
    QUERY_LABELS_MAX = 16,
    QUERY_STATUSES_MAX = 128, /* bytes */
    QUERY_LIMIT_DEFAULT = 50,
    QUERY_LIMIT_MAX = 200,
    QUERY_WAIT_MAX_MS = 300000,
    QUERY_TAIL_MAX = 1000000, /* lines */
    QUERY_ATTEMPT_MAX = 1000000,
    QUERY_CURSOR_MAX = 96,
};

struct query_arg {
    char *name, *value; /* one allocation, owned through name; value "" when there was no "=" */
};
struct query {
    struct query_arg args[QUERY_ARGS_MAX];
    size_t count;
};

/* Adds one decoded "name=value". ERR_LIMIT: too many or too long. */
int query_add(struct query *q, const char *text, size_t len, struct err *err);
void query_done(struct query *q);

/* For calls that take none. */
int query_none(const struct query *q, struct err *err);
/* ?wait=30s; 0 when absent. */
int query_wait(const struct query *q, int64_t *ret_ms, struct err *err);

struct list_query {
    char statuses[QUERY_STATUSES_MAX];    /* checked, comma-separated; "" for any */
    const char *name;                     /* borrowed from the query; NULL for any */
    const char *labels[QUERY_LABELS_MAX]; /* "k=v", borrowed */
    size_t label_count;
    int64_t limit;
    char cursor_id[ID_TEXT_MAX]; /* "" from the newest */
    int64_t cursor_us;
};
int query_list(const struct query *q, struct list_query *ret, struct err *err);

struct logs_query {
    int64_t offset;               /* -1: not given */
    int64_t limit;                /* -1: not given */
    int64_t tail;                 /* lines; -1: not given */
    int64_t attempt;              /* 0: the newest */
    char stream[STREAM_NAME_MAX]; /* its name; whether the job has it is for the log to say. "": all */
    bool follow;
};
/* Whether a follower stays with its attempt: one that names an attempt alone means this one; together with an
 * offset it is the position to go on from, through the attempts that come behind it, too. */
bool query_stays(const struct logs_query *logs);
/* live: of a WebSocket, which follows anyway and has no limit. */
int query_logs(const struct query *q, bool live, struct logs_query *ret, struct err *err);

const char *query_cursor_make(int64_t created_us, const char *id, char out[QUERY_CURSOR_MAX]);
int query_cursor_read(const char *cursor, int64_t *ret_us, char ret_id[ID_TEXT_MAX], struct err *err);

enum query_range { QUERY_RANGE_NONE, QUERY_RANGE_OK, QUERY_RANGE_UNSATISFIABLE };
/* RFC 9110, section 14: one range of bytes of `size`. Anything else in the header is ignored, as the RFC
 * allows. */
enum query_range query_range(const char *header, int64_t size, int64_t *ret_first, int64_t *ret_last);

enum query_format { QUERY_FORMAT_TEXT, QUERY_FORMAT_NDJSON, QUERY_FORMAT_SSE };
/* What the Accept header likes best (RFC 9110, section 12.5.1); text where it likes none of them. */
enum query_format query_accept(const char *header);

/* "attempt:offset", as an event's id says where to go on. */
bool query_event_id(const char *text, int64_t *ret_attempt, int64_t *ret_offset);

/* A request id that came in: letters, digits and "-_.:" up to 64, else false. */
bool query_request_id_ok(const char *text);

#endif
