/*
 * viewer - one reader of one log: where it is, and what comes next. The same for a WebSocket, server-sent
 * events, ndjson and plain text, so that an offset means the same everywhere.
 *
 * Pure: reads from the hub's runs, writes into a buffer; its owner calls viewer_fill or viewer_next when its
 * socket takes something, and is told by `wake` when that may give more than before.
 */
#ifndef BERTH_GATEWAY_VIEWER_H
#define BERTH_GATEWAY_VIEWER_H

#include "base/buf.h"
#include "orchestrator/gateway/hub.h"
#include "orchestrator/gateway/query.h"
#include "orchestrator/gateway/segments.h"

enum {
    VIEWER_MESSAGE_MAX = 32768,                 /* bytes of log in one message */
    VIEWER_BUFFER_MAX = 8 * VIEWER_MESSAGE_MAX, /* their JSON: each byte may become six */
    VIEWER_JOIN_US = 100000, /* lines that came within this of each other may share a message */
};

enum viewer_format { VIEWER_TEXT, VIEWER_NDJSON, VIEWER_SSE, VIEWER_WS };

enum viewer_state {
    VIEWER_DATA, /* something may have been added; come again at once */
    VIEWER_IDLE, /* nothing now; wake tells when to come again */
    VIEWER_END,  /* all has been added */
    VIEWER_LOST, /* the job was removed */
};

struct viewer {
    struct hub *hub;
    struct hub_member member;
    struct hub_run *run;
    struct segment seen; /* of a chunk in run */
    enum viewer_format format;
    char stream[STREAM_NAME_MAX]; /* STREAMS_ALL: all */
    int wanted;                   /* its number in this log */
    bool follow, fixed;           /* fixed: stays with its attempt */
    int64_t cursor;               /* the next offset */
    int64_t end_at;               /* stops there; -1: nowhere */
    bool hello, ended;
    int64_t told_attempt;
    char told_status[16], told_reason[32];
    struct buf scratch; /* bytes of the message that is being made */
};

/* cursor and the rest are set by the caller before the first use. */
int viewer_new(struct hub *hub, const struct hub_head *head, void (*wake)(void *arg), void *arg,
               struct viewer **ret, struct err *err);
void viewer_free(struct viewer *viewer);

/* Adds at most one message (or piece of text). */
enum viewer_state viewer_next(struct viewer *viewer, struct buf *out);
/* Adds until about max bytes were added; what the last call of viewer_next said. */
enum viewer_state viewer_fill(struct viewer *viewer, struct buf *out, size_t max);

/* How many bytes at the end begin a character that is not all there. */
size_t viewer_broken_tail(const unsigned char *bytes, size_t len);

#endif
