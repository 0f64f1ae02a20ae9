#include "proto/spool.h"

#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/pread.h"

enum {
    CHECKED_BYTES = 16,
    PATH_TRIED_MAX = 4096, /* behind struct spool_exec_failed */
};

/* A record that says less or more than its type can hold is no record. */
static const struct {
    uint32_t min, max;
} payload_bytes[] = {
    [SPOOL_OUTPUT] = {1, SPOOL_PAYLOAD_MAX},
    [SPOOL_STARTED] = {sizeof(struct spool_started), sizeof(struct spool_started)},
    [SPOOL_SIGNAL] = {sizeof(struct spool_signal), sizeof(struct spool_signal)},
    [SPOOL_EXEC_FAILED] = {sizeof(struct spool_exec_failed),
                           sizeof(struct spool_exec_failed) + PATH_TRIED_MAX},
    [SPOOL_END] = {sizeof(struct spool_end), sizeof(struct spool_end)},
    [SPOOL_LOST] = {sizeof(struct spool_lost), sizeof(struct spool_lost)},
};

static int has_stream(unsigned type) {
    return type == SPOOL_OUTPUT || type == SPOOL_LOST;
}

static void put_le(unsigned char *out, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get_le(const unsigned char *in, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)in[i] << (8 * i);
    return value;
}

/* No defence against malice, only against what is no header. */
static uint32_t header_check(const unsigned char *header) {
    return hash_bytes32(header, CHECKED_BYTES);
}

void spool_put_header(unsigned char out[SPOOL_HEADER_BYTES], const struct spool_header *header) {
    out[0] = SPOOL_MAGIC;
    out[1] = (unsigned char)header->type;
    out[2] = has_stream(header->type) ? (unsigned char)header->stream : 0;
    out[3] = 0;
    put_le(out + 4, header->len, 4);
    put_le(out + 8, header->time_us, 8);
    put_le(out + CHECKED_BYTES, header_check(out), 4);
}

/* Whether the bytes that are there, at least one, can begin a header; all of them are looked at. */
static int header_possible(const unsigned char *bytes, size_t len) {
    if (bytes[0] != SPOOL_MAGIC)
        return 0;
    if (len > 1 && (bytes[1] < SPOOL_OUTPUT || bytes[1] > SPOOL_LOST))
        return 0;
    if (len > 2) {
        int is_stream = bytes[2] >= SPOOL_STDOUT && bytes[2] <= SPOOL_SYSTEM;
        if (has_stream(bytes[1]) ? !is_stream : bytes[2] != 0)
            return 0;
    }
    if (len > 3 && bytes[3] != 0)
        return 0;
    if (len >= 8) {
        uint64_t payload = get_le(bytes + 4, 4);
        if (payload < payload_bytes[bytes[1]].min || payload > payload_bytes[bytes[1]].max)
            return 0;
    }
    return len < SPOOL_HEADER_BYTES || get_le(bytes + CHECKED_BYTES, 4) == header_check(bytes);
}

static void decode(const unsigned char *bytes, struct spool_header *ret_header) {
    *ret_header = (struct spool_header){.type = bytes[1],
                                        .stream = bytes[2],
                                        .len = (uint32_t)get_le(bytes + 4, 4),
                                        .time_us = get_le(bytes + 8, 8)};
}

int spool_get_header(const unsigned char bytes[SPOOL_HEADER_BYTES], struct spool_header *ret_header) {
    if (!header_possible(bytes, SPOOL_HEADER_BYTES))
        return 0;
    decode(bytes, ret_header);
    return 1;
}

static size_t garbage_until(const unsigned char *bytes, size_t len) {
    const unsigned char *next = len > 1 ? memchr(bytes + 1, SPOOL_MAGIC, len - 1) : NULL;
    return next ? (size_t)(next - bytes) : len;
}

enum spool_next spool_next(const unsigned char *bytes, size_t len, struct spool_header *ret_header,
                           const unsigned char **ret_payload, size_t *ret_used) {
    *ret_used = 0;
    if (len == 0)
        return SPOOL_PARTIAL;
    if (!header_possible(bytes, len)) {
        *ret_used = garbage_until(bytes, len);
        return SPOOL_GARBAGE;
    }
    if (len < SPOOL_HEADER_BYTES)
        return SPOOL_PARTIAL;
    size_t payload = get_le(bytes + 4, 4);
    if (len - SPOOL_HEADER_BYTES < payload)
        return SPOOL_PARTIAL;
    decode(bytes, ret_header);
    *ret_payload = bytes + SPOOL_HEADER_BYTES;
    *ret_used = SPOOL_HEADER_BYTES + payload;
    return SPOOL_RECORD;
}

int spool_read_end(int fd, struct spool_end *ret_end, uint64_t *ret_time_us) {
    unsigned char record[SPOOL_HEADER_BYTES + sizeof(struct spool_end)];
    off_t size = lseek(fd, 0, SEEK_END);
    if (size < 0)
        return -1;
    if ((size_t)size < sizeof record)
        return 0;
    ssize_t got = pread_whole(fd, record, sizeof record, size - (off_t)sizeof record);
    if (got < 0)
        return -1;
    struct spool_header header;
    const unsigned char *payload;
    size_t used;
    if ((size_t)got != sizeof record ||
        spool_next(record, sizeof record, &header, &payload, &used) != SPOOL_RECORD ||
        header.type != SPOOL_END)
        return 0;
    memcpy(ret_end, payload, sizeof *ret_end);
    if (ret_time_us)
        *ret_time_us = header.time_us;
    return 1;
}
