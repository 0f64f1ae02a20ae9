#include "runner/init/output.h"

#include <string.h>
#include <unistd.h>

static const enum spool_stream stream_of[STREAMS] = {SPOOL_STDOUT, SPOOL_STDERR};

void output_init(struct output *o, struct streams *streams, struct writer *writer) {
    o->streams = streams;
    o->writer = writer;
    o->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    o->bulk = !streams->exact;
    for (unsigned i = 0; i < STREAMS; i++)
        o->stash[i].budget = SIZE_MAX;
}

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

static void budget_take(struct output_stash *stash, size_t bytes) {
    if (stash->budget != SIZE_MAX)
        stash->budget -= bytes;
}

static void stash_compact(struct output_stash *stash) {
    memmove(stash->bytes, stash->bytes + stash->begin, stash->end - stash->begin);
    memmove(stash->packet_len, stash->packet_len + stash->first, stash->count * sizeof *stash->packet_len);
    stash->end -= stash->begin;
    stash->begin = stash->first = 0;
}

static bool stash_full(const struct output *o, const struct output_stash *stash) {
    return stash->first + stash->count == OUTPUT_STASH_PACKETS || OUTPUT_STASH_BYTES - stash->end < o->page_bytes;
}

/* Reads packets until the pipe is empty or the stash is full. Returns how many. */
static unsigned stash_fill(struct output *o, unsigned stream) {
    struct output_stash *stash = &o->stash[stream];
    unsigned before = stash->count;
    if (stash->begin)
        stash_compact(stash);
    while (!stash_full(o, stash)) {
        size_t room = min_size(OUTPUT_STASH_BYTES - stash->end, stash->budget);
        ssize_t got = room ? read(o->streams->read_fd[stream], stash->bytes + stash->end, room) : 0;
        if (got <= 0)
            break;
        stash->packet_len[stash->first + stash->count++] = (unsigned)got;
        stash->short_count += (size_t)got != o->page_bytes;
        stash->end += (size_t)got;
        budget_take(stash, (size_t)got);
    }
    return stash->count - before;
}

/* Moves the first `packets` of the stash into the writer. */
static void stash_take(struct output *o, unsigned stream, unsigned packets) {
    struct output_stash *stash = &o->stash[stream];
    size_t bytes = 0;
    for (unsigned i = 0; i < packets; i++) {
        unsigned len = stash->packet_len[stash->first++];
        stash->short_count -= len != o->page_bytes;
        bytes += len;
    }
    stash->count -= packets;
    writer_output(o->writer, stream_of[stream], stash->bytes + stash->begin, bytes);
    stash->begin += bytes;
}

/* How many packets at the front of the stash are one write, when `writes` of this stream are still to be told apart:
 * up to the first that is no full page; where every page is full, an equal share. */
static unsigned write_packets(const struct output *o, unsigned stream, unsigned writes) {
    const struct output_stash *stash = &o->stash[stream];
    unsigned most = stash->count;
    if (stash->short_count < writes)
        most = (stash->count + writes - 1) / writes;
    unsigned packets = 0;
    while (packets < most)
        if (stash->packet_len[stash->first + packets++] != o->page_bytes)
            break;
    return packets;
}

static void bulk_begin(struct output *o) {
    streams_set_exact(o->streams, false);
    o->bulk = true;
    for (unsigned i = 0; i < STREAMS; i++)
        stash_take(o, i, o->stash[i].count);
}

/* A byte written before the switch was complete has no event, so with any byte in a pipe it is not yet the time. */
static void bulk_end(struct output *o) {
    if (o->streams->event_fd < 0)
        return;
    streams_set_exact(o->streams, true);
    if (streams_waiting(o->streams, 0) || streams_waiting(o->streams, 1))
        streams_set_exact(o->streams, false);
    else
        o->bulk = false;
}

static void bulk_step(struct output *o, bool timed_out) {
    size_t moved = 0;
    for (unsigned i = 0; i < STREAMS; i++) {
        size_t room;
        unsigned char *to = writer_room(o->writer, stream_of[i], &room);
        room = min_size(room, o->stash[i].budget);
        ssize_t got = room ? read(o->streams->read_fd[i], to, room) : 0;
        if (got <= 0)
            continue;
        writer_took(o->writer, (size_t)got);
        budget_take(&o->stash[i], (size_t)got);
        moved += (size_t)got;
    }
    if (timed_out && !moved)
        bulk_end(o);
}

struct gathered {
    unsigned char event[OUTPUT_EVENTS_MAX];
    unsigned events, of[STREAMS], packets[STREAMS];
    bool missed;
};

/* Events first, then the bytes that they tell of, until there are no new events: so what is in the stash beyond the
 * events is at most a write that is just returning. */
static void exact_gather(struct output *o, struct gathered *g) {
    int got = 1;
    while (got > 0 && g->events + STREAMS_EVENTS_MAX <= OUTPUT_EVENTS_MAX && !stash_full(o, &o->stash[0]) &&
           !stash_full(o, &o->stash[1])) {
        got = streams_events(o->streams, g->event + g->events);
        for (int i = 0; i < got; i++)
            g->of[g->event[g->events++]]++;
        g->missed |= got < 0;
        for (unsigned i = 0; i < STREAMS && got; i++)
            g->packets[i] += stash_fill(o, i);
    }
}

static bool is_flood(const struct gathered *g) {
    for (unsigned i = 0; i < STREAMS; i++)
        if (g->packets[i] >= OUTPUT_FLOOD_PACKETS && !g->packets[!i] && !g->of[!i])
            return true;
    return false;
}

static void exact_step(struct output *o) {
    struct gathered g = {.events = 0};
    bool refilled[STREAMS] = {false};
    exact_gather(o, &g);
    for (unsigned i = 0; i < g.events; i++) {
        unsigned stream = g.event[i];
        if (!o->stash[stream].count && !refilled[stream]) {
            g.packets[stream] += stash_fill(o, stream);
            refilled[stream] = true; /* once: a step has to stay within WRITER_OUTPUT_BYTES */
        }
        stash_take(o, stream, write_packets(o, stream, g.of[stream]--));
    }
    if (!g.events || g.missed || is_flood(&g))
        bulk_begin(o);
}

unsigned output_poll(const struct output *o, struct pollfd fds[OUTPUT_POLL_FDS], int *ret_timeout_ms) {
    if (!o->bulk) {
        fds[0] = (struct pollfd){.fd = o->streams->event_fd, .events = POLLIN};
        *ret_timeout_ms = o->stash[0].count || o->stash[1].count ? OUTPUT_LATE_MS : -1;
        return 1;
    }
    for (unsigned i = 0; i < STREAMS; i++)
        fds[i] = (struct pollfd){.fd = o->streams->read_fd[i], .events = POLLIN};
    *ret_timeout_ms = o->streams->event_fd < 0 ? -1 : OUTPUT_QUIET_MS;
    return STREAMS;
}

void output_step(struct output *o, bool timed_out) {
    if (o->bulk)
        bulk_step(o, timed_out);
    else
        exact_step(o);
}

void output_end(struct output *o) {
    for (unsigned i = 0; i < STREAMS; i++)
        o->stash[i].budget = streams_waiting(o->streams, i);
}

bool output_ended(const struct output *o) {
    for (unsigned i = 0; i < STREAMS; i++)
        if (o->stash[i].budget || o->stash[i].count)
            return false;
    return true;
}
