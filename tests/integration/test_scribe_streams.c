/* Several spools of one attempt, and what follows an attempt that is to be repeated. */
#include <poll.h>
#include <sodium.h>
#include <string.h>
#include <sys/random.h>

#include "tests/integration/scribe_world.h"

#define WITH_SERVICES                                                                                        \
    "{\"image\": \"x\", \"services\": [{\"name\": \"db\", \"image\": \"y\"}, {\"name\": \"cache\", "         \
    "\"image\": \"z\"}]}"

enum { SOURCES = 4 };
static const char *const files[SOURCES] = {ATTEMPT_SPOOL, ATTEMPT_SYSTEM, ATTEMPT_SPOOL ".db",
                                           ATTEMPT_SPOOL ".cache"};
static const int stream_of[SOURCES] = {STREAM_STDOUT, STREAM_SYSTEM, STREAM_SERVICE, STREAM_SERVICE + 1};

static struct buf said[SOURCES];
static int fds[SOURCES];

static struct job *begin_with_services(void) {
    struct job *job = new_job_of(WITH_SERVICES, LIMIT_BYTES);
    start(job);
    fds[0] = job->spool_fd;
    for (int i = 0; i < SOURCES; i++) {
        said[i] = BUF(LOG_MAX);
        if (i > 0)
            fds[i] = make_spool(job, files[i]);
    }
    return job;
}

static void say_in(struct job *job, int source, const void *bytes, size_t len) {
    put_in(job, fds[source], SPOOL_OUTPUT, source == 1 ? SPOOL_SYSTEM : SPOOL_STDOUT, bytes, len);
    cr_assert_eq(buf_add(&said[source], bytes, len), 0);
}

static void end_sources(struct job *job) {
    for (int i = 2; i < SOURCES; i++) {
        struct spool_end last = {.output_bytes = (int64_t)said[i].len};
        put_in(job, fds[i], SPOOL_END, 0, &last, sizeof last);
    }
    struct spool_end last = {.output_bytes = (int64_t)said[0].len};
    put(job, SPOOL_END, 0, &last, sizeof last);
    judge(job, STATUS_SUCCEEDED, REASON_NONE, 0);
}

/* Every stream by itself is what was said in it; the hash is that of all in the order in which it lies there.
 */
static void expect_streams_exact(const struct job *job) {
    AUTO_RESULT PGresult *r = NULL;
    struct buf got[SOURCES];
    crypto_hash_sha256_state hash;
    crypto_hash_sha256_init(&hash);
    for (int i = 0; i < SOURCES; i++)
        got[i] = BUF(LOG_MAX);
    cr_assert_eq(
        DB_EXEC(db, &ctx,
                "select bytes, segments from berth.log_chunks where attempt_id = $1 order by log_offset", &r,
                &err, DB_INT(job->attempt->id)),
        0, "%s", err.text);
    for (int row = 0; row < PQntuples(r); row++) {
        AUTO_FREE unsigned char *bytes = NULL, *segments = NULL;
        size_t len, segments_len, at = 0;
        cr_assert_eq(db_get_bytes(r, row, 0, &bytes, &len, &err), 0);
        cr_assert_eq(db_get_bytes(r, row, 1, &segments, &segments_len, &err), 0);
        crypto_hash_sha256_update(&hash, bytes, len);
        for (size_t s = 0; s < segments_len; s += 16) {
            uint32_t n;
            memcpy(&n, segments + s, sizeof n);
            for (int i = 0; i < SOURCES; i++)
                if (segments[s + 4] == stream_of[i])
                    cr_assert_eq(buf_add(&got[i], bytes + at, n), 0);
            at += n;
        }
    }
    unsigned char sum[32];
    char hex[65];
    for (int i = 0; i < SOURCES; i++) {
        cr_assert_eq(got[i].len, said[i].len, "%s", files[i]);
        cr_expect(got[i].len == 0 || memcmp(got[i].data, said[i].data, got[i].len) == 0, "%s", files[i]);
        buf_done(&got[i]);
    }
    crypto_hash_sha256_final(&hash, sum);
    EXPECT_ANSWER(job, "select encode(log_sha256, 'hex') from berth.attempts where job_id = $1",
                  sodium_bin2hex(hex, sizeof hex, sum, sizeof sum));
}

static void free_sources(struct job *job) {
    for (int i = 0; i < SOURCES; i++) {
        buf_done(&said[i]);
        if (i > 0)
            close(fds[i]);
    }
    free_job(job);
}

Test(scribe_streams, all_spools_come_into_one_log) {
    setup("streams");
    start_scribe();
    struct job *job = begin_with_services();
    say_in(job, 1, "pulling x\n", 10);
    say_in(job, 2, "ready\n", 6);
    until("select log_bytes from berth.attempts where job_id = $1", job->attempt->job, "16");
    EXPECT_ANSWER(job, "select services from berth.attempts where job_id = $1", "{db,cache}");
    EXPECT_ANSWER(job, "select source_bytes from berth.attempts where job_id = $1", "{0,10,6}");
    say_in(job, 0, "out\n", 4);
    say_in(job, 3, "warm\n", 5);
    end_sources(job);
    until_status(job, "succeeded");
    until_gone(job->name);
    expect_streams_exact(job);
    EXPECT_ANSWER(
        job,
        "select concat_ws(' ', log_complete, log_bytes, stored_bytes) from berth.attempts where job_id = $1",
        "t 25 25");
    free_sources(job);
    teardown();
}

Test(scribe_streams, a_service_whose_last_words_are_missing_makes_the_log_incomplete) {
    setup("incomplete");
    struct job *job = begin_with_services();
    say_in(job, 2, "ready\n", 6);
    said[2].len++; /* its init says one more than is there */
    end_sources(job);
    start_scribe();
    until_status(job, "succeeded");
    EXPECT_ANSWER(job, "select log_complete from berth.attempts where job_id = $1", "f");
    free_sources(job);
    teardown();
}

Test(scribe_streams, killed_at_any_moment_every_stream_is_stored_once) {
    setup("streams_killed");
    struct job *job = begin_with_services();
    static unsigned char noise[SPOOL_PAYLOAD_MAX];
    for (size_t at = 0; at < sizeof noise; at += 256)
        cr_assert_eq(getrandom(noise + at, 256, 0), 256);
    for (int i = 0; i < 900; i++)
        say_in(job,
               i % 7 == 0   ? 1
               : i % 3 == 0 ? 2
               : i % 5 == 0 ? 3
                            : 0,
               noise + i, (size_t)(i * 73) % 60000 + 1);
    for (int i = 0; i < 8; i++) {
        start_scribe();
        unsigned char dice;
        cr_assert_eq(getrandom(&dice, 1, 0), 1);
        poll(NULL, 0, 5 + dice); /* any moment will do */
        kill_scribe();
    }
    start_scribe();
    end_sources(job);
    until_status(job, "succeeded");
    expect_streams_exact(job);
    EXPECT_ANSWER(
        job, "select stored_bytes = log_bytes and log_complete from berth.attempts where job_id = $1", "t");
    free_sources(job);
    teardown();
}

Test(scribe_streams, a_service_that_floods_does_not_hold_up_the_job) {
    setup("service_floods");
    struct job *job = begin_with_services();
    static unsigned char noise[SPOOL_PAYLOAD_MAX];
    for (int i = 0; i < 600; i++)
        say_in(job, 2, noise, sizeof noise);
    say_in(job, 0, "out\n", 4);
    say_in(job, 1, "told\n", 5);
    start_scribe();
    until("select source_bytes[1:2] from berth.attempts where job_id = $1", job->attempt->job, "{4,5}");
    EXPECT_ANSWER(job, "select source_bytes[3] < 600 * 65536 from berth.attempts where job_id = $1", "t");
    end_sources(job);
    until_status(job, "succeeded");
    expect_streams_exact(job);
    free_sources(job);
    teardown();
}

/* --- retries --- */

#define AGAIN                                                                                                \
    "{\"image\": \"x\", \"retry\": {\"max\": 2, \"delay\": \"100s\", \"max_delay\": \"100s\"}, "             \
    "\"deadlines\": {\"queue\": \"50s\"}}"

static void fail(struct job *job) {
    start(job);
    says(job, "oh\n");
    struct spool_end last = {.output_bytes = 3, .wait_status = 7 << 8};
    put(job, SPOOL_END, 0, &last, sizeof last);
    judge(job, STATUS_FAILED, REASON_EXIT_CODE, 7);
}

Test(scribe_streams, an_attempt_that_is_to_be_repeated_ends_and_its_job_waits) {
    setup("again");
    start_scribe();
    struct job *job = new_job_of(AGAIN, LIMIT_BYTES);
    fail(job);
    until_status(job, "retrying");
    until_gone(job->name);
    EXPECT_ANSWER(
        job,
        "select concat_ws(' ', status, reason, message, exit_code, log_complete, finished_at is not null, "
        "log_sha256 is not null) from berth.attempts where job_id = $1",
        "failed exit_code because 7 t t t");
    EXPECT_ANSWER(job,
                  "select concat_ws(' ', reason, exit_code is null, finished_at is null, started_at is not "
                  "null, attempt, "
                  "retry_at between now() + interval '80 s' and now() + interval '111 s', "
                  "queue_deadline_at - retry_at) from berth.jobs where id = $1",
                  "exit_code t t t 1 t 00:00:50");
    EXPECT_ANSWER(
        job,
        "select message = 'Attempt 1 of 3 ended as failed (exit_code): because; the next one begins at ' || "
        "to_char(retry_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z.\"') from berth.jobs where id = "
        "$1",
        "t");
    free_job(job);
    teardown();
}

Test(scribe_streams, a_job_that_is_to_be_canceled_is_not_repeated) {
    setup("not_again");
    struct job *asked = new_job_of(AGAIN, LIMIT_BYTES),
               *other = new_job_of("{\"image\": \"x\"}", LIMIT_BYTES);
    run_sql("update berth.jobs set cancel = 1 where id = $1", asked->attempt->job);
    fail(asked);
    fail(other);
    start_scribe();
    until_status(asked, "canceled");
    until_status(other, "failed");
    EXPECT_ANSWER(
        asked,
        "select concat_ws(' ', reason, exit_code, message, retry_at is null, finished_at is not "
        "null) from berth.jobs where id = $1",
        "requested 7 The job was canceled, and no other attempt follows. This one had ended by itself: "
        "because t t");
    free_job(asked);
    free_job(other);
    teardown();
}

/* The cancel holds the job's row while the scribe wants to let it wait for its next attempt. */
Test(scribe_streams, a_cancel_that_comes_at_the_same_moment_wins) {
    setup("cancel_wins");
    struct job *job = new_job_of(AGAIN, LIMIT_BYTES);
    start_scribe();
    start(job);
    until_status(job, "running");
    run_sql("begin", NULL);
    run_sql("update berth.jobs set cancel = 1 where id = $1", job->attempt->job);
    judge(job, STATUS_FAILED, REASON_EXIT_CODE, 7);
    until_someone_waits_for_a_lock();
    run_sql("commit", NULL);
    until_status(job, "canceled");
    free_job(job);
    teardown();
}
