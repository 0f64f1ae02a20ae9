#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "orchestrator/gateway/handlers.h"
#include "orchestrator/gateway/opening.h"
#include "orchestrator/gateway/viewer.h"

struct logs_state {
    struct logs_query query;
    enum query_format format;
    bool fixed; /* stays with its attempt */
};

static void on_wake(void *arg) {
    http_stream_wake(arg);
}

static int make_viewer(struct request *request, const struct hub_head *head, int64_t cursor,
                       struct err *err) {
    static const enum viewer_format formats[] = {[QUERY_FORMAT_TEXT] = VIEWER_TEXT,
                                                 [QUERY_FORMAT_NDJSON] = VIEWER_NDJSON,
                                                 [QUERY_FORMAT_SSE] = VIEWER_SSE};
    const struct logs_state *state = request->state;
    if (viewer_new(request->gateway->hub, head, on_wake, request, &request->viewer, err) < 0)
        return -1;
    struct viewer *viewer = request->viewer;
    viewer->format = formats[state->format];
    snprintf(viewer->stream, sizeof viewer->stream, "%s", state->query.stream);
    viewer->follow = state->query.follow;
    viewer->fixed = state->fixed;
    viewer->cursor = cursor;
    if (!viewer->follow)
        viewer->end_at = cursor > head->log_bytes ? cursor : head->log_bytes;
    if (state->query.limit >= 0 && (viewer->end_at < 0 || state->query.limit < viewer->end_at - cursor))
        viewer->end_at = state->query.limit > INT64_MAX - cursor ? INT64_MAX : cursor + state->query.limit;
    return 0;
}

/* A part of an ended log that lies there without a gap: its length is known, and parts of the part may be
 * asked for.
 */
static void respond_exact(struct request *request) {
    struct viewer *viewer = request->viewer;
    int64_t size = viewer->end_at - viewer->cursor, first, last;
    http_add_header(request, "Accept-Ranges", "bytes");
    switch (query_range(request->range, size, &first, &last)) {
    case QUERY_RANGE_UNSATISFIABLE:
        http_add_header(request, "Content-Range", "bytes */%lld", (long long)size);
        http_problem(request, 416, "the log has %lld bytes", (long long)size);
        return;
    case QUERY_RANGE_OK:
        http_add_header(request, "Content-Range", "bytes %lld-%lld/%lld", (long long)first, (long long)last,
                        (long long)size);
        viewer->end_at = viewer->cursor + last + 1;
        viewer->cursor += first;
        http_stream_begin(request, 206, "text/plain; charset=utf-8", last + 1 - first);
        return;
    case QUERY_RANGE_NONE:
        http_stream_begin(request, 200, "text/plain; charset=utf-8", size);
        return;
    }
}

static void on_opened(void *arg, const struct err *err, const struct hub_head *head, int64_t cursor) {
    static const char *const types[] = {[QUERY_FORMAT_TEXT] = "text/plain; charset=utf-8",
                                        [QUERY_FORMAT_NDJSON] = "application/x-ndjson",
                                        [QUERY_FORMAT_SSE] = "text/event-stream"};
    struct request *request = arg;
    const struct logs_state *state = request->state;
    struct err why;
    request->opening = NULL;
    if (err) {
        http_problem_db(request, err);
        return;
    }
    if (!head) {
        if (state->query.attempt > 0)
            http_problem(request, 404, "there is no job %s, or it has no attempt %lld", request->id,
                         (long long)state->query.attempt);
        else
            http_problem(request, 404, "there is no job %s", request->id);
        return;
    }
    if (head->services_known && streams_find(head->services, state->query.stream) == STREAMS_NO_SUCH) {
        char streams[STREAMS_TEXT_MAX];
        http_problem(request, 400, "job %s has no stream %s; it has %s", request->id, state->query.stream,
                     streams_list(head->services, streams));
        return;
    }
    if (make_viewer(request, head, cursor, &why) < 0) {
        http_add_header(request, "Retry-After", "5");
        http_problem(request, 503, "%s", why.text);
        return;
    }
    bool exact = state->format == QUERY_FORMAT_TEXT && !state->query.follow && !*state->query.stream &&
                 head->stored_bytes == head->log_bytes && hub_head_ended(head);
    if (exact)
        respond_exact(request);
    else
        http_stream_begin(request, 200, types[state->format], -1);
}

void logs_get(struct request *request) {
    struct logs_state *state = mem_alloc(sizeof *state);
    struct err err;
    request->state = state;
    if (query_logs(&request->query, false, &state->query, &err) < 0) {
        http_problem(request, 400, "%s", err.text);
        return;
    }
    state->format = query_accept(request->accept);
    state->fixed = query_stays(&state->query);
    if (state->format == QUERY_FORMAT_SSE && *request->event_id) {
        if (!query_event_id(request->event_id, &state->query.attempt, &state->query.offset)) {
            http_problem(request, 400, "Last-Event-ID is not of the form attempt:offset");
            return;
        }
        state->query.tail = -1;
    }
    request->opening = opening_start(request->gateway, request->id, &state->query, on_opened, request, &err);
    if (!request->opening)
        http_problem_db(request, &err);
}

void stream_get(struct request *request) {
    http_add_header(request, "Upgrade", "websocket");
    http_problem(request, 426,
                 "this is a WebSocket (subprotocol berth.v1); /v1/jobs/%s/logs?follow=true is plain HTTP",
                 request->id);
}
