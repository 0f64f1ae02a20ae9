/*
 * pack - spool records in, chunks for the database out: one attempt's share of one batch. Pure.
 *
 * Takes the bytes of the attempt's spools, one spool (source) after the other, as they come, in pieces of any
 * size, and moves a position (raw offset by source, log offset, hash, lost bytes) over them. Bytes that are
 * no record are counted and become a gap behind the chunk in which they were met; what init says that it lost
 * becomes a gap in its place, as long as it says. Neither is in the hash: it covers the bytes that are known,
 * in their order, as if nothing lay between them. Records of one stream within one millisecond share a
 * segment. No chunk lies across the head's end.
 *
 * What is certain to slide out of the window is not stored. How much is certain follows from `ahead`: the
 * output bytes that are known to lie in the source from its position on. A record behind the head whose end
 * has at least a whole window ahead of it is skipped: hashed and counted. Its caller may even pass over such
 * records without reading them (pack_pass); the hash is then given up for good. Offsets, gaps and counts are
 * the same either way.
 */
#ifndef BERTH_SCRIBE_PACK_H
#define BERTH_SCRIBE_PACK_H

#include <nettle/sha2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "orchestrator/db/ship.h"

/* No log grows longer than this by what was lost: 2^53 is the last whole number that every JSON reader has. A
 * job that scribbles on its spool may claim any number. */
#define PACK_LOG_BYTES_MAX (INT64_C(1) << 53)

enum {
    PACK_CHUNK_BYTES_MAX = 256 * 1024,
    PACK_SEGMENT_BYTES = 16,
    PACK_SEGMENTS_MAX = 16384, /* in one chunk */
    PACK_RAW_BYTES_MAX =
        4 * 1024 * 1024, /* of one attempt in one batch, without what is skipped: a flood starves nobody */
    PACK_CHUNKS_MAX = 128,
};

/* The spools of an attempt, by their place in every array of positions. */
enum {
    PACK_MAIN = 0,
    PACK_SYSTEM = 1,
    PACK_SERVICE = 2 /* the first one */,
    PACK_SOURCES_MAX = SHIP_SOURCES_MAX
};

struct pack_position {
    int64_t raw_pos[PACK_SOURCES_MAX];
    int64_t output_bytes[PACK_SOURCES_MAX]; /* payload of output records, stored or not */
    int64_t log_bytes, lost_bytes;
    bool unhashed;         /* some were passed over: `sha` says nothing any more */
    struct sha256_ctx sha; /* over all bytes up to here */
};

struct pack_chunk {
    int64_t log_offset;
    int64_t gap_bytes; /* > 0: a gap, and no bytes */
    struct buf bytes, segments;
};

struct pack {
    struct pack_position from, at;
    int64_t log_limit;
    int64_t window; /* the tail at least */
    unsigned source;
    int64_t ahead;     /* output bytes known to lie from this source's position on */
    int64_t raw_left;  /* of this source's share */
    size_t chunks_end; /* likewise */
    int64_t garbage;   /* met and not yet told as a gap */
    bool gap_here;     /* that gap lies before whatever comes next */
    int64_t last_ms;   /* of the last segment */
    int last_stream;
    struct pack_chunk chunks[PACK_CHUNKS_MAX];
    size_t count;
    bool open; /* the last chunk takes more */
};

/* window: as pack_window_begin() has it. */
void pack_begin(struct pack *pack, const struct pack_position *from, int64_t log_limit, int64_t window);
/* From here on this source; to be called before the first pack_take. shares: how many sources have to get by
 * with the pack (this one has one of the equal shares). ahead: 0 when nothing is known. */
void pack_source(struct pack *pack, unsigned source, unsigned shares, int64_t ahead);
/* Takes whole records from the front; returns how many bytes it has used, fewer than len when the rest is an
 * incomplete record or the source's share is used up. final: nothing will be added to the spool any more, so
 * an incomplete record is garbage. */
size_t pack_take(struct pack *pack, const unsigned char *bytes, size_t len, bool final);
/* So many raw bytes of the source are a hole in the file: garbage, as pack_take() would find it. */
void pack_hole(struct pack *pack, int64_t raw_bytes);
bool pack_is_full(const struct pack *pack); /* the source's share is used up */
/* How many output bytes of this source, from its position on, are certain to slide out. */
int64_t pack_certain(const struct pack *pack);
/* Goes over that many raw bytes of the source, in which whole records held so much output (at most
 * pack_certain), and so much was lost; unread, so there is no hash any more. */
void pack_pass(struct pack *pack, int64_t raw_bytes, int64_t output_bytes, int64_t lost_bytes);
/* Closes the last chunk and drops those that have slid out of the window already. */
void pack_finish(struct pack *pack);
void pack_done(struct pack *pack);

/* Where head and tail of a log with this limit (bytes) end and begin. The tail begins at the head's end as
 * long as the limit holds all. */
int64_t pack_head_end(int64_t log_limit);
int64_t pack_tail_begin(int64_t log_limit, int64_t log_bytes);
/* Where what is stored behind the head begins as long as the log goes on: that many of its last bytes, and
 * the tail at least, so that live viewers of a log with a small limit see what passes. */
int64_t pack_window_begin(int64_t log_limit, int64_t window, int64_t log_bytes);

/* Takes `drop` bytes from the front of a run of segments, in place. Returns the new length. */
size_t pack_trim_segments(unsigned char *segments, size_t len, int64_t drop);

#endif
