#include "orchestrator/gateway/segments.h"

#include <endian.h>
#include <string.h>

static struct segment read_segment(const struct api_chunk *chunk, size_t pos, int64_t start) {
    int64_t chunk_end = chunk->offset + (int64_t)chunk->len;
    struct segment segment = {
        .chunk = chunk,
        .pos = pos,
        .start = start,
        .end = chunk_end,
        .bytes = chunk->bytes + (start - chunk->offset),
        .stream = STREAM_STDOUT,
    };
    if (chunk->segments_len < SEGMENT_BYTES || pos > chunk->segments_len - SEGMENT_BYTES)
        return segment;
    const unsigned char *entry = chunk->segments + pos;
    uint32_t len;
    uint64_t time;
    memcpy(&len, entry, sizeof len);
    memcpy(&time, entry + 8, sizeof time);
    segment.stream = entry[4] == STREAM_NONE ? STREAM_STDOUT : entry[4];
    segment.time_us = (int64_t)(le64toh(time) & INT64_MAX);
    if (le32toh(len) < chunk_end - start)
        segment.end = start + le32toh(len);
    return segment;
}

bool segment_at(const struct api_chunk *chunk, int64_t offset, struct segment *segment) {
    if (!chunk->bytes || offset < chunk->offset || offset >= chunk->offset + (int64_t)chunk->len)
        return false;
    struct segment found = *segment;
    if (found.chunk != chunk || offset < found.start)
        found = read_segment(chunk, 0, chunk->offset);
    while (offset >= found.end)
        found = read_segment(chunk, found.pos + SEGMENT_BYTES, found.end);
    *segment = found;
    return true;
}
