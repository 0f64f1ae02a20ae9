#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "proto/spool.h"

static size_t put(unsigned char *out, enum spool_type type, enum spool_stream stream, const void *payload,
                  size_t len) {
    struct spool_header header = {.type = type, .stream = stream, .len = len, .time_us = 1234567890123456};
    spool_put_header(out, &header);
    memcpy(out + SPOOL_HEADER_BYTES, payload, len);
    return SPOOL_HEADER_BYTES + len;
}

static struct spool_header header;
static const unsigned char *payload;
static size_t used;

Test(spool, round_trip) {
    unsigned char bytes[100];
    size_t len = put(bytes, SPOOL_OUTPUT, SPOOL_STDERR, "hello", 5);
    cr_assert_eq(spool_next(bytes, len, &header, &payload, &used), SPOOL_RECORD);
    cr_assert_eq(used, len);
    cr_assert(header.type == SPOOL_OUTPUT && header.stream == SPOOL_STDERR && header.len == 5);
    cr_assert_eq(header.time_us, 1234567890123456);
    cr_assert_arr_eq(payload, "hello", 5);
}

Test(spool, the_runner_has_a_stream_of_its_own) {
    unsigned char bytes[100];
    size_t len = put(bytes, SPOOL_OUTPUT, SPOOL_SYSTEM, "pulling", 7);
    cr_assert_eq(spool_next(bytes, len, &header, &payload, &used), SPOOL_RECORD);
    cr_assert_eq(header.stream, SPOOL_SYSTEM);
}

Test(spool, what_is_lost_has_a_stream_and_a_number) {
    unsigned char bytes[100];
    struct spool_lost lost = {.bytes = INT64_C(5000000000), .error = 28}, got;
    size_t len = put(bytes, SPOOL_LOST, SPOOL_STDERR, &lost, sizeof lost);
    cr_assert_eq(spool_next(bytes, len, &header, &payload, &used), SPOOL_RECORD);
    cr_assert_eq(used, len);
    cr_assert(header.type == SPOOL_LOST && header.stream == SPOOL_STDERR);
    memcpy(&got, payload, sizeof got);
    cr_assert(got.bytes == lost.bytes && got.error == lost.error);
}

Test(spool, every_prefix_is_partial) {
    unsigned char bytes[100];
    size_t len = put(bytes, SPOOL_OUTPUT, SPOOL_STDOUT, "hello", 5);
    for (size_t i = 0; i < len; i++) {
        cr_assert_eq(spool_next(bytes, i, &header, &payload, &used), SPOOL_PARTIAL, "at %zu", i);
        cr_assert_eq(used, 0);
    }
}

Test(spool, garbage_is_skipped_to_the_next_record) {
    unsigned char bytes[200] = "scribble\xB7scribble";
    size_t at = 17;
    size_t len = at + put(bytes + at, SPOOL_OUTPUT, SPOOL_STDOUT, "x", 1);
    size_t skipped = 0;
    while (spool_next(bytes + skipped, len - skipped, &header, &payload, &used) == SPOOL_GARBAGE) {
        cr_assert_geq(used, 1);
        skipped += used;
    }
    cr_assert_eq(skipped, at);
    cr_assert_eq(used, len - at);
}

Test(spool, a_changed_header_is_garbage) {
    unsigned char bytes[100];
    for (size_t i = 0; i < SPOOL_HEADER_BYTES; i++) {
        size_t len = put(bytes, SPOOL_OUTPUT, SPOOL_STDOUT, "hello", 5);
        bytes[i] ^= 0x10;
        cr_assert_eq(spool_next(bytes, len, &header, &payload, &used), SPOOL_GARBAGE, "at %zu", i);
    }
}

Test(spool, lengths_are_bounded) {
    static unsigned char bytes[SPOOL_HEADER_BYTES];
    static const struct spool_header wrong[] = {
        {.type = SPOOL_OUTPUT, .stream = SPOOL_STDOUT, .len = SPOOL_PAYLOAD_MAX + 1},
        {.type = SPOOL_OUTPUT, .stream = SPOOL_STDOUT, .len = 0},
        {.type = SPOOL_OUTPUT, .stream = 4, .len = 1},
        {.type = SPOOL_END, .len = sizeof(struct spool_end) - 1},
        {.type = SPOOL_STARTED, .len = UINT32_MAX},
        {.type = SPOOL_LOST, .stream = SPOOL_STDOUT, .len = sizeof(struct spool_lost) + 1},
        {.type = SPOOL_LOST, .stream = 0, .len = sizeof(struct spool_lost)},
        {.type = 7, .len = 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        spool_put_header(bytes, &wrong[i]);
        cr_assert_eq(spool_next(bytes, sizeof bytes, &header, &payload, &used), SPOOL_GARBAGE, "at %zu", i);
    }
}

Test(spool, the_end_is_read_only_from_the_very_end) {
    char path[] = "/tmp/test_spool.XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    unsigned char bytes[200];
    struct spool_end end = {.wait_status = 137 << 8, .output_bytes = 5};
    struct spool_end got = {0};
    uint64_t time_us = 0;
    size_t len = put(bytes, SPOOL_OUTPUT, SPOOL_STDOUT, "hello", 5);
    len += put(bytes + len, SPOOL_END, 0, &end, sizeof end);
    cr_assert_eq(spool_read_end(fd, &got, &time_us), 0);
    cr_assert_eq(write(fd, bytes, len - 1), (ssize_t)len - 1);
    cr_assert_eq(spool_read_end(fd, &got, &time_us), 0);
    cr_assert_eq(write(fd, bytes + len - 1, 1), 1);
    cr_assert_eq(spool_read_end(fd, &got, &time_us), 1);
    cr_assert(got.wait_status == 137 << 8 && got.output_bytes == 5 && time_us == 1234567890123456);
    cr_assert_eq(write(fd, "x", 1), 1);
    cr_assert_eq(spool_read_end(fd, &got, &time_us), 0);
    cr_assert_eq(spool_read_end(-1, &got, NULL), -1);
}
