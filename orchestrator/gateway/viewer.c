#include "orchestrator/gateway/viewer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "proto/message.h"

int viewer_new(struct hub *hub, const struct hub_head *head, void (*wake)(void *arg), void *arg,
               struct viewer **ret, struct err *err) {
    struct viewer *viewer = mem_alloc(sizeof *viewer);
    *viewer = (struct viewer){.hub = hub, .end_at = -1, .scratch = BUF(VIEWER_MESSAGE_MAX)};
    viewer->member = (struct hub_member){.wake = wake, .arg = arg};
    if (hub_watch(hub, head, &viewer->member, err) < 0) {
        free(viewer);
        return -1;
    }
    *ret = viewer;
    return 0;
}

static void drop_run(struct viewer *viewer) {
    hub_run_unref(STEAL(viewer->run));
    viewer->seen = (struct segment){0};
}

void viewer_free(struct viewer *viewer) {
    if (!viewer)
        return;
    hub_unwatch(&viewer->member);
    drop_run(viewer);
    buf_done(&viewer->scratch);
    free(viewer);
}

size_t viewer_broken_tail(const unsigned char *bytes, size_t len) {
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char c = bytes[len - back];
        if (c < 0x80)
            return 0;
        if (c >= 0xc0) {
            size_t whole = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
            return whole > back && c < 0xf5 ? back : 0;
        }
    }
    return 0;
}

/* --- Messages --- */

static void frame_begin(const struct viewer *viewer, struct buf *out, int64_t next) {
    if (viewer->format == VIEWER_SSE)
        buf_addf(out, "id: %lld:%lld\ndata: ", (long long)viewer->member.log->head.number, (long long)next);
}

static void frame_end(const struct viewer *viewer, struct buf *out) {
    if (viewer->format != VIEWER_WS)
        buf_adds(out, viewer->format == VIEWER_SSE ? "\n\n" : "\n");
}

static void put_word(struct buf *out, const char *key, const char *word) {
    if (*word)
        buf_addf(out, ",\"%s\":\"%s\"", key, word);
    else
        buf_addf(out, ",\"%s\":null", key);
}

static enum viewer_state put_hello(struct viewer *viewer, struct buf *out) {
    const struct hub_head *head = &viewer->member.log->head;
    viewer->hello = true;
    frame_begin(viewer, out, viewer->cursor);
    buf_addf(out, "{\"type\":\"hello\",\"job\":\"%s\",\"attempt\":%lld,\"status\":\"%s\",\"offset\":%lld}",
             head->job, (long long)head->number, head->status, (long long)viewer->cursor);
    frame_end(viewer, out);
    snprintf(viewer->told_status, sizeof viewer->told_status, "%s", head->status);
    snprintf(viewer->told_reason, sizeof viewer->told_reason, "%s", head->reason);
    return VIEWER_DATA;
}

static bool status_is_news(const struct viewer *viewer) {
    const struct hub_head *head = &viewer->member.log->head;
    if (hub_head_final(head) || head->attempt > head->number)
        return false; /* the end says the one, the other belongs behind this attempt's log */
    return strcmp(head->status, viewer->told_status) != 0 || strcmp(head->reason, viewer->told_reason) != 0;
}

static enum viewer_state put_status(struct viewer *viewer, struct buf *out) {
    const struct hub_head *head = &viewer->member.log->head;
    char at[CLOCK_RFC3339_MAX];
    snprintf(viewer->told_status, sizeof viewer->told_status, "%s", head->status);
    snprintf(viewer->told_reason, sizeof viewer->told_reason, "%s", head->reason);
    frame_begin(viewer, out, viewer->cursor);
    buf_addf(out, "{\"type\":\"status\",\"status\":\"%s\"", head->status);
    put_word(out, "reason", head->reason);
    buf_addf(out, ",\"attempt\":%lld,\"ts\":\"%s\"}", (long long)head->number,
             clock_format_rfc3339(head->status_us == API_NONE ? clock_real_us() : head->status_us, at));
    frame_end(viewer, out);
    return VIEWER_DATA;
}

static enum viewer_state put_end(struct viewer *viewer, struct buf *out) {
    const struct hub_head *head = &viewer->member.log->head;
    bool of_attempt = *head->attempt_status && head->attempt != head->number;
    int64_t code = of_attempt ? head->attempt_exit_code : head->exit_code;
    viewer->ended = true;
    frame_begin(viewer, out, viewer->cursor);
    buf_addf(out, "{\"type\":\"end\",\"offset\":%lld,\"status\":\"%s\"", (long long)viewer->cursor,
             of_attempt || !hub_head_final(head) ? head->attempt_status : head->status);
    if (code == API_NONE)
        buf_adds(out, ",\"exit_code\":null");
    else
        buf_addf(out, ",\"exit_code\":%lld", (long long)code);
    put_word(out, "sha256", head->sha256);
    buf_adds(out, "}");
    frame_end(viewer, out);
    return VIEWER_DATA;
}

/* Goes on with the attempt that came after this one. */
static enum viewer_state next_attempt(struct viewer *viewer, struct buf *out) {
    struct hub_head head = viewer->member.log->head;
    struct hub_member member = {.wake = viewer->member.wake, .arg = viewer->member.arg};
    struct err err;
    head.number++;
    head.attempt_id = head.log_bytes = head.stored_bytes = 0;
    head.attempt_status[0] = head.sha256[0] = head.created_on[0] = '\0';
    hub_unwatch(&viewer->member);
    viewer->member = member;
    if (hub_watch(viewer->hub, &head, &viewer->member, &err) < 0)
        return VIEWER_LOST;
    drop_run(viewer);
    viewer->cursor = 0;
    if (viewer->format != VIEWER_TEXT) {
        frame_begin(viewer, out, 0);
        buf_addf(out, "{\"type\":\"attempt\",\"attempt\":%lld}", (long long)head.number);
        frame_end(viewer, out);
    }
    return VIEWER_DATA;
}

/* --- Log --- */

static int64_t chunk_end(const struct api_chunk *chunk) {
    return chunk->offset + (chunk->bytes ? (int64_t)chunk->len : chunk->gap_bytes);
}

static const struct api_chunk *chunk_at(const struct hub_run *run, int64_t offset) {
    for (size_t i = 0; run && i < run->count; i++)
        if (run->chunks[i].offset <= offset && offset < chunk_end(&run->chunks[i]))
            return &run->chunks[i];
    return NULL;
}

/* Makes viewer->run hold the cursor and more than up to `behind`. */
static bool load(struct viewer *viewer, int64_t behind) {
    struct hub_run *run = viewer->run;
    if (run && run->start <= viewer->cursor && viewer->cursor < run->end && run->end > behind)
        return true;
    run = hub_run_at(viewer->member.log, viewer->cursor, behind);
    if (!run)
        return false;
    drop_run(viewer);
    viewer->run = run;
    return true;
}

static bool wanted(const struct viewer *viewer, const struct segment *segment) {
    return viewer->wanted == STREAM_NONE || viewer->wanted == segment->stream;
}

static enum viewer_state put_text(struct viewer *viewer, const struct segment *segment, int64_t until,
                                  struct buf *out) {
    int64_t end = segment->end < until ? segment->end : until;
    if (wanted(viewer, segment))
        buf_add(out, segment->bytes + (viewer->cursor - segment->start), (size_t)(end - viewer->cursor));
    viewer->cursor = end;
    return VIEWER_DATA;
}

/* What stopped a message from growing. */
enum stop { STOP_FULL, STOP_BREAK, STOP_EDGE };

/* Bytes of one stream from the cursor on into scratch. */
static enum stop gather(struct viewer *viewer, const struct segment *first, int64_t until) {
    struct segment segment = *first;
    int64_t at = viewer->cursor;
    buf_clear(&viewer->scratch);
    for (;;) {
        int64_t end = segment.end < until ? segment.end : until;
        int64_t room = VIEWER_MESSAGE_MAX - (int64_t)viewer->scratch.len;
        int64_t n = end - at < room ? end - at : room;
        buf_add(&viewer->scratch, segment.bytes + (at - segment.start), (size_t)n);
        at += n;
        if (viewer->scratch.len == VIEWER_MESSAGE_MAX)
            return STOP_FULL;
        if (at == until || at == viewer->run->end)
            return STOP_EDGE;
        const struct api_chunk *chunk = chunk_at(viewer->run, at);
        if (!chunk || !segment_at(chunk, at, &segment) || segment.stream != first->stream)
            return STOP_BREAK;
        bool whole =
            viewer_broken_tail((const unsigned char *)viewer->scratch.data, viewer->scratch.len) == 0;
        if (whole && segment.time_us > first->time_us + VIEWER_JOIN_US)
            return STOP_BREAK;
    }
}

static enum viewer_state put_log(struct viewer *viewer, const struct segment *first, int64_t until,
                                 struct buf *out) {
    const struct hub_head *head = &viewer->member.log->head;
    enum stop stop = gather(viewer, first, until);
    const unsigned char *bytes = (const unsigned char *)viewer->scratch.data;
    size_t broken = viewer_broken_tail(bytes, viewer->scratch.len), len = viewer->scratch.len - broken;
    int64_t end = viewer->cursor + (int64_t)viewer->scratch.len;
    if (len == 0) { /* nothing but the beginning of a character: is its rest still to come? */
        bool more_is_known = stop == STOP_EDGE && end < until;
        bool more_may_come = stop == STOP_EDGE && end == until && viewer->follow && until != viewer->end_at &&
                             !hub_head_ended(head);
        if (more_is_known)
            return load(viewer, viewer->run->end) ? VIEWER_DATA : VIEWER_IDLE;
        if (more_may_come)
            return VIEWER_IDLE;
        len = broken;
    }
    char name[STREAM_NAME_MAX];
    frame_begin(viewer, out, viewer->cursor + (int64_t)len);
    message_put_log(out, viewer->cursor, first->time_us, streams_name(head->services, first->stream, name),
                    bytes, len);
    frame_end(viewer, out);
    viewer->cursor += (int64_t)len;
    return VIEWER_DATA;
}

static enum viewer_state put_gap(struct viewer *viewer, const struct api_chunk *gap, int64_t until,
                                 struct buf *out) {
    int64_t end = chunk_end(gap) < until ? chunk_end(gap) : until, from = viewer->cursor;
    viewer->cursor = end;
    if (viewer->format == VIEWER_TEXT)
        return VIEWER_DATA;
    frame_begin(viewer, out, end);
    message_put_gap(out, from, end - from, gap->gap_cause);
    frame_end(viewer, out);
    return VIEWER_DATA;
}

/* What lies at the cursor, which is below `until`. */
static enum viewer_state put_piece(struct viewer *viewer, int64_t until, struct buf *out) {
    for (;;) {
        if (!load(viewer, viewer->cursor))
            return VIEWER_IDLE;
        const struct api_chunk *chunk = chunk_at(viewer->run, viewer->cursor);
        if (!chunk)
            return VIEWER_LOST;
        if (!chunk->bytes)
            return put_gap(viewer, chunk, until, out);
        if (!segment_at(chunk, viewer->cursor, &viewer->seen))
            return VIEWER_LOST;
        const struct segment segment = viewer->seen;
        if (viewer->format == VIEWER_TEXT)
            return put_text(viewer, &segment, until, out);
        if (wanted(viewer, &segment))
            return put_log(viewer, &segment, until, out);
        viewer->cursor = segment.end < until ? segment.end : until;
        if (viewer->cursor >= until)
            return VIEWER_DATA;
    }
}

enum viewer_state viewer_next(struct viewer *viewer, struct buf *out) {
    struct hub_log *log = viewer->member.log;
    bool messages = viewer->format != VIEWER_TEXT && viewer->follow;
    if (viewer->ended)
        return VIEWER_END;
    if (!log || log->missing)
        return VIEWER_LOST;
    viewer->wanted = streams_find(log->head.services, viewer->stream);
    if (messages && !viewer->hello)
        return put_hello(viewer, out);
    if (messages && status_is_news(viewer))
        return put_status(viewer, out);
    int64_t until = log->head.log_bytes;
    if (viewer->end_at >= 0 && viewer->end_at < until)
        until = viewer->end_at;
    if (viewer->cursor < until)
        return put_piece(viewer, until, out);
    drop_run(viewer); /* at the live end a viewer costs no bytes */
    if (!viewer->follow || (viewer->end_at >= 0 && viewer->cursor >= viewer->end_at))
        return VIEWER_END;
    bool unread = log->head.attempt_id == 0 && log->head.attempt >= log->head.number;
    if (unread || !hub_head_ended(&log->head))
        return VIEWER_IDLE; /* how an attempt stands that was just gone on to is still asked about */
    if (!viewer->fixed && log->head.attempt > log->head.number)
        return next_attempt(viewer, out);
    if (!viewer->fixed && !hub_head_final(&log->head))
        return VIEWER_IDLE; /* to be retried */
    viewer->ended = true;
    return messages ? put_end(viewer, out) : VIEWER_END;
}

enum viewer_state viewer_fill(struct viewer *viewer, struct buf *out, size_t max) {
    size_t before = out->len;
    enum viewer_state state = VIEWER_DATA;
    while (state == VIEWER_DATA && out->len - before < max)
        state = viewer_next(viewer, out);
    return state;
}
