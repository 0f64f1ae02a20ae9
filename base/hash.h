/*
 * hash - FNV-1a (draft-eastlake-fnv): spreads names and finds slips, no defence against malice. Libc only, in
 * the header, so that berth-init has it too.
 */
#ifndef BERTH_BASE_HASH_H
#define BERTH_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t hash_bytes32(const void *bytes, size_t len) {
    uint32_t hash = UINT32_C(0x811c9dc5);
    for (const unsigned char *p = bytes; len--; p++)
        hash = (hash ^ *p) * UINT32_C(0x01000193);
    return hash;
}

static inline uint64_t hash_text64(const char *text) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

#endif
