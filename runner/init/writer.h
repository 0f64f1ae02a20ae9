/*
 * writer - puts records into the spool.
 *
 * Records gather in one buffer and go out in one write(2) per flush, so a burst of small writes of the job
 * costs one. Nothing is ever half written for good: what a short write leaves over stays at the front of the
 * buffer.
 *
 * Behind the spool's end some room is always kept: the end record of a job that ends on a full disk goes
 * there, or nobody would know how it ended. What would leave less than that counts as what the spool does not
 * take.
 *
 * When the spool takes no more bytes (ENOSPC, EDQUOT, EIO, …): for WRITER_PATIENCE_MS the records are kept
 * and the caller stops reading the job's pipes, so the job waits. After that the job goes on without its log:
 * output is dropped and counted, every other record is kept, and where the output is missing stands a LOST
 * record for each stream that lost some, written as soon as there is room.
 */
#ifndef BERTH_RUNNER_INIT_WRITER_H
#define BERTH_RUNNER_INIT_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/spool.h"

enum {
    WRITER_STREAMS = 2,
    WRITER_OUTPUT_BYTES = 576 * 1024, /* room for output and its headers when the buffer is empty */
    WRITER_SPARE_BYTES = 96 * 1024,   /* for a record written in part, and records other than output */
    WRITER_BYTES = WRITER_OUTPUT_BYTES + WRITER_SPARE_BYTES,
    WRITER_PATIENCE_MS = 5000,
    WRITER_RETRY_MS = 50,
    WRITER_RESERVE_BYTES = 4096,   /* for the end: two LOST, some SIGNAL, one END */
    WRITER_ROOM_BYTES = 64 * 1024, /* so much more is taken at once, for what comes next */
};

/* A spool that holds more than this on the disk is full: while the database is away nobody gives back what
 * was read. Above any log limit there can be, so that nothing is lost that could have been stored. */
#define WRITER_SPOOL_MAX_BYTES (INT64_C(2) << 30)

#define WRITER_NONE SIZE_MAX

struct writer {
    int fd;
    size_t len, sent;         /* buf[sent..len) is still to be written; buf begins at a record */
    size_t open;              /* the OUTPUT record that may still grow, or WRITER_NONE */
    enum spool_stream stream; /* of the open record */
    int64_t output_bytes;     /* payload in OUTPUT records, dropped ones not counted */
    int64_t stuck_since_ms;   /* 0: not stuck */
    bool hopeless;            /* patience is over, until a write succeeds */
    int64_t spool_max_bytes;  /* WRITER_SPOOL_MAX_BYTES */
    int64_t room;             /* bytes that are sure to find room behind the spool's end */
    bool boundless;           /* this file system does not keep room: none is asked for any more */
    bool last;                /* what is in the buffer is the end: it may use the room that was kept */
    struct writer_lost {
        int64_t bytes;
        size_t at;          /* of the record that says so, or WRITER_NONE: there is none in the buffer */
    } lost[WRITER_STREAMS]; /* by enum spool_stream, from 0 */
    unsigned char buf[WRITER_BYTES];
};

void writer_init(struct writer *w, int fd);

/* Output: ask for room (at least `least`, at most SPOOL_PAYLOAD_MAX, always within WRITER_OUTPUT_BYTES since
 * the last flush that returned 0), put bytes there, say how many. Consecutive bytes of one stream share a
 * record. */
unsigned char *writer_room(struct writer *w, enum spool_stream stream, size_t least, size_t *ret_room);
void writer_took(struct writer *w, size_t bytes);
void writer_output(struct writer *w, enum spool_stream stream, const void *bytes, size_t len);

/* Any other record. -1 when the buffer has no room for it any more (only while the spool is stuck). */
int writer_record(struct writer *w, enum spool_type type, const void *payload, size_t len);

/* What comes now is the last: it may use the room that was kept for it. */
void writer_end(struct writer *w);

/* 0: go on; 1: stuck, add no output and flush again in WRITER_RETRY_MS. */
int writer_flush(struct writer *w);

int64_t writer_now_ms(void); /* monotonic, never 0 */

#endif
