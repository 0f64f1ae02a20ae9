/* The scribe as its parent starts it, on a real PostgreSQL. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "orchestrator/scribe/feed.h"
#include "tests/integration/scribe_world.h"

Test(scribe, carries_a_job_from_its_first_step_to_its_end) {
    setup("life");
    start_scribe();
    run_sql("listen berth_log", NULL);
    struct job *job = new_job(LIMIT_BYTES);
    start(job);
    until_status(job, "running");
    EXPECT_ANSWER(
        job,
        "select pulled_at <= container_at and container_at <= a.started_at and j.started_at = a.started_at "
        "and abs(extract(epoch from deadline_at - a.started_at - interval '10 minutes')) < 60 and "
        "image_digest = 'sha256:abc' and "
        "a.finished_at is null and reason is null from berth.attempts a join (select id, started_at from "
        "berth.jobs) j on j.id = job_id where job_id = $1",
        "t");
    says(job, "hello ");
    until_shipped(job);
    PGnotify *n = PQnotifies(db->conn);
    cr_assert_not_null(n);
    cr_expect_str_eq(n->relname, "berth_log");
    cr_expect_str_eq(n->extra, job->attempt->job);
    PQfreemem(n);
    say(job, SPOOL_STDERR, "world\n", 6);
    end(job);
    until_status(job, "succeeded");
    until_gone(job->name);
    expect_log_exact(job);
    expect_sha(job);
    EXPECT_ANSWER(job, "select string_agg(status, ' ' order by id) from berth.events where job_id = $1",
                  "queued preparing running succeeded");
    EXPECT_ANSWER(
        job,
        "select concat_ws(' ', j.exit_code, j.signal, j.reason, a.status, a.log_complete, a.stored_bytes, "
        "a.log_bytes, a.usage->>'cpu_seconds', a.usage->>'memory_peak_bytes', a.finished_at = a.cleaned_at, "
        "j.finished_at = a.finished_at, log_sha_state is null) "
        "from berth.attempts a join berth.jobs j on j.id = job_id where j.id = $1",
        "0 succeeded t 12 12 1.5 4096 t t t");
    free_job(job);
    teardown();
}

Test(scribe, an_attempt_whose_container_never_started_ends_with_an_empty_log) {
    setup("never");
    struct job *job = new_job(LIMIT_BYTES);
    judge(job, STATUS_ERRORED, REASON_IMAGE_NOT_FOUND, -1);
    start_scribe();
    until_status(job, "errored");
    until_gone(job->name);
    EXPECT_ANSWER(
        job,
        "select concat_ws(' ', reason, message, exit_code is null, started_at is null) from berth.jobs "
        "where id = $1",
        "image_not_found because t t");
    EXPECT_ANSWER(job, "select log_complete from berth.attempts where job_id = $1", "t");
    free_job(job);
    teardown();
}

Test(scribe, without_inits_end_record_the_log_is_not_called_complete) {
    setup("noend");
    struct job *job = new_job(LIMIT_BYTES);
    start(job);
    says(job, "last words");
    judge(job, STATUS_ERRORED, REASON_ENGINE_RESTARTED, -1);
    start_scribe();
    until_status(job, "errored");
    expect_log_exact(job);
    expect_sha(job);
    EXPECT_ANSWER(job, "select log_complete from berth.attempts where job_id = $1", "f");
    free_job(job);
    teardown();
}

Test(scribe, a_cancel_is_seen_as_canceling_and_a_deadline_is_not) {
    setup("cancel");
    start_scribe();
    struct job *canceled = new_job(LIMIT_BYTES), *late = new_job(LIMIT_BYTES);
    start(canceled);
    start(late);
    until_status(canceled, "running");
    step(canceled, JOURNAL_STOPPING, json_pack("{s:s}", "cause", "requested"));
    until_status(canceled, "canceling");
    EXPECT_ANSWER(canceled, "select reason from berth.jobs where id = $1", "requested");
    step(late, JOURNAL_STOPPING, json_pack("{s:s}", "cause", "run_deadline"));
    judge(canceled, STATUS_CANCELED, REASON_REQUESTED, -1);
    judge(late, STATUS_TIMED_OUT, REASON_RUN_DEADLINE, -1);
    until_status(canceled, "canceled");
    until_status(late, "timed_out");
    EXPECT_ANSWER(late, "select string_agg(status, ' ' order by id) from berth.events where job_id = $1",
                  "queued preparing running timed_out");
    free_job(canceled);
    free_job(late);
    teardown();
}

Test(scribe, killed_at_any_moment_it_stores_every_byte_once) {
    setup("killed");
    struct job *job = new_job(LIMIT_BYTES), *other = new_job(LIMIT_BYTES);
    start(job);
    start(other);
    say_random(job, 24 * 1024 * 1024);
    say_random(other, 3 * 1024 * 1024);
    int64_t before = -1;
    for (int i = 0; i < 12; i++) {
        start_scribe();
        unsigned char dice;
        getrandom(&dice, 1, 0);
        poll(NULL, 0, 5 + dice % 120); /* any moment will do */
        kill_scribe();
        int64_t now = strtoll(ask(LOG_BYTES_SQL, job->attempt->job), NULL, 10);
        cr_expect_geq(now, before);
        before = now;
    }
    start_scribe();
    end(job);
    end(other);
    until_status(job, "succeeded");
    until_status(other, "succeeded");
    expect_log_exact(job);
    expect_sha(job);
    expect_log_exact(other);
    expect_sha(other);
    EXPECT_ANSWER(
        job, "select stored_bytes = log_bytes and log_complete from berth.attempts where job_id = $1", "t");
    free_job(job);
    free_job(other);
    teardown();
}

Test(scribe, two_at_once_do_not_store_anything_twice) {
    setup("two");
    struct job *job = new_job(LIMIT_BYTES);
    start(job);
    start_scribe();
    pid_t first = scribe;
    int first_fd = parent_fd;
    start_scribe();
    for (int i = 0; i < 40; i++)
        say_random(job, 256 * 1024);
    until_shipped(job);
    end(job);
    until_status(job, "succeeded");
    expect_log_exact(job);
    expect_sha(job);
    until_gone(job->name);
    EXPECT_ANSWER(job, "select cancel from berth.jobs where id = $1",
                  "0"); /* nor did the key have to refuse it */
    cr_expect_eq(reap(), 0);
    scribe = first;
    parent_fd = first_fd;
    free_job(job);
    teardown();
}

Test(scribe, a_database_that_goes_and_comes_costs_nothing) {
    struct pg *pg = pg_new();
    char own[PG_URL_MAX];
    setup_at(pg_make_database(pg, "berth", own));
    struct job *job = new_job(LIMIT_BYTES);
    start_scribe();
    start(job);
    until_status(job, "running");
    for (int i = 0; i < 3; i++) {
        say_random(job, 3 * 1024 * 1024);
        pg_stop(pg, i % 2 ? SIGINT : SIGQUIT);
        say_random(job, 1024 * 1024);
        pg_start(pg);
        cr_assert_eq(db_connect(db, &ctx, &err), 1, "%s", err.text);
        until_shipped(job);
    }
    pg_stop(pg, SIGQUIT);
    end(job);
    struct job *begun_without = NULL;
    pg_start(pg);
    cr_assert_eq(db_connect(db, &ctx, &err), 1, "%s", err.text);
    begun_without = new_job(LIMIT_BYTES);
    start(begun_without);
    end(begun_without);
    until_status(job, "succeeded");
    until_status(begun_without, "succeeded");
    expect_log_exact(job);
    expect_sha(job);
    free_job(job);
    free_job(begun_without);
    teardown();
    pg_free(pg);
}

Test(scribe, ends_with_its_parent_even_while_the_database_hangs) {
    struct pg *pg = pg_new();
    char own[PG_URL_MAX];
    setup_at(pg_make_database(pg, "berth", own));
    struct job *job = new_job(LIMIT_BYTES);
    start_scribe();
    start(job);
    until_status(job, "running");
    run_sql("begin", NULL);
    run_sql("lock table berth.attempts in access exclusive mode", NULL);
    says(job, "into the wall");
    /* Seen waiting for the lock: it is in the middle of a statement. */
    until_someone_waits_for_a_lock();
    int64_t begin = clock_boot_ms();
    cr_expect_eq(reap(), 0);
    cr_expect_lt(clock_boot_ms() - begin, DB_STATEMENT_TIMEOUT_MS / 2,
                 "it did not wait for the statement's end");
    run_sql("rollback", NULL);
    free_job(job);
    teardown();
    pg_free(pg);
}

Test(scribe, garbage_in_a_spool_harms_only_that_log_and_is_told) {
    setup("garbage");
    start_scribe();
    struct job *bad = new_job(LIMIT_BYTES), *good = new_job(LIMIT_BYTES);
    start(bad);
    start(good);
    says(bad, "before ");
    cr_assert_eq(fd_write_all(bad->spool_fd, "scribble", 8, &err), 0);
    says(bad, "after");
    unsigned char noise[5000];
    memset(noise, 0xB7, sizeof noise);
    cr_assert_eq(fd_write_all(bad->spool_fd, noise, sizeof noise, &err), 0);
    /* A header that promises more than will ever come swallows nothing for good. */
    unsigned char lie[SPOOL_HEADER_BYTES];
    spool_put_header(lie, &(struct spool_header){SPOOL_OUTPUT, SPOOL_STDOUT, SPOOL_PAYLOAD_MAX, 1});
    cr_assert_eq(fd_write_all(bad->spool_fd, lie, sizeof lie, &err), 0);
    says(bad, " the end");
    says(good, "untouched");
    end(bad);
    end(good);
    until_status(good, "succeeded");
    expect_log_exact(good);
    until_status(bad, "succeeded");
    AUTO_BUF struct buf got = BUF(LOG_MAX);
    int64_t holes, gaps;
    read_log(bad, &got, &holes, &gaps);
    cr_expect_eq(holes, 0);
    cr_expect_eq(gaps, 8 + (int64_t)sizeof noise + (int64_t)sizeof lie);
    AUTO_BUF struct buf text = BUF(LOG_MAX);
    for (size_t i = 0; i < got.len; i++)
        if (got.data[i] != '?')
            buf_add(&text, got.data + i, 1);
    cr_expect_str_eq(buf_str(&text), buf_str(&bad->log));
    expect_sha(bad);
    EXPECT_ANSWER(
        bad,
        "select concat_ws(' ', lost_bytes, log_complete, log_bytes - stored_bytes) from berth.attempts "
        "where job_id = $1",
        "5028 f 5028");
    free_job(bad);
    free_job(good);
    teardown();
}

static void lose(struct job *job, int64_t bytes, enum spool_stream stream) {
    struct spool_lost lost = {.bytes = bytes, .error = ENOSPC};
    put(job, SPOOL_LOST, stream, &lost, sizeof lost);
}

Test(scribe, what_init_could_not_write_is_told_as_a_gap) {
    setup("lost");
    start_scribe();
    struct job *job = new_job(LIMIT_BYTES);
    start(job);
    says(job, "before ");
    lose(job, 70, SPOOL_STDOUT);
    lose(job, 7, SPOOL_STDERR);
    says(job, "after");
    end(job);
    until_status(job, "succeeded");
    AUTO_BUF struct buf got = BUF(LOG_MAX);
    int64_t holes, gaps;
    read_log(job, &got, &holes, &gaps);
    cr_expect(holes == 0 && gaps == 77);
    cr_expect_eq(memcmp(got.data, "before ?", 8), 0);
    cr_expect_str_eq(buf_str(&got) + 7 + 77, "after");
    expect_sha(job);
    EXPECT_ANSWER(job,
                  "select concat_ws(' ', log_bytes, stored_bytes, lost_bytes, log_complete) from "
                  "berth.attempts where job_id = $1",
                  "89 12 77 f");
    free_job(job);
    teardown();
}

Test(scribe, more_is_lost_than_a_log_may_hold) {
    setup("lost_much");
    start_scribe();
    struct job *job = new_job(1000);
    start(job);
    say_random(job, 600);
    lose(job, INT64_C(5000000000), SPOOL_STDOUT); /* the tail begins within */
    says(job, "after");
    end(job);
    until_status(job, "succeeded");
    EXPECT_ANSWER(job,
                  "select concat_ws(' ', log_bytes, stored_bytes, lost_bytes) from berth.attempts where "
                  "job_id = $1",
                  "5000000605 505 5000000000");
    EXPECT_ANSWER(
        job,
        "select concat_ws(' ', log_offset, gap_bytes, gap_cause) from berth.log_chunks where bytes is null "
        "and attempt_id = (select id from berth.attempts where job_id = $1)",
        "5000000105 495 lost");
    free_job(job);
    teardown();
}

static void check_limit(const char *name, size_t total, int64_t limit, bool in_steps) {
    setup(name);
    struct job *job = new_job(limit);
    start(job);
    if (in_steps)
        start_scribe();
    for (size_t left = total; left > 0;) {
        size_t part = in_steps && left > total / 20 ? total / 20 : left;
        say_random(job, part);
        left -= part;
        if (in_steps)
            until_shipped(job);
    }
    if (!in_steps)
        start_scribe();
    end(job);
    until_status(job, "succeeded");
    AUTO_BUF struct buf got = BUF(LOG_MAX);
    int64_t holes, gaps, head = limit / 2;
    read_log(job, &got, &holes, &gaps);
    cr_expect_eq(gaps, 0);
    cr_expect_eq(holes, (int64_t)total - limit);
    cr_assert_eq(got.len, total);
    cr_expect_eq(memcmp(got.data, job->log.data, (size_t)head), 0, "head");
    size_t tail = (size_t)(limit - head);
    cr_expect_eq(memcmp(got.data + total - tail, job->log.data + total - tail, tail), 0, "tail");
    cr_expect_eq(memcmp(got.data + head, "###", holes < 3 ? (size_t)holes : 3), 0);
    expect_sha(job);
    char want[24];
    EXPECT_ANSWER(job, "select stored_bytes from berth.attempts where job_id = $1", db_int_text(want, limit));
    EXPECT_ANSWER(job, "select log_complete from berth.attempts where job_id = $1", "t");
    free_job(job);
    teardown();
}

Test(scribe, the_limit_keeps_head_and_tail_exactly_when_read_at_once) {
    check_limit("limit", 12 * 1024 * 1024, 1000001, false);
}

Test(scribe, the_limit_keeps_head_and_tail_exactly_as_the_log_grows) {
    check_limit("limitgrow", 8 * 1024 * 1024, 3000001, true);
}

Test(scribe, one_byte_over_the_limit_is_one_byte_less) {
    check_limit("limitone", 300000, 299999, false);
}

Test(scribe, the_last_of_a_log_with_a_small_limit_is_there_as_long_as_it_goes_on) {
    enum { TOTAL = 4 * FEED_WINDOW_BYTES, LIMIT = 1000 };
    setup("window");
    struct job *job = new_job(LIMIT);
    start(job);
    start_scribe();
    for (int i = 0; i < 8; i++) {
        say_random(job, TOTAL / 8);
        until_shipped(job);
    }
    AUTO_BUF struct buf got = BUF(LOG_MAX);
    int64_t holes, gaps;
    read_log(job, &got, &holes, &gaps);
    cr_assert_eq(got.len, TOTAL);
    cr_expect_gt(holes, 0);
    cr_expect_leq(holes, TOTAL - LIMIT / 2 - FEED_WINDOW_BYTES);
    size_t before = TOTAL - FEED_WINDOW_BYTES;
    cr_expect_eq(memcmp(got.data + before, job->log.data + before, FEED_WINDOW_BYTES), 0);
    end(job);
    until_status(job, "succeeded");
    buf_clear(&got);
    read_log(job, &got, &holes, &gaps);
    cr_expect_eq(holes, TOTAL - LIMIT);
    free_job(job);
    teardown();
}

Test(scribe, what_was_taken_over_is_given_back_to_the_disk) {
    setup("punch");
    struct job *job = new_job(LIMIT_BYTES);
    start(job);
    start_scribe();
    say_random(job, 6 * 1024 * 1024);
    until_shipped(job);
    struct stat st;
    int64_t limit = clock_boot_ms() + WAIT_MS;
    do {
        cr_assert_eq(fstat(job->spool_fd, &st), 0);
        cr_assert_lt(clock_boot_ms(), limit);
    } while (st.st_blocks * 512 > 3 * 1024 * 1024);
    cr_expect_gt(st.st_size, 6 * 1024 * 1024);
    end(job);
    until_status(job, "succeeded");
    expect_log_exact(job);
    free_job(job);
    teardown();
}

Test(scribe, directories_that_have_ended_or_belong_to_others_go_and_strange_ones_stay) {
    setup("gone");
    struct job *finished = new_job(LIMIT_BYTES), *fenced = new_job(LIMIT_BYTES),
               *locked = new_job(LIMIT_BYTES);
    run_sql("update berth.attempts set finished_at = now() where job_id = $1", finished->attempt->job);
    run_sql("update berth.attempts set token = token + 1000 where job_id = $1", fenced->attempt->job);
    run_sql("update berth.attempts set token = token + 1000 where job_id = $1", locked->attempt->job);
    start(fenced);
    says(fenced, "not for the database");
    int lock = -1;
    cr_assert_eq(attempt_lock(attempts_fd, locked->name, &lock, &err), 0, "%s", err.text);
    cr_assert_eq(mkdirat(attempts_fd, ".probe", 0700), 0);
    cr_assert_eq(mkdirat(attempts_fd, ".removed-x", 0700), 0);
    cr_assert_eq(mkdirat(attempts_fd, "hm", 0700), 0);
    start_scribe();
    until_gone(finished->name);
    until_gone(fenced->name);
    cr_expect_eq(faccessat(attempts_fd, locked->name, F_OK, 0), 0, "a runner works on it");
    close(lock);
    until_gone(locked->name);
    cr_expect_eq(faccessat(attempts_fd, ".probe", F_OK, 0), 0);
    cr_expect_eq(faccessat(attempts_fd, "hm", F_OK, 0), 0);
    cr_expect_neq(faccessat(attempts_fd, ".removed-x", F_OK, 0), 0);
    EXPECT_ANSWER(fenced, LOG_BYTES_SQL, "0");
    EXPECT_ANSWER(fenced, STATUS_SQL, "preparing");
    free_job(finished);
    free_job(fenced);
    free_job(locked);
    teardown();
}

Test(scribe, an_attempt_that_was_fenced_stores_nothing_more) {
    setup("fenced");
    start_scribe();
    struct job *job = new_job(LIMIT_BYTES);
    start(job);
    says(job, "mine");
    until_shipped(job);
    until_status(job, "running");
    run_sql("update berth.attempts set token = token + 1000 where job_id = $1", job->attempt->job);
    says(job, "not mine any more");
    until_gone(job->name);
    EXPECT_ANSWER(job, LOG_BYTES_SQL, "4");
    EXPECT_ANSWER(job, STATUS_SQL, "running");
    free_job(job);
    teardown();
}

Test(scribe, many_jobs_at_once_while_one_floods) {
    setup("many");
    start_scribe();
    enum { JOBS = 30 };
    struct job *jobs[JOBS], *flood = new_job(LIMIT_BYTES);
    start(flood);
    say_random(flood, 20 * 1024 * 1024);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = new_job(LIMIT_BYTES);
        start(jobs[i]);
    }
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < JOBS; i++)
            says(jobs[i], "a line of one among many\n");
    for (int i = 0; i < JOBS; i++)
        end(jobs[i]);
    end(flood);
    for (int i = 0; i < JOBS; i++) {
        until_status(jobs[i], "succeeded");
        expect_log_exact(jobs[i]);
        expect_sha(jobs[i]);
        free_job(jobs[i]);
    }
    until_status(flood, "succeeded");
    expect_log_exact(flood);
    free_job(flood);
    teardown();
}
