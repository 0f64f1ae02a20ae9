/*
 * ship - all that the scribe says to the database: log bytes, steps of the runner, ends.
 *
 * Every statement shows the attempt's token and moves the position only from where it was, so each may be
 * repeated and a scribe that died in the middle has done no harm. All of a batch runs in one transaction of
 * the caller's.
 *
 * How a log lies in berth.log_chunks (for whoever reads it):
 * - Rows of an attempt, in the order of log_offset, never overlap. A row with bytes covers
 * octet_length(bytes); a row with null bytes is a gap that covers gap_bytes, its cause in gap_cause ("lost":
 * the spool held bytes there that were no record, or init's word that it could not write so many down;
 * counted in attempts.lost_bytes).
 * - What lies below attempts.log_bytes and is covered by no row has passed the log limit: a gap of cause
 * "log_limit". It is always one range, from log_limit / 2 (the head's end, rounded down) to the first row
 * behind it. While the attempt goes on, that first row moves up, and lies at most one chunk before where the
 * tail begins, or further back by what the scribe keeps for viewers of a log with a small limit; in its
 * transaction that ends the attempt it is trimmed, so that head and tail together are log_limit bytes
 * exactly. An attempt that is ended as lost keeps what was there.
 * - attempts.log_expired: its rows were removed for their age (keep.h), stored_bytes is 0 then and
 * log_complete false; all of it is one gap of cause "expired".
 * - A log is truncated when log_bytes > log_limit. stored_bytes counts bytes in rows, without gaps.
 * - A character may be split between two rows. Bytes of several spools (main, services, Berth's own words)
 * lie in the order in which they were taken over; segments carry the stream's number (proto/stream.h), the
 * services' names stand in attempts.services.
 * - attempts.log_sha256 is that of all bytes but the lost ones, put together as if nothing lay between them.
 * Null when a job wrote so much faster than could be read that bytes which were certain to slide out were
 * passed over unread (attempts.log_unhashed); every count stays exact then.
 * - log_complete: the END record of the main container's init was read (or nothing ever ran), it counts as
 * many bytes as were taken over, so does each service's that is there, and nothing was lost. After a commit:
 * NOTIFY berth_log with the ids of the jobs concerned, separated by blanks, or "*" for too many.
 */
#ifndef BERTH_DB_SHIP_H
#define BERTH_DB_SHIP_H

#include "orchestrator/db/db.h"
#include "proto/journal.h"
#include "proto/spec.h"

enum {
    SHIP_SHA_STATE_MAX = 128,
    SHIP_SOURCES_MAX = 2 + SPEC_SERVICES_MAX, /* spools of one attempt: main, system, services */
    SHIP_DAY_MAX = 12,
    SHIP_NOTIFY_BYTES_MAX = 7900, /* PostgreSQL takes payloads below 8000 */
};
#define SHIP_CHANNEL "berth_log"

struct ship_key {
    const char *job; /* uuid */
    int number;
    int64_t id, token;
    const char *services;   /* their names as PostgreSQL reads an array: {}, {"db","cache"} */
    char day[SHIP_DAY_MAX]; /* log_chunks.created_on; filled by ship_load */
};

struct ship_position {
    int64_t raw_pos[SHIP_SOURCES_MAX];      /* in each spool: main, system, services */
    int64_t source_bytes[SHIP_SOURCES_MAX]; /* output taken over of each */
    int64_t log_bytes, lost_bytes;
    bool unhashed;                               /* some bytes were passed over unread */
    unsigned char sha_state[SHIP_SHA_STATE_MAX]; /* of the hash over all bytes up to here */
    size_t sha_len;                              /* 0: nothing hashed yet */
};

struct ship_attempt {
    bool ours;     /* there is such an attempt with this token */
    bool finished; /* and it has ended */
    int64_t log_limit;
    int64_t freed; /* earlier attempts of the job that never started: none of its retries */
    struct ship_position at;
};
int ship_load(struct db *db, const struct ctx *ctx, struct ship_key *key, struct ship_attempt *ret,
              struct err *err);

/* Bytes (borrowed) or, with gap_bytes > 0, a gap of cause "lost". */
struct ship_chunk {
    int64_t log_offset, gap_bytes;
    const void *bytes, *segments;
    size_t len, segments_len;
};
/* 1: stored, and the position moved. 0: the attempt is not ours, has ended, or is not at these positions any
 * more. */
int ship_log(struct db *db, const struct ctx *ctx, const struct ship_key *key,
             const int64_t from_raw[SHIP_SOURCES_MAX], const struct ship_position *to,
             const struct ship_chunk *chunks, size_t count, struct err *err);
/* Removes rows between the head's end and the tail's begin. Only behind a ship_log() that returned 1. */
int ship_slide(struct db *db, const struct ctx *ctx, const struct ship_key *key, int64_t head_end,
               int64_t tail_begin, struct err *err);

/* The row that lies across the tail's begin. 1: there is one; 0: none has to be cut. */
struct ship_edge {
    int64_t log_offset, len;
    unsigned char *segments; /* owned by the caller; NULL: it is a gap */
    size_t segments_len;
};
int ship_edge(struct db *db, const struct ctx *ctx, const struct ship_key *key, int64_t head_end,
              int64_t tail_begin, struct ship_edge *ret, struct err *err);
/* Cuts that row; segments: of what is left. */
int ship_cut(struct db *db, const struct ctx *ctx, const struct ship_key *key, const struct ship_edge *edge,
             int64_t tail_begin, const void *segments, size_t segments_len, struct err *err);

/* What the journal says before the verdict: times, digest, a run deadline that was moved, and the job's step
 * to running or canceling. deadline_in_ms: how far the run deadline is from now (negative: it has passed),
 * which the row then says on the database's clock; NULL: there is none. */
int ship_steps(struct db *db, const struct ctx *ctx, const struct ship_key *key,
               const struct journal *journal, const int64_t *deadline_in_ms, struct err *err);

struct ship_end {
    const struct verdict *verdict;
    const char *message;    /* in place of the verdict's; NULL: that */
    const int64_t *raw_pos; /* of SHIP_SOURCES_MAX spools, up to where they were read; NULL: wherever they are
                               (the log could not be stored) */
    int64_t finished_us;
    bool log_complete;
    const unsigned char *sha256; /* 32 bytes; NULL: not known */
    int64_t retry_ms;            /* another attempt is to follow after so long; -1: none */
    const char *retry_message;   /* of the job until then; the time when it begins is added */
    int64_t queue_ms;            /* it may wait for so long behind that; 0: for ever */
};
/* Ends the attempt, and with it the job, which waits for its next attempt where one is to follow and nobody
 * has asked to cancel it. 1: done; 0: the attempt is not ours, has ended already, or is not at raw_pos. */
int ship_end(struct db *db, const struct ctx *ctx, const struct ship_key *key, const struct ship_end *end,
             struct err *err);

/* Nothing of this attempt can be stored: its job is to be canceled. */
int ship_give_up(struct db *db, const struct ctx *ctx, const struct ship_key *key, struct err *err);

int ship_notify(struct db *db, const struct ctx *ctx, const char *payload, struct err *err);

/* Whether the database refused these very values (a constraint, a value out of range, our own trigger), so
 * that others may pass; else all is to be tried again later. */
bool ship_is_refusal(const struct err *err);

#endif
