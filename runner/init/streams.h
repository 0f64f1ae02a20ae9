/*
 * streams - the two pipes that are the job's stdout and stderr, and the order in which it wrote to them.
 *
 * Two pipes tell the streams apart but not which was written first. Two things of the kernel's give that
 * back: packet mode (O_DIRECT, pipe(2)) keeps every write up to a page apart in the pipe, and a real-time
 * signal per write (O_ASYNC with F_SETSIG, fcntl(2)) queues, before the write returns, which pipe it went to.
 * Such signals are never merged, so the queue is the order of the writes. Both cost the job time under a
 * flood and can be switched off and on (streams_set_exact). Where the kernel does not do this, `exact` is not
 * possible and order is that of arrival.
 *
 * Pipes, not sockets, so that the job can open /dev/stdout and /dev/stderr. Init keeps the write ends open
 * too: their flags are switched there, and a job that closes its output causes no end of file.
 */
#ifndef BERTH_RUNNER_INIT_STREAMS_H
#define BERTH_RUNNER_INIT_STREAMS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    STREAMS = 2, /* index 0: stdout, 1: stderr */
    STREAMS_PIPE_BYTES =
        128 * 1024, /* a wish; not more, since the kernel bounds the pipes of one user together */
    STREAMS_WIDE_BYTES = 512 * 1024, /* likewise, for one that is flooded */
    STREAMS_EVENTS_MAX = 64,         /* fetched at once */
};

#define STREAMS_SIGNAL SIGRTMAX /* the least urgent, so it never stands before another */

struct streams {
    int read_fd[STREAMS]; /* non-blocking */
    int write_fd[STREAMS];
    int event_fd;             /* readable when a write has been queued; -1: order cannot be known */
    int drain_fd[STREAMS][2]; /* the other pipes; empty but within streams_drain's user */
    size_t pipe_bytes;        /* of each of the four; a packet takes up a page */
    bool exact;
};

/* STREAMS_SIGNAL and SIGIO must be blocked. Every descriptor is close-on-exec. -1: errno. */
int streams_open(struct streams *s);
void streams_close(struct streams *s);

void streams_set_exact(struct streams *s, bool exact);

/* Makes room for STREAMS_WIDE_BYTES in a pipe, until order is to be exact again. False: the kernel does not
 * grant it. */
bool streams_widen(struct streams *s, unsigned stream);

/* The next writes, in order, as stream indices. Returns how many, 0 when there are none, -1 when some may
 * have been missed (the kernel's queue was full). */
int streams_events(struct streams *s, unsigned char ret_stream[STREAMS_EVENTS_MAX]);

/* Moves all that is in the pipe to its drain_fd, at most `max` bytes. Returns how many. It is for the caller
 * to read drain_fd[stream][0], packet by packet, until it is empty. */
size_t streams_drain(struct streams *s, unsigned stream, size_t max);

bool streams_full(const struct streams *s, unsigned stream); /* a write would wait */

/* Bytes that wait in a pipe. */
size_t streams_waiting(const struct streams *s, unsigned stream);

#endif
