#include "orchestrator/scribe/pack.h"

#include <string.h>

#include "base/clock.h"
#include "proto/spool.h"
#include "proto/stream.h"

/* For each source, beyond its share: room for the gap behind the last chunk and for one more chunk with its
 * gap at the head's end. */
enum { PACK_CHUNKS_SPARE = 4, PACK_CHUNKS_SHARED = PACK_CHUNKS_MAX - PACK_SOURCES_MAX * PACK_CHUNKS_SPARE };
_Static_assert((int)PACK_CHUNKS_SHARED >= (int)PACK_SOURCES_MAX, "a chunk for each source");
_Static_assert(PACK_RAW_BYTES_MAX / (int)PACK_SOURCES_MAX > SPOOL_HEADER_BYTES + SPOOL_PAYLOAD_MAX,
               "a record for each source");

static void put_le(unsigned char *out, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t get_u32(const unsigned char *in) {
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

int64_t pack_head_end(int64_t log_limit) {
    return log_limit / 2;
}

static int64_t tail_or_more(int64_t log_limit, int64_t window) {
    int64_t tail = log_limit - pack_head_end(log_limit);
    return window > tail ? window : tail;
}

int64_t pack_window_begin(int64_t log_limit, int64_t window, int64_t log_bytes) {
    int64_t head = pack_head_end(log_limit), begin = log_bytes - tail_or_more(log_limit, window);
    return begin > head ? begin : head;
}

int64_t pack_tail_begin(int64_t log_limit, int64_t log_bytes) {
    return pack_window_begin(log_limit, 0, log_bytes);
}

size_t pack_trim_segments(unsigned char *segments, size_t len, int64_t drop) {
    size_t at = 0;
    while (drop > 0 && at + PACK_SEGMENT_BYTES <= len) {
        uint32_t n = get_u32(segments + at);
        if ((int64_t)n > drop) {
            put_le(segments + at, (uint64_t)(n - drop), 4);
            break;
        }
        drop -= n;
        at += PACK_SEGMENT_BYTES;
    }
    memmove(segments, segments + at, len - at);
    return len - at;
}

void pack_begin(struct pack *pack, const struct pack_position *from, int64_t log_limit, int64_t window) {
    *pack = (struct pack){
        .from = *from, .at = *from, .log_limit = log_limit, .window = tail_or_more(log_limit, window)};
    pack_source(pack, PACK_MAIN, 1, 0);
}

void pack_done(struct pack *pack) {
    for (size_t i = 0; i < pack->count; i++) {
        buf_done(&pack->chunks[i].bytes);
        buf_done(&pack->chunks[i].segments);
    }
    pack->count = 0;
}

bool pack_is_full(const struct pack *pack) {
    return pack->raw_left <= 0 || pack->count >= pack->chunks_end;
}

/* The last chunk takes no more; what was lost meanwhile lies behind it. */
static void close_chunk(struct pack *pack) {
    pack->open = pack->gap_here = false;
    if (!pack->garbage)
        return;
    pack->chunks[pack->count++] =
        (struct pack_chunk){.log_offset = pack->at.log_bytes, .gap_bytes = pack->garbage};
    pack->at.log_bytes += pack->garbage;
    pack->at.lost_bytes += pack->garbage;
    pack->garbage = 0;
}

/* As close_chunk, where what lies behind the chunk is certain to slide out: no row need tell of the gap. */
static void skip_garbage(struct pack *pack) {
    pack->open = pack->gap_here = false;
    pack->at.log_bytes += pack->garbage;
    pack->at.lost_bytes += pack->garbage;
    pack->garbage = 0;
}

void pack_source(struct pack *pack, unsigned source, unsigned shares, int64_t ahead) {
    if (pack->garbage)
        close_chunk(pack);
    pack->source = source;
    pack->ahead = ahead;
    pack->raw_left = PACK_RAW_BYTES_MAX / shares;
    pack->chunks_end = pack->count + PACK_CHUNKS_SHARED / shares;
}

int64_t pack_certain(const struct pack *pack) {
    bool behind_head = pack->at.log_bytes >= pack_head_end(pack->log_limit);
    return behind_head && pack->ahead > pack->window ? pack->ahead - pack->window : 0;
}

void pack_pass(struct pack *pack, int64_t raw_bytes, int64_t output_bytes, int64_t lost_bytes) {
    skip_garbage(pack);
    int64_t most = PACK_LOG_BYTES_MAX - pack->at.log_bytes - output_bytes;
    int64_t lost = lost_bytes < most ? lost_bytes : most > 0 ? most : 0;
    pack->at.raw_pos[pack->source] += raw_bytes;
    pack->at.output_bytes[pack->source] += output_bytes;
    pack->at.log_bytes += output_bytes + lost;
    pack->at.lost_bytes += lost;
    pack->at.unhashed = pack->at.unhashed || output_bytes > 0;
    pack->ahead -= output_bytes;
}

static bool has_room(const struct pack *pack, const struct pack_chunk *chunk, size_t len) {
    return chunk->bytes.len + len <= PACK_CHUNK_BYTES_MAX &&
           chunk->segments.len < (size_t)PACK_SEGMENTS_MAX * PACK_SEGMENT_BYTES &&
           pack->at.log_bytes != pack_head_end(pack->log_limit);
}

static struct pack_chunk *chunk_for(struct pack *pack, size_t len) {
    if (pack->open && !pack->gap_here) {
        struct pack_chunk *open = &pack->chunks[pack->count - 1];
        if (has_room(pack, open, len))
            return open;
    }
    if (pack->open || pack->gap_here)
        close_chunk(pack);
    struct pack_chunk *last = &pack->chunks[pack->count++];
    *last = (struct pack_chunk){.log_offset = pack->at.log_bytes,
                                .bytes = BUF(PACK_CHUNK_BYTES_MAX),
                                .segments = BUF((size_t)PACK_SEGMENTS_MAX * PACK_SEGMENT_BYTES)};
    pack->open = true;
    pack->last_stream = 0;
    return last;
}

/* What a job writes into its own spool is its own, whatever it calls it. */
static int stream_of(unsigned source, enum spool_stream stream) {
    if (source == PACK_MAIN)
        return stream == SPOOL_STDERR ? STREAM_STDERR : STREAM_STDOUT;
    return source == PACK_SYSTEM ? STREAM_SYSTEM : STREAM_SERVICE + (int)(source - PACK_SERVICE);
}

static void add_segment(struct pack *pack, struct pack_chunk *chunk, const struct spool_header *header,
                        size_t len) {
    int64_t ms = (int64_t)(header->time_us / (uint64_t)US_PER_MS);
    int stream = stream_of(pack->source, header->stream);
    if (pack->last_stream == stream && pack->last_ms == ms) {
        unsigned char *last =
            (unsigned char *)chunk->segments.data + chunk->segments.len - PACK_SEGMENT_BYTES;
        put_le(last, get_u32(last) + len, 4);
        return;
    }
    unsigned char segment[PACK_SEGMENT_BYTES] = {0};
    put_le(segment, len, 4);
    segment[4] = (unsigned char)stream;
    put_le(segment + 8, header->time_us, 8);
    buf_add(&chunk->segments, segment, sizeof segment);
    pack->last_stream = stream;
    pack->last_ms = ms;
}

static void hash(struct pack *pack, const unsigned char *bytes, size_t len) {
    if (!pack->at.unhashed)
        sha256_update(&pack->at.sha, len, bytes);
}

static void store(struct pack *pack, const struct spool_header *header, const unsigned char *payload) {
    size_t left = header->len;
    int64_t head_end = pack_head_end(pack->log_limit);
    while (left > 0) {
        struct pack_chunk *chunk = chunk_for(pack, left);
        /* chunk_for may have told a gap, so where the head ends is looked at behind it. */
        int64_t to_head_end = head_end - pack->at.log_bytes;
        size_t len = to_head_end > 0 && (int64_t)left > to_head_end ? (size_t)to_head_end : left;
        buf_add(&chunk->bytes, payload, len);
        add_segment(pack, chunk, header, len);
        hash(pack, payload, len);
        pack->at.log_bytes += (int64_t)len;
        payload += len;
        left -= len;
    }
    pack->raw_left -= SPOOL_HEADER_BYTES + (int64_t)header->len;
}

static void take_output(struct pack *pack, const struct spool_header *header, const unsigned char *payload) {
    if (pack_certain(pack) >= header->len) {
        skip_garbage(pack);
        hash(pack, payload, header->len);
        pack->at.log_bytes += header->len;
    } else {
        store(pack, header, payload);
    }
    pack->at.output_bytes[pack->source] += header->len;
    pack->ahead -= header->len;
}

/* No log grows longer than PACK_LOG_BYTES_MAX by it. */
static void add_garbage(struct pack *pack, int64_t bytes) {
    int64_t most = PACK_LOG_BYTES_MAX - pack->at.log_bytes - pack->garbage;
    most = most > 0 ? most : 0;
    pack->garbage += bytes < most ? bytes : most;
}

void pack_hole(struct pack *pack, int64_t raw_bytes) {
    add_garbage(pack, raw_bytes);
    pack->at.raw_pos[pack->source] += raw_bytes;
}

/* Returns false when the record says what cannot be. */
static bool take_lost(struct pack *pack, const unsigned char *payload) {
    struct spool_lost lost;
    memcpy(&lost, payload, sizeof lost);
    if (lost.bytes < 1)
        return false;
    add_garbage(pack, lost.bytes);
    pack->gap_here = true;
    return true;
}

size_t pack_take(struct pack *pack, const unsigned char *bytes, size_t len, bool final) {
    size_t done = 0;
    while (done < len && !pack_is_full(pack)) {
        struct spool_header header = {0};
        const unsigned char *payload = NULL;
        size_t used = 0;
        enum spool_next next = spool_next(bytes + done, len - done, &header, &payload, &used);
        if (next == SPOOL_PARTIAL && !final)
            break;
        used = used ? used : 1;
        if (next != SPOOL_RECORD || (header.type == SPOOL_LOST && !take_lost(pack, payload)))
            pack->garbage += (int64_t)used;
        else if (header.type == SPOOL_OUTPUT)
            take_output(pack, &header, payload);
        done += used;
        pack->at.raw_pos[pack->source] += (int64_t)used;
    }
    return done;
}

/* A chunk that would be deleted by the transaction that stores it need not be stored. */
static bool has_slid_out(const struct pack *pack, const struct pack_chunk *chunk) {
    int64_t len = chunk->gap_bytes ? chunk->gap_bytes : (int64_t)chunk->bytes.len;
    return chunk->log_offset >= pack_head_end(pack->log_limit) &&
           chunk->log_offset + len <= pack_window_begin(pack->log_limit, pack->window, pack->at.log_bytes);
}

void pack_finish(struct pack *pack) {
    close_chunk(pack);
    size_t kept = 0;
    for (size_t i = 0; i < pack->count; i++) {
        if (has_slid_out(pack, &pack->chunks[i])) {
            buf_done(&pack->chunks[i].bytes);
            buf_done(&pack->chunks[i].segments);
        } else {
            pack->chunks[kept++] = pack->chunks[i];
        }
    }
    pack->count = kept;
}
