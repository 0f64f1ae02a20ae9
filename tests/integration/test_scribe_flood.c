/* Jobs that write more than anybody can store: what is kept is exact, and others do not wait. */
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "orchestrator/scribe/source.h"
#include "tests/integration/scribe_world.h"

enum { FLOOD_LIMIT = 8 * 1024 * 1024 + 1, MIB = 1024 * 1024 };

/* What lies at an offset of a flood: 8 bytes that nobody finds anywhere else. */
static void fill(unsigned char *bytes, int64_t offset, size_t len) {
    for (size_t i = 0; i < len; i++) {
        uint64_t word = (uint64_t)(offset + (int64_t)i) / 8 * UINT64_C(0x9E3779B97F4A7C15);
        bytes[i] = (unsigned char)(word >> (8 * ((uint64_t)(offset + (int64_t)i) % 8)));
    }
}

static int64_t flood(struct job *job, int64_t from, int64_t total, size_t record) {
    AUTO_FREE unsigned char *bytes = mem_alloc(record);
    while (from < total) {
        size_t len = total - from < (int64_t)record ? (size_t)(total - from) : record;
        fill(bytes, from, len);
        put(job, SPOOL_OUTPUT, SPOOL_STDOUT, bytes, len);
        from += (int64_t)len;
    }
    return from;
}

static void end_flood(struct job *job, int64_t total) {
    struct spool_end last = {.output_bytes = total};
    put(job, SPOOL_END, 0, &last, sizeof last);
    judge(job, STATUS_SUCCEEDED, REASON_NONE, 0);
}

/* Head and tail are there to the byte, and nothing else. */
static void expect_head_and_tail(const struct job *job, int64_t total) {
    AUTO_RESULT PGresult *r = NULL;
    AUTO_FREE unsigned char *want = mem_alloc(PACK_CHUNK_BYTES_MAX);
    int64_t at = 0, head = FLOOD_LIMIT / 2, tail = total - (FLOOD_LIMIT - head);
    cr_assert_eq(
        DB_EXEC(db, &ctx,
                "select log_offset, bytes from berth.log_chunks where attempt_id = $1 order by log_offset",
                &r, &err, DB_INT(job->attempt->id)),
        0, "%s", err.text);
    for (int row = 0; row < PQntuples(r); row++) {
        AUTO_FREE unsigned char *bytes = NULL;
        size_t len;
        at = at == head ? tail : at;
        cr_assert_eq(db_get_int(r, row, 0), at, "row %d", row);
        cr_assert_eq(db_get_bytes(r, row, 1, &bytes, &len, &err), 0);
        cr_assert_leq(len, PACK_CHUNK_BYTES_MAX);
        fill(want, at, len);
        cr_assert_eq(memcmp(bytes, want, len), 0, "row %d", row);
        at += (int64_t)len;
    }
    cr_expect_eq(at, total);
    char numbers[64];
    snprintf(numbers, sizeof numbers, "%lld %d 0 t", (long long)total, FLOOD_LIMIT);
    EXPECT_ANSWER(job,
                  "select concat_ws(' ', log_bytes, stored_bytes, lost_bytes, log_complete) from "
                  "berth.attempts where job_id = $1",
                  numbers);
}

Test(scribe_flood, more_than_can_be_read_is_passed_over_and_others_do_not_wait) {
    setup("flood");
    const int64_t total = SOURCE_BACKLOG_MAX + 100 * (int64_t)MIB;
    struct job *job = new_job(FLOOD_LIMIT), *other = new_job(LIMIT_BYTES);
    start(job);
    start(other);
    flood(job, 0, total, SPOOL_PAYLOAD_MAX);
    says(other, "a line of another job\n");
    start_scribe();
    until_shipped(other);
    EXPECT_ANSWER(job, "select log_bytes < 300000000 from berth.attempts where job_id = $1", "t");
    end_flood(job, total);
    until_status(job, "succeeded");
    until_gone(job->name);
    expect_head_and_tail(job, total);
    EXPECT_ANSWER(job, "select log_unhashed and log_sha256 is null from berth.attempts where job_id = $1",
                  "t");
    end(other);
    until_status(other, "succeeded");
    expect_log_exact(other);
    free_job(job);
    free_job(other);
    teardown();
}

static void killed_while_it_skips(const char *name, int64_t total, size_t record, const char *unhashed) {
    setup(name);
    struct job *job = new_job(FLOOD_LIMIT);
    start(job);
    int64_t at = flood(job, 0, total / 2, record);
    for (int i = 0; i < 8; i++) {
        start_scribe();
        poll(NULL, 0, 10 + 40 * i); /* any moment will do */
        at = flood(job, at, at + total / 20, record);
        kill_scribe();
    }
    at = flood(job, at, total, record);
    start_scribe();
    end_flood(job, at);
    until_status(job, "succeeded");
    expect_head_and_tail(job, at);
    EXPECT_ANSWER(job, "select log_sha256 is null from berth.attempts where job_id = $1", unhashed);
    free_job(job);
    teardown();
}

Test(scribe_flood, killed_in_the_middle_of_skipping_it_goes_on_exactly) {
    killed_while_it_skips("flood_killed", 60 * MIB, 30000, "f");
}

Test(scribe_flood, killed_in_the_middle_of_passing_over_it_goes_on_exactly) {
    killed_while_it_skips("flood_passed", 2 * (SOURCE_BACKLOG_MAX + 20 * (int64_t)MIB), SPOOL_PAYLOAD_MAX,
                          "t");
}

Test(scribe_flood, tiny_records_are_exact_too) {
    setup("flood_tiny");
    struct job *job = new_job(FLOOD_LIMIT);
    const int64_t total = 12 * MIB;
    start(job);
    start_scribe();
    flood(job, 0, total, 11);
    end_flood(job, total);
    until_status(job, "succeeded");
    expect_head_and_tail(job, total);
    free_job(job);
    teardown();
}
