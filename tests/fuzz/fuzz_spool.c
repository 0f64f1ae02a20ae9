/* Whatever is in a spool, the reader gets through it: always forwards, never outside. */
#include <stdint.h>
#include <stdlib.h>

#include "proto/spool.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    struct spool_header header;
    const unsigned char *payload;
    size_t used;
    unsigned volatile sum = 0;
    for (size_t at = 0; at < len; at += used) {
        enum spool_next next = spool_next(bytes + at, len - at, &header, &payload, &used);
        if (next == SPOOL_PARTIAL && used == 0)
            return 0;
        if (next == SPOOL_PARTIAL || used == 0 || used > len - at)
            abort();
        if (next == SPOOL_GARBAGE)
            continue;
        if (header.len + SPOOL_HEADER_BYTES != used || payload != bytes + at + SPOOL_HEADER_BYTES)
            abort();
        for (size_t i = 0; i < header.len; i++)
            sum += payload[i];
    }
    return 0;
}
