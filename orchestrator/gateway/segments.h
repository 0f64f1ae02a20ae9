/*
 * segments - what `segments` of a stored chunk says: which bytes came from which stream, and when
 * (orchestrator/db/migrations/0001_core.sql). Pure; trusts nothing in it: bytes that no segment covers are
 * stdout's.
 */
#ifndef BERTH_GATEWAY_SEGMENTS_H
#define BERTH_GATEWAY_SEGMENTS_H

#include "orchestrator/db/api.h"
#include "proto/stream.h"

enum { SEGMENT_BYTES = 16 };

struct segment {
    const struct api_chunk *chunk;
    size_t pos;                 /* of its entry in chunk->segments */
    int64_t start, end;         /* log offsets */
    const unsigned char *bytes; /* at start */
    int stream;                 /* proto/stream.h */
    int64_t time_us;
};

/* The segment of this chunk that holds `offset`. What is in *segment is where the search begins, if it is of
 * this chunk, so that going through a chunk in order costs no more than its length; {0} otherwise. False:
 * there are no bytes at the offset. */
bool segment_at(const struct api_chunk *chunk, int64_t offset, struct segment *segment);

#endif
