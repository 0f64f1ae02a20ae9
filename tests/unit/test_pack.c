#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

#include "orchestrator/scribe/pack.h"
#include "proto/spool.h"

enum { LIMIT = 64 * 1024 * 1024 };

static struct pack pack;
static struct buf spool;

static void setup(void) {
    spool = BUF(64 * 1024 * 1024);
}
static void teardown(void) {
    buf_done(&spool);
    pack_done(&pack);
}
TestSuite(pack, .init = setup, .fini = teardown);

static void record(enum spool_type type, enum spool_stream stream, uint64_t time_us, const void *bytes,
                   size_t len) {
    unsigned char header[SPOOL_HEADER_BYTES];
    spool_put_header(header, &(struct spool_header){type, stream, (uint32_t)len, time_us});
    buf_add(&spool, header, sizeof header);
    buf_add(&spool, bytes, len);
}

static void output(const char *text, uint64_t time_us, enum spool_stream stream) {
    record(SPOOL_OUTPUT, stream, time_us, text, strlen(text));
}

static void begin_with_window(int64_t limit, int64_t window) {
    struct pack_position from = {0};
    sha256_init(&from.sha);
    pack_begin(&pack, &from, limit, window);
}

static void begin(int64_t limit) {
    begin_with_window(limit, 0);
}

static size_t take(bool final) {
    return pack_take(&pack, (unsigned char *)spool.data, spool.len, final);
}

static uint32_t segment_len(size_t chunk, size_t i) {
    uint32_t n;
    memcpy(&n, pack.chunks[chunk].segments.data + i * PACK_SEGMENT_BYTES, sizeof n);
    return n;
}

Test(pack, keeps_order_and_merges_a_stream_within_a_millisecond) {
    output("one ", 5000, SPOOL_STDOUT);
    output("two ", 5999, SPOOL_STDOUT);
    output("err", 5999, SPOOL_STDERR);
    output("three", 6000, SPOOL_STDERR);
    struct spool_started started = {.pid = 1};
    record(SPOOL_STARTED, 0, 1, &started, sizeof started);
    begin(LIMIT);
    cr_expect_eq(take(false), spool.len);
    pack_finish(&pack);
    cr_assert_eq(pack.count, 1);
    cr_expect_str_eq(buf_str(&pack.chunks[0].bytes), "one two errthree");
    cr_assert_eq(pack.chunks[0].segments.len, 3 * PACK_SEGMENT_BYTES);
    cr_expect_eq(segment_len(0, 0), 8);
    cr_expect_eq(segment_len(0, 1), 3);
    cr_expect_eq(segment_len(0, 2), 5);
    const unsigned char *second = (unsigned char *)pack.chunks[0].segments.data + PACK_SEGMENT_BYTES;
    cr_expect_eq(second[4], SPOOL_STDERR);
    uint64_t time_us;
    memcpy(&time_us, second + 8, sizeof time_us);
    cr_expect_eq(time_us, 5999);
    cr_expect_eq(pack.at.raw_pos[PACK_MAIN], (int64_t)spool.len);
    cr_expect_eq(pack.at.log_bytes, 16);
    unsigned char got[32], want[32];
    sha256_digest(&pack.at.sha, sizeof got, got);
    crypto_hash_sha256(want, (const unsigned char *)"one two errthree", 16);
    cr_expect_eq(memcmp(got, want, 32), 0);
}

Test(pack, gives_the_same_in_pieces_of_any_size) {
    for (int i = 0; i < 50; i++)
        output("some words\n", 1000 * (uint64_t)i, i % 3 ? SPOOL_STDOUT : SPOOL_STDERR);
    for (size_t piece = 1; piece < 70; piece += 3) {
        begin(LIMIT);
        size_t used = 0, shown = 0;
        while (used < spool.len) {
            shown = shown + piece > spool.len ? spool.len : shown + piece;
            used += pack_take(&pack, (unsigned char *)spool.data + used, shown - used, false);
        }
        pack_finish(&pack);
        cr_expect_eq(pack.at.log_bytes, 550);
        cr_expect_eq(pack.at.lost_bytes, 0);
        cr_assert_eq(pack.count, 1);
        cr_expect_eq(pack.chunks[0].bytes.len, 550);
        pack_done(&pack);
    }
}

Test(pack, leaves_an_incomplete_record_until_nothing_more_can_come) {
    output("whole", 1, SPOOL_STDOUT);
    size_t whole = spool.len;
    output("torn", 1, SPOOL_STDOUT);
    spool.len -= 2;
    begin(LIMIT);
    cr_expect_eq(take(false), whole);
    cr_expect_eq(pack.at.raw_pos[PACK_MAIN], (int64_t)whole);
    size_t rest = spool.len - whole;
    cr_expect_eq(pack_take(&pack, (unsigned char *)spool.data + whole, rest, true), rest);
    pack_finish(&pack);
    cr_expect_eq(pack.at.lost_bytes, (int64_t)rest);
    cr_assert_eq(pack.count, 2);
    cr_expect_eq(pack.chunks[1].gap_bytes, (int64_t)rest);
    cr_expect_eq(pack.chunks[1].log_offset, 5);
    cr_expect_eq(pack.at.log_bytes, 5 + (int64_t)rest);
}

Test(pack, tells_garbage_as_one_gap_behind_the_chunk) {
    buf_adds(&spool, "garbage");
    output("a", 1, SPOOL_STDOUT);
    buf_adds(&spool, "\xb7more");
    output("b", 1, SPOOL_STDOUT);
    begin(LIMIT);
    cr_expect_eq(take(false), spool.len);
    pack_finish(&pack);
    cr_assert_eq(pack.count, 2);
    cr_expect_str_eq(buf_str(&pack.chunks[0].bytes), "ab");
    cr_expect_eq(pack.chunks[1].gap_bytes, 12);
    cr_expect_eq(pack.chunks[1].log_offset, 2);
    cr_expect_eq(pack.at.log_bytes, 14);
    cr_expect_eq(pack.at.lost_bytes, 12);
}

static void lost(int64_t bytes, enum spool_stream stream) {
    struct spool_lost payload = {.bytes = bytes, .error = 28};
    record(SPOOL_LOST, stream, 1, &payload, sizeof payload);
}

Test(pack, what_init_lost_is_a_gap_in_its_place_of_that_length) {
    output("before", 1, SPOOL_STDOUT);
    lost(INT64_C(5000000000), SPOOL_STDOUT);
    lost(7, SPOOL_STDERR);
    output("after", 1, SPOOL_STDOUT);
    begin(INT64_C(1) << 40);
    cr_expect_eq(take(false), spool.len);
    pack_finish(&pack);
    cr_assert_eq(pack.count, 3);
    cr_expect_str_eq(buf_str(&pack.chunks[0].bytes), "before");
    cr_expect_eq(pack.chunks[1].log_offset, 6);
    cr_expect_eq(pack.chunks[1].gap_bytes, INT64_C(5000000007));
    cr_expect_eq(pack.chunks[2].log_offset, INT64_C(5000000013));
    cr_expect_str_eq(buf_str(&pack.chunks[2].bytes), "after");
    cr_expect_eq(pack.at.log_bytes, INT64_C(5000000018));
    cr_expect_eq(pack.at.lost_bytes, INT64_C(5000000007));
    unsigned char got[32], want[32];
    sha256_digest(&pack.at.sha, sizeof got, got);
    crypto_hash_sha256(want, (const unsigned char *)"beforeafter", 11);
    cr_expect_eq(memcmp(got, want, 32), 0);
}

Test(pack, what_was_lost_first_or_last_is_told_too) {
    lost(3, SPOOL_STDOUT);
    output("x", 1, SPOOL_STDOUT);
    lost(4, SPOOL_STDOUT);
    begin(LIMIT);
    cr_expect_eq(take(false), spool.len);
    pack_finish(&pack);
    cr_assert_eq(pack.count, 3);
    cr_expect(pack.chunks[0].log_offset == 0 && pack.chunks[0].gap_bytes == 3);
    cr_expect(pack.chunks[1].log_offset == 3 && pack.chunks[1].bytes.len == 1);
    cr_expect(pack.chunks[2].log_offset == 4 && pack.chunks[2].gap_bytes == 4);
    cr_expect_eq(pack.at.log_bytes, 8);
}

Test(pack, a_scribbled_loss_cannot_break_the_offsets) {
    for (int i = 0; i < 5; i++)
        lost(INT64_MAX, SPOOL_STDOUT);
    lost(0, SPOOL_STDERR);
    lost(-5, SPOOL_STDERR);
    output("x", 1, SPOOL_STDOUT);
    begin(LIMIT);
    cr_expect_eq(take(false), spool.len);
    pack_finish(&pack);
    /* Records that say what cannot be are garbage. */
    int64_t garbage = 2 * (SPOOL_HEADER_BYTES + (int64_t)sizeof(struct spool_lost));
    cr_expect_eq(pack.at.lost_bytes, PACK_LOG_BYTES_MAX + garbage);
    cr_expect_eq(pack.at.log_bytes, PACK_LOG_BYTES_MAX + garbage + 1);
}

static void flood(size_t records, size_t len) {
    char *bytes = malloc(len);
    memset(bytes, 'x', len);
    for (size_t i = 0; i < records; i++)
        record(SPOOL_OUTPUT, SPOOL_STDOUT, 1000 * i, bytes, len);
    free(bytes);
}

Test(pack, stops_at_its_bounds) {
    flood(100, SPOOL_PAYLOAD_MAX);
    begin(LIMIT);
    size_t used = take(false);
    cr_expect(pack_is_full(&pack));
    cr_expect_lt(used, spool.len);
    cr_expect_leq(used, PACK_RAW_BYTES_MAX + SPOOL_PAYLOAD_MAX + SPOOL_HEADER_BYTES);
    pack_finish(&pack);
    for (size_t i = 0; i < pack.count; i++)
        cr_expect_leq(pack.chunks[i].bytes.len, PACK_CHUNK_BYTES_MAX);
}

Test(pack, many_tiny_records_and_much_garbage_stay_within_its_bounds) {
    for (int i = 0; i < 400000; i++) {
        output("x", 1000 * (uint64_t)i, SPOOL_STDOUT);
        if (i % 7 == 0)
            buf_adds(&spool, "?");
    }
    begin(LIMIT);
    size_t used = take(false);
    pack_finish(&pack);
    cr_expect_gt(used, PACK_RAW_BYTES_MAX / 2);
    int64_t next = 0;
    for (size_t i = 0; i < pack.count; i++) {
        cr_expect_eq(pack.chunks[i].log_offset, next);
        next += pack.chunks[i].gap_bytes ? pack.chunks[i].gap_bytes : (int64_t)pack.chunks[i].bytes.len;
        cr_expect_leq(pack.chunks[i].segments.len, PACK_SEGMENTS_MAX * PACK_SEGMENT_BYTES);
    }
    cr_expect_eq(next, pack.at.log_bytes);
}

Test(pack, no_chunk_lies_across_the_heads_end) {
    output("0123456789", 1, SPOOL_STDOUT);
    output("abcdefghij", 1, SPOOL_STDERR);
    begin(15);
    take(false);
    pack_finish(&pack);
    /* Head: 0 … 6; the tail's 8 bytes begin at 12: what lies between has not slid out as a whole. */
    cr_assert_eq(pack.count, 2);
    cr_expect_str_eq(buf_str(&pack.chunks[0].bytes), "0123456");
    cr_expect_eq(pack.chunks[1].log_offset, 7);
    cr_expect_str_eq(buf_str(&pack.chunks[1].bytes), "789abcdefghij");
}

Test(pack, what_has_slid_out_of_the_tail_is_not_stored) {
    flood(40, SPOOL_PAYLOAD_MAX);
    int64_t limit = 600000;
    begin(limit);
    take(false);
    pack_finish(&pack);
    cr_expect_eq(pack.at.log_bytes, 40 * (int64_t)SPOOL_PAYLOAD_MAX);
    int64_t tail = pack_tail_begin(limit, pack.at.log_bytes), stored = 0;
    cr_expect_eq(tail, pack.at.log_bytes - 300000);
    for (size_t i = 0; i < pack.count; i++) {
        int64_t end = pack.chunks[i].log_offset + (int64_t)pack.chunks[i].bytes.len;
        cr_expect(end <= pack_head_end(limit) || end > tail);
        stored += (int64_t)pack.chunks[i].bytes.len;
    }
    cr_expect_geq(stored, limit);
    cr_expect_leq(stored, limit + PACK_CHUNK_BYTES_MAX);
}

Test(pack, of_a_log_with_a_small_limit_a_window_is_stored_while_it_goes_on) {
    enum { RECORDS = 40, WINDOW = 6 * SPOOL_PAYLOAD_MAX };
    const int64_t all = RECORDS * (int64_t)SPOOL_PAYLOAD_MAX;
    flood(RECORDS, SPOOL_PAYLOAD_MAX);
    for (int known = 0; known < 2; known++) {
        begin_with_window(20, WINDOW);
        pack_source(&pack, PACK_MAIN, 1, known ? all : 0);
        take(false);
        pack_finish(&pack);
        cr_assert_eq(pack.at.log_bytes, all);
        cr_expect_eq(pack.chunks[0].log_offset, 0);
        cr_expect_eq(pack.chunks[0].bytes.len, 10);
        cr_assert_gt(pack.count, 2);
        cr_expect_leq(pack.chunks[1].log_offset, all - WINDOW);
        cr_expect_gt(pack.chunks[1].log_offset, all - WINDOW - PACK_CHUNK_BYTES_MAX);
        int64_t next = pack.chunks[1].log_offset;
        for (size_t i = 1; i < pack.count; i++) {
            cr_expect_eq(pack.chunks[i].log_offset, next);
            next += (int64_t)pack.chunks[i].bytes.len;
        }
        cr_expect_eq(next, all);
        pack_done(&pack);
    }
}

Test(pack, a_window_begins_behind_the_head_and_is_a_tail_at_least) {
    cr_expect_eq(pack_window_begin(20, 100, 30), 10);
    cr_expect_eq(pack_window_begin(20, 100, 110), 10);
    cr_expect_eq(pack_window_begin(20, 100, 111), 11);
    cr_expect_eq(pack_window_begin(20, 5, 30), pack_tail_begin(20, 30));
}

Test(pack, head_and_tail_meet_at_the_limit) {
    cr_expect_eq(pack_head_end(15), 7);
    cr_expect_eq(pack_tail_begin(15, 0), 7);
    cr_expect_eq(pack_tail_begin(15, 15), 7);
    cr_expect_eq(pack_tail_begin(15, 16), 8);
    cr_expect_eq(pack_tail_begin(15, 1000), 992);
    cr_expect_eq(pack_tail_begin(0, 10), 10);
}

Test(pack, segments_are_trimmed_from_the_front) {
    output("0123", 1000, SPOOL_STDOUT);
    output("4567", 2000, SPOOL_STDERR);
    output("89", 3000, SPOOL_STDOUT);
    begin(LIMIT);
    take(false);
    pack_finish(&pack);
    unsigned char *segments = (unsigned char *)pack.chunks[0].segments.data;
    size_t len = pack.chunks[0].segments.len;
    cr_expect_eq(pack_trim_segments(segments, len, 0), len);
    len = pack_trim_segments(segments, len, 6);
    cr_expect_eq(len, 2 * PACK_SEGMENT_BYTES);
    cr_expect_eq(segment_len(0, 0), 2);
    cr_expect_eq(segments[4], SPOOL_STDERR);
    cr_expect_eq(segment_len(0, 1), 2);
    len = pack_trim_segments(segments, len, 2);
    cr_expect_eq(len, PACK_SEGMENT_BYTES);
    cr_expect_eq(pack_trim_segments(segments, len, 5), 0);
}
