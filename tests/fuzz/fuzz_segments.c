/* A stored chunk whose segments say anything: the first byte is their share of what follows. */
#include <stdlib.h>
#include <string.h>

#include "orchestrator/gateway/opening.h"
#include "orchestrator/gateway/segments.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    if (size < 2)
        return 0;
    size_t rest = size - 1, cut = rest * data[0] / 256, len = rest - cut;
    struct api_chunk chunk = {
        .offset = 77, .segments = malloc(cut + 1), .segments_len = cut, .bytes = malloc(len + 1)};
    memcpy(chunk.segments, data + 1, cut);
    memcpy(chunk.bytes, data + 1 + cut, len);
    chunk.len = len;
    struct segment segment = {0};
    int64_t at = chunk.offset, end = chunk.offset + (int64_t)len;
    while (segment_at(&chunk, at, &segment)) {
        if (segment.start > at || segment.end <= at || segment.end > end)
            abort();
        at = segment.end;
    }
    if (at != end && len > 0)
        abort();
    int64_t seen = 0;
    bool at_end = true;
    int64_t tail = opening_tail_in(&chunk, STREAM_NONE, 2, &seen, &at_end);
    if (tail >= 0 && (tail <= chunk.offset || tail > end))
        abort();
    api_chunk_done(&chunk);
    return 0;
}
