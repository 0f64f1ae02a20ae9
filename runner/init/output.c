#include "runner/init/output.h"

#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runner/init/ready.h"

static const enum spool_stream stream_of[STREAMS] = {SPOOL_STDOUT, SPOOL_STDERR};

void output_init(struct output *o, struct streams *streams, struct writer *writer) {
    o->streams = streams;
    o->writer = writer;
    o->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    o->bulk = !streams->exact;
    for (unsigned i = 0; i < STREAMS; i++)
        o->stash[i].budget = SIZE_MAX;
}

static void show(const struct output *o, unsigned stream, const void *bytes, size_t len) {
    if (o->ready && ready_wants_output(o->ready))
        ready_output(o->ready, stream, bytes, len);
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
    memmove(stash->packet, stash->packet + stash->first, stash->count * sizeof *stash->packet);
    stash->end -= stash->begin;
    stash->begin = stash->first = 0;
}

/* Empties the pipe at once. */
static void stash_drain(struct output *o, unsigned stream) {
    struct output_stash *stash = &o->stash[stream];
    stash->drained = streams_drain(o->streams, stream, min_size(o->streams->pipe_bytes, stash->budget));
    budget_take(stash, stash->drained);
}

/* Reads what was drained; there is room for it. Returns the number of packets. */
static unsigned stash_fill(struct output *o, unsigned stream) {
    struct output_stash *stash = &o->stash[stream];
    int fd = o->streams->drain_fd[stream][0];
    unsigned before = stash->count;
    while (stash->drained) {
        ssize_t got = read(fd, stash->bytes + stash->end, OUTPUT_STASH_BYTES - stash->end);
        if (got <= 0)
            break;
        struct output_packet packet = {.len = (unsigned)got, .ends = (size_t)got != o->page_bytes};
        stash->packet[stash->first + stash->count++] = packet;
        stash->ends += packet.ends;
        stash->end += (size_t)got;
        stash->drained -= min_size(stash->drained, (size_t)got);
    }
    return stash->count - before;
}

/* Moves the first `packets` of the stash into the writer. */
static void stash_take(struct output *o, unsigned stream, unsigned packets) {
    struct output_stash *stash = &o->stash[stream];
    size_t bytes = 0;
    for (unsigned i = 0; i < packets; i++) {
        stash->ends -= stash->packet[stash->first].ends;
        bytes += stash->packet[stash->first++].len;
    }
    stash->count -= packets;
    writer_output(o->writer, stream_of[stream], stash->bytes + stash->begin, bytes);
    show(o, stream, stash->bytes + stash->begin, bytes);
    stash->begin += bytes;
}

/* How many packets at the front of the stash are one write, when `writes` of this stream are still to be told
 * apart: up to the first that surely ends one; where pages are full, an equal share. */
static unsigned write_packets(const struct output *o, unsigned stream, unsigned writes) {
    const struct output_stash *stash = &o->stash[stream];
    unsigned most = stash->count;
    if (stash->ends < writes)
        most = (stash->count + writes - 1) / writes;
    unsigned packets = 0;
    while (packets < most)
        if (stash->packet[stash->first + packets++].ends)
            break;
    return packets;
}

static void bulk_begin(struct output *o) {
    streams_set_exact(o->streams, false);
    o->bulk = true;
    o->round = (struct output_round){.first = 0};
    for (unsigned i = 0; i < STREAMS; i++)
        stash_take(o, i, o->stash[i].count);
}

/* A byte written before the switch was complete has no event, so with any byte in a pipe it is not yet the
 * time. */
static void bulk_end(struct output *o) {
    if (o->streams->event_fd < 0)
        return;
    streams_set_exact(o->streams, true);
    if (streams_waiting(o->streams, 0) || streams_waiting(o->streams, 1))
        streams_set_exact(o->streams, false);
    else
        o->bulk = false;
}

static bool is_ending(const struct output *o) {
    return o->stash[0].budget != SIZE_MAX;
}

static void gather(const struct output *o) {
    const struct timespec pause = {.tv_nsec = OUTPUT_GATHER_US * 1000L};
    if (o->flood.wide && !is_ending(o) && streams_waiting(o->streams, o->flood.stream) < OUTPUT_GATHER_BYTES)
        ppoll(NULL, 0, &pause, NULL);
}

/* Who is read first is looked at last: it has all that was written before what was seen of the other. */
static void round_begin(struct output *o) {
    struct output_round *r = &o->round;
    r->left[1] = streams_waiting(o->streams, 1);
    r->left[0] = streams_waiting(o->streams, 0);
    r->first = r->left[1] > r->left[0];
    if (r->first == 1)
        r->left[1] = streams_waiting(o->streams, 1);
    /* At the end nothing is added, but who else reads the pipes can have taken some of it. */
    for (unsigned i = 0; i < STREAMS; i++)
        if (is_ending(o) && !r->left[i])
            o->stash[i].budget = 0;
}

/* One read of what is left of a stream in this round. Returns how many bytes there were. */
static size_t bulk_read(struct output *o, unsigned stream) {
    size_t room;
    /* What a read has no room for of a packet is lost, and packets may be left from exact reading. */
    unsigned char *to = writer_room(o->writer, stream_of[stream], o->page_bytes, &room);
    room = min_size(room, min_size(o->round.left[stream], o->stash[stream].budget));
    ssize_t got = room ? read(o->streams->read_fd[stream], to, room) : 0;
    if (got <= 0) {
        o->round.left[stream] = 0;
        return 0;
    }
    writer_took(o->writer, (size_t)got);
    show(o, stream, to, (size_t)got);
    budget_take(&o->stash[stream], (size_t)got);
    o->round.left[stream] -= (size_t)got;
    return (size_t)got;
}

static size_t bulk_turn(struct output *o, unsigned stream) {
    size_t moved = 0;
    while (o->round.left[stream] && moved < OUTPUT_BULK_BYTES)
        moved += bulk_read(o, stream);
    return moved;
}

static void bulk_step(struct output *o, bool timed_out) {
    struct output_round *r = &o->round;
    if (!r->left[0] && !r->left[1]) {
        gather(o);
        round_begin(o);
    }
    size_t moved = bulk_turn(o, r->first);
    if (!r->left[r->first])
        moved += bulk_turn(o, !r->first);
    if (timed_out && !moved)
        bulk_end(o);
}

static unsigned pipe_pages(const struct output *o) {
    return (unsigned)(o->streams->pipe_bytes / o->page_bytes);
}

struct gathered {
    unsigned char event[OUTPUT_EVENTS_MAX];
    unsigned events, of[STREAMS];
    size_t bytes[STREAMS];
    bool full[STREAMS]; /* its pipe was */
    bool missed;
};

static void events_gather(struct output *o, struct gathered *g) {
    int got = 1;
    while (got > 0 && g->events + STREAMS_EVENTS_MAX <= OUTPUT_EVENTS_MAX) {
        got = streams_events(o->streams, g->event + g->events);
        for (int i = 0; i < got; i++)
            g->of[g->event[g->events++]]++;
        g->missed |= got < 0;
    }
}

/* Where the n-th event of a stream is, counted from 0; g->events when there are not so many. */
static unsigned event_find(const struct gathered *g, unsigned stream, unsigned n) {
    unsigned at = 0;
    while (at < g->events && (g->event[at] != stream || n--))
        at++;
    return at;
}

static void event_remove(struct gathered *g, unsigned at) {
    g->of[g->event[at]]--;
    memmove(g->event + at, g->event + at + 1, --g->events - at);
}

/* The pipe was full when it was emptied, and no event had come yet of a write that waited. If there was one,
 * its event is the next of this stream behind those of the packets that were taken, and the event of its
 * bytes follows at once, since its writer does nothing in between. */
static void suspect_resolve(struct output *o, struct gathered *g, unsigned stream) {
    struct output_stash *stash = &o->stash[stream];
    unsigned at = stash->suspect ? event_find(g, stream, stash->count) : g->events;
    if (at == g->events)
        return;
    struct pollfd event = {.fd = o->streams->event_fd, .events = POLLIN};
    if (at + 1 == g->events && poll(&event, 1, OUTPUT_WAIT_MS) > 0)
        events_gather(o, g);
    if (at + 1 == g->events)
        return;
    if (g->event[at + 1] == stream)
        event_remove(g, at);
    stash->suspect = false;
}

/* A write that has to wait sends an event when its pipe is full. If some of its bytes are there, they are
 * what the event stands for; if none are, the event goes. It comes behind the pipe's last write, now or in
 * the next step. */
static void waiting_write(struct output *o, struct gathered *g, unsigned stream, bool full) {
    struct output_stash *stash = &o->stash[stream];
    struct output_packet *last = &stash->packet[stash->first + stash->count - 1];
    if (full && !last->ends) {
        last->ends = true;
        stash->ends++;
        stash->suspect = false;
        return;
    }
    bool surplus = g->of[stream] > stash->count || g->of[stream] == stash->ends + 1;
    bool waits = full && surplus && g->event[g->events - 1] == stream;
    if (surplus && (full || stash->suspect))
        event_remove(g, event_find(g, stream, waits ? g->of[stream] - 1 : 0));
    stash->suspect = full && !waits;
}

/* Whether a write waits: its event is there, its bytes are not. */
static bool write_waits(const struct output *o, const struct gathered *g) {
    for (unsigned i = 0; i < STREAMS; i++)
        if (streams_full(o->streams, i) && g->of[i] > o->stash[i].count + pipe_pages(o))
            return true;
    return false;
}

/* A full pipe stays full until it is emptied here. Whoever has filled it writes on to the other one or is
 * about to wait: that event must be here before the pipe is emptied, or it could not be told from a write's.
 * A job that rests just when a pipe is full costs OUTPUT_WAIT_MS. */
static void events_await(struct output *o, struct gathered *g) {
    struct pollfd event = {.fd = o->streams->event_fd, .events = POLLIN};
    while ((streams_full(o->streams, 0) || streams_full(o->streams, 1)) && !write_waits(o, g)) {
        unsigned before = g->events;
        if (poll(&event, 1, OUTPUT_WAIT_MS) <= 0)
            return;
        events_gather(o, g);
        if (g->events == before)
            return;
    }
}

/* Events first, then the bytes that they tell of: what is in the stash beyond the events is then only what
 * was written in between. False: the stash has no room. */
static bool exact_gather(struct output *o, struct gathered *g) {
    for (unsigned i = 0; i < STREAMS; i++) {
        struct output_stash *stash = &o->stash[i];
        stash_compact(stash);
        if (OUTPUT_STASH_BYTES - stash->end < o->streams->pipe_bytes ||
            OUTPUT_STASH_PACKETS - stash->count < pipe_pages(o))
            return false;
    }
    events_gather(o, g);
    for (unsigned i = 0; i < STREAMS; i++)
        suspect_resolve(o, g, i);
    events_await(o, g);
    /* A writer that waits does so on the stream of the last event; it must not go on before the other is
     * emptied. */
    unsigned last = g->events ? g->event[g->events - 1] : 0;
    stash_drain(o, !last);
    stash_drain(o, last);
    for (unsigned i = 0; i < STREAMS; i++) {
        size_t before = o->stash[i].end;
        g->full[i] = stash_fill(o, i) == pipe_pages(o);
        g->bytes[i] = o->stash[i].end - before;
        waiting_write(o, g, i, g->full[i]);
    }
    return true;
}

static bool is_flood(struct output *o, const struct gathered *g) {
    struct output_flood *f = &o->flood;
    int64_t now_ms = writer_now_ms();
    if (g->bytes[!f->stream])
        *f = (struct output_flood){.stream = g->bytes[1] > 0, .since_ms = now_ms};
    if (now_ms - f->since_ms > OUTPUT_FLOOD_MS) {
        f->bytes = 0;
        f->since_ms = now_ms;
    }
    f->bytes += g->bytes[f->stream];
    f->full_pipes = g->full[f->stream] ? f->full_pipes + 1 : 0;
    bool alone = !g->bytes[!f->stream];
    return alone && (f->bytes >= OUTPUT_FLOOD_BYTES || f->full_pipes >= OUTPUT_FLOOD_PIPES);
}

static void exact_step(struct output *o) {
    struct gathered g = {.events = 0};
    bool fits = exact_gather(o, &g);
    for (unsigned i = 0; i < g.events; i++) {
        unsigned stream = g.event[i];
        stash_take(o, stream, write_packets(o, stream, g.of[stream]--));
    }
    bool flood = is_flood(o, &g);
    if (!fits || !g.events || g.missed || flood)
        bulk_begin(o);
    o->flood.wide = flood && streams_widen(o->streams, o->flood.stream);
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
