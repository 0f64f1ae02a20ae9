/*
 * output - carries the job's output from its pipes into the spool, in the order in which it was written.
 *
 * Two ways of reading. Exact: the queue of writes (streams.h) says what comes next; packets that were read
 * but whose turn has not come yet wait in a stash. Bulk, when one stream floods or the order cannot be known:
 * round by round, what is there of the fuller pipe and then what was there of the other, so that a line
 * beside a flood never comes before what was written before it, and at most a pipe's length late. It goes
 * over to exact when both pipes have been empty for OUTPUT_QUIET_MS. Each stream's own order is kept in both;
 * what is not defined is the order of two processes that write at the same moment.
 *
 * A job that is woken, or wakes init, for each of its writes pays for that with its own time. So a flood is
 * read in large pieces: its pipe is made wider, and while there is little in it, init leaves it alone for
 * OUTPUT_GATHER_US.
 *
 * A write that finds its pipe full (32 unread writes) queues an event more than it has bytes; that one is
 * told by counting. Where it does not come within OUTPUT_WAIT_MS (a job of several writers, or one that is
 * not given the CPU for so long), places can be wrong by one write until init has caught up. Bytes that do
 * not come by write(2) on the inherited descriptor (splice, sendfile, a newly opened /dev/stdout) are no
 * packets and may be taken together with the unread write next to them. In all these cases only the order of
 * the two streams is affected, never a byte.
 */
#ifndef BERTH_RUNNER_INIT_OUTPUT_H
#define BERTH_RUNNER_INIT_OUTPUT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "runner/init/streams.h"
#include "runner/init/writer.h"

enum {
    OUTPUT_QUIET_MS = 1,
    OUTPUT_WAIT_MS = 50, /* for the event of a write that finds its pipe full */
    OUTPUT_LATE_MS = 50, /* bytes whose event does not come are written all the same */
    OUTPUT_STASH_BYTES = 2 * STREAMS_PIPE_BYTES, /* per stream: what is left over and one full pipe */
    OUTPUT_STASH_PACKETS = 256,                  /* likewise; a pipe has at most 32 pages */
    OUTPUT_FLOOD_BYTES = 1024 * 1024,            /* so much of one stream, while the other is silent, … */
    OUTPUT_FLOOD_MS = 25,                        /* … in so short a time is a flood; */
    OUTPUT_FLOOD_PIPES = 8,         /* or so many full pipes in a row: small writes fill one with few bytes */
    OUTPUT_BULK_BYTES = 192 * 1024, /* of one stream in one step; the last read may go beyond it */
    OUTPUT_GATHER_BYTES = 128 * 1024,
    OUTPUT_GATHER_US = 500,
    OUTPUT_EVENTS_MAX = 1024, /* in one step */
    OUTPUT_POLL_FDS = 2,
};

_Static_assert(2 * (OUTPUT_STASH_BYTES + OUTPUT_STASH_PACKETS * SPOOL_HEADER_BYTES) <= WRITER_OUTPUT_BYTES,
               "one step fits into the writer");
_Static_assert(2 * (OUTPUT_BULK_BYTES + SPOOL_PAYLOAD_MAX +
                    (OUTPUT_BULK_BYTES / SPOOL_PAYLOAD_MAX + 2) * SPOOL_HEADER_BYTES) <=
                   WRITER_OUTPUT_BYTES,
               "one step fits into the writer");

struct output_packet {
    unsigned len;
    bool ends; /* surely the last of its write */
};

/* What was read of one stream and whose turn has not come yet. */
struct output_stash {
    size_t begin, end; /* bytes[begin..end) */
    unsigned first, count, ends;
    size_t drained; /* bytes that were moved out of the pipe and are still to be read */
    bool suspect;   /* the pipe was full and a waiting write's event may still come */
    size_t budget;  /* bytes that may still be read from the pipe */
    struct output_packet packet[OUTPUT_STASH_PACKETS];
    unsigned char bytes[OUTPUT_STASH_BYTES];
};

struct ready;

struct output {
    struct streams *streams;
    struct writer *writer;
    struct ready *ready; /* who is shown each line; set by who wants that, else NULL */
    size_t page_bytes;
    bool bulk;
    struct output_flood {
        unsigned stream;
        size_t bytes; /* of it since then, while the other was silent */
        int64_t since_ms;
        unsigned full_pipes; /* in a row */
        bool wide;           /* its pipe is */
    } flood;
    struct output_round {
        unsigned first;
        size_t left[STREAMS]; /* still to be read in this round of bulk reading */
    } round;
    struct output_stash stash[STREAMS];
};

void output_init(struct output *o, struct streams *streams, struct writer *writer);

/* What to wait for. Returns the number of descriptors and, in *ret_timeout_ms, how long (-1: without end). */
unsigned output_poll(const struct output *o, struct pollfd fds[OUTPUT_POLL_FDS], int *ret_timeout_ms);

/* Moves what is there into the writer, at most WRITER_OUTPUT_BYTES. timed_out: the poll ended without an
 * event. */
void output_step(struct output *o, bool timed_out);

/* The command has ended: from now on only the bytes that are in the pipes at this moment are read. Call
 * output_step until output_ended says so; who still holds the pipes is not waited for. */
void output_end(struct output *o);
bool output_ended(const struct output *o);

#endif
