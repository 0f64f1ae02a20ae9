#include "runner/docker/events.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "runner/docker/doc.h"
#include "runner/docker/event_parse.h"
#include "runner/docker/transfer.h"
#include "runner/docker/url.h"

struct events {
    struct engine *engine;
    struct call_slot slot;
    struct buf path;
    struct call call;
    struct call_answer answer;
    struct transfer transfer;
    struct buf lines; /* what has come and was not asked for yet */
    bool paused;      /* because lines is full */
    bool over, bounded;
    CURLcode code;
};

int event_parse(const char *line, size_t len, struct event *ret_event, struct err *err) {
    json_error_t why;
    AUTO_JSON json_t *json = json_loadb(line, len, 0, &why);
    if (!json)
        return err_set(err, ERR_INVALID, 0, "GET /events: a line is not JSON: %s", why.text);
    const json_t *actor = doc_map(json, "Actor");
    struct event event = {
        .type = doc_text(json, "Type"),
        .action = doc_text(json, "Action"),
        .id = doc_text(actor, "ID"),
        .attributes = doc_map(actor, "Attributes"),
        .time_ns = json_get_int(json, "timeNano", 0),
    };
    if (!*event.type || !*event.action)
        return err_set(err, ERR_INVALID, 0, "GET /events: a line has no Type or no Action");
    event.owner = json_incref(json);
    *ret_event = event;
    return 0;
}

void event_done(struct event *event) {
    json_decref(event->owner);
    *event = (struct event){0};
}

static int take(void *arg, const char *bytes, size_t len, struct err *err) {
    struct events *events = arg;
    (void)err;
    events->paused = buf_add(&events->lines, bytes, len) < 0;
    return events->paused ? TRANSFER_PAUSE : 0;
}

static int add_time(struct buf *path, const char *name, int64_t us, struct err *err) {
    if (!us)
        return 0;
    if (buf_addf(path, "&%s=%" PRId64 ".%06" PRId64 "000", name, us / US_PER_S, us % US_PER_S) < 0)
        return err_set(err, ERR_LIMIT, 0, "GET /events: the query is longer than %d bytes", URL_MAX);
    return 0;
}

static int make_path(struct buf *path, const struct events_query *query, struct err *err) {
    AUTO_FREE char *filters = NULL;
    const struct doc_filter more[] = {
        {"type", query->types},
        {"event", query->actions},
        {"container", query->containers},
    };
    if (doc_filters(query->labels, more, ARRAY_LEN(more), &filters, err) < 0 ||
        url_format(path, err, "/events?filters={}", filters) < 0 ||
        add_time(path, "since", query->since_us, err) < 0)
        return -1;
    return add_time(path, "until", query->until_us, err);
}

/* What can be done without waiting, and whether the stream is over. */
static int advance(struct events *events, struct err *err) {
    if (events->over)
        return 0;
    if (events->paused) {
        events->paused = false;
        curl_easy_pause(events->slot.easy, CURLPAUSE_CONT); /* calls take() at once */
    }
    int over = transfer_step(&events->transfer, &events->code, err);
    events->over = over > 0;
    return over < 0 ? -1 : 0;
}

static int not_begun(struct events *events, struct err *err) {
    if (transfer_verdict(&events->transfer, events->code, err) < 0)
        return -1;
    return err_set(err, ERR_INVALID, events->answer.status, "GET /events: the answer's status is %d",
                   events->answer.status);
}

int events_open(struct engine *engine, const struct ctx *ctx, const struct events_query *query,
                struct events **ret_events, struct err *err) {
    AUTO_EVENTS struct events *events = mem_alloc(sizeof *events);
    events->engine = engine;
    events->bounded = query->until_us != 0;
    events->path = BUF(URL_MAX);
    events->lines = BUF(ENGINE_LINE_MAX);
    events->answer = CALL_ANSWER;
    if (make_path(&events->path, query, err) < 0 || ctx_check(ctx, "GET /events", err) < 0)
        return -1;
    events->call =
        (struct call){.method = "GET", .path = buf_str(&events->path), .on_bytes = take, .arg = events};
    if (transfer_begin(engine, &events->slot, &events->call, &events->answer, &events->transfer, err) < 0)
        return -1;
    for (;;) {
        if (advance(events, err) < 0)
            return -1;
        if (transfer_is_good(&events->transfer))
            break;
        if (events->over)
            return not_begun(events, err);
        if (transfer_wait(&events->transfer, ctx, err) < 0)
            return -1;
    }
    *ret_events = STEAL(events);
    return 0;
}

/* 1 with the first whole line taken out of `lines`; 0: there is none. At the very end it needs no newline. */
static int take_line(struct events *events, struct event *ret_event, struct err *err) {
    struct buf *lines = &events->lines;
    for (;;) {
        const char *newline = lines->len ? memchr(lines->data, '\n', lines->len) : NULL;
        if (!newline && !(events->over && lines->len))
            return 0;
        size_t len = newline ? (size_t)(newline - lines->data) : lines->len;
        bool blank = strspn(lines->data, " \t\r") >= len;
        int result = blank ? 0 : event_parse(lines->data, len, ret_event, err);
        buf_drop_front(lines, newline ? len + 1 : len);
        if (!blank)
            return result < 0 ? -1 : 1;
    }
}

static int end_of_stream(struct events *events, struct err *err) {
    if (transfer_verdict(&events->transfer, events->code, err) < 0)
        return -1;
    if (events->bounded)
        return 0;
    return err_set(err, ERR_AWAY, 0, "the Docker Engine at %s ended its stream of events",
                   engine_host(events->engine));
}

int events_next(struct events *events, const struct ctx *ctx, struct event *ret_event, struct err *err) {
    for (;;) {
        if (ctx_check(ctx, "GET /events", err) < 0)
            return -1;
        int taken = take_line(events, ret_event, err);
        if (taken != 0)
            return taken;
        if (events->over)
            return end_of_stream(events, err);
        size_t had = events->lines.len;
        if (advance(events, err) < 0)
            return -1;
        if (events->paused && !memchr(events->lines.data, '\n', events->lines.len))
            return err_set(err, ERR_LIMIT, 0, "GET /events: a line is longer than %d bytes", ENGINE_LINE_MAX);
        if (!events->over && events->lines.len == had && transfer_wait(&events->transfer, ctx, err) < 0)
            return -1;
    }
}

void events_close(struct events *events) {
    if (!events)
        return;
    transfer_end(&events->transfer);
    call_slot_close(&events->slot);
    call_answer_done(&events->answer);
    buf_done(&events->path);
    buf_done(&events->lines);
    free(events);
}
