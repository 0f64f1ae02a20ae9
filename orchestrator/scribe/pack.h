/*
 * pack - spool records in, chunks for the database out: one attempt's share of one batch. Pure.
 *
 * Takes the bytes of a spool as they come, in pieces of any size, and moves a position (raw offset, log
 * offset, hash, lost bytes) over them. Bytes that are no record are counted and become a gap behind the chunk
 * in which they were met; what init says that it lost becomes a gap in its place, as long as it says. Neither
 * is in the hash: it covers the bytes that are known, in their order, as if nothing lay between them. Records
 * of one stream within one millisecond share a segment. No chunk lies across the head's end.
 */
#ifndef BERTH_SCRIBE_PACK_H
#define BERTH_SCRIBE_PACK_H

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* No log grows longer than this by what was lost: 2^53 is the last whole number that every JSON reader has. A
 * job that scribbles on its spool may claim any number. */
#define PACK_LOG_BYTES_MAX (INT64_C(1) << 53)

enum {
    PACK_CHUNK_BYTES_MAX = 256 * 1024,
    PACK_SEGMENT_BYTES = 16,
    PACK_SEGMENTS_MAX = 16384, /* in one chunk */
    PACK_RAW_BYTES_MAX =
        4 * 1024 * 1024, /* of one attempt in one batch: one that floods does not starve others */
    PACK_CHUNKS_MAX = 64,
};

struct pack_position {
    int64_t raw_pos, log_bytes, lost_bytes;
    crypto_hash_sha256_state sha; /* over all bytes up to here */
};

struct pack_chunk {
    int64_t log_offset, raw_offset;
    int64_t gap_bytes; /* > 0: a gap, and no bytes */
    struct buf bytes, segments;
};

struct pack {
    struct pack_position from, at;
    int64_t log_limit;
    int64_t garbage; /* met and not yet told as a gap */
    bool gap_here;   /* that gap lies before whatever comes next */
    int64_t last_ms; /* of the last segment */
    int last_stream;
    struct pack_chunk chunks[PACK_CHUNKS_MAX];
    size_t count;
    bool open; /* the last chunk takes more */
};

void pack_begin(struct pack *pack, const struct pack_position *from, int64_t log_limit);
/* Takes whole records from the front; returns how many bytes it has used, fewer than len when the rest is an
 * incomplete record or the pack is full. final: nothing will be added to the spool any more, so an incomplete
 * record is garbage. */
size_t pack_take(struct pack *pack, const unsigned char *bytes, size_t len, bool final);
bool pack_is_full(const struct pack *pack);
/* Closes the last chunk and drops those that have slid out of the tail already. */
void pack_finish(struct pack *pack);
void pack_done(struct pack *pack);

/* Where head and tail of a log with this limit (bytes) end and begin. The tail begins at the head's end as
 * long as the limit holds all. */
int64_t pack_head_end(int64_t log_limit);
int64_t pack_tail_begin(int64_t log_limit, int64_t log_bytes);

/* Takes `drop` bytes from the front of a run of segments, in place. Returns the new length. */
size_t pack_trim_segments(unsigned char *segments, size_t len, int64_t drop);

#endif
