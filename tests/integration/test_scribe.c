/* The scribe as its parent starts it, on a real PostgreSQL; runner and init are played by the tests. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "orchestrator/db/migrate.h"
#include "orchestrator/scribe/scribe.h"
#include "proto/attempt.h"
#include "proto/child.h"
#include "proto/control.h"
#include "proto/journal.h"
#include "proto/spool.h"
#include "tests/support/pg.h"

enum { WAIT_MS = 60000, LOOK_MS = 10, LOG_MAX = 64 * 1024 * 1024, LIMIT_BYTES = 48 * 1024 * 1024 };

static struct err err;
static struct ctx ctx;
static struct db *db;
static char state_dir[64], url[PG_URL_MAX];
static int attempts_fd = -1, parent_fd = -1;
static pid_t scribe;

/* --- the scribe --- */

static void start_scribe(void) {
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    scribe = fork();
    if (scribe == 0) {
        dup2(pair[1], CHILD_FD);
        for (int fd = CHILD_FD + 1; fd < 64; fd++)
            close(fd);
        signal(SIGPIPE, SIG_IGN);
        _exit(scribe_main());
    }
    close(pair[1]);
    parent_fd = pair[0];
    struct control config = {.type = CONTROL_CONFIG,
                             .settings = json_pack("{s:s, s:s, s:s}", "state_dir", state_dir, "database_url",
                                                   url, "log_level", "error"),
                             .instance = mem_strdup("test"),
                             .cluster = mem_strdup("")};
    cr_assert_eq(control_send(parent_fd, &config, &err), 0, "%s", err.text);
    control_done(&config);
    struct pollfd p = {.fd = parent_fd, .events = POLLIN};
    struct control ready = {0};
    cr_assert_eq(poll(&p, 1, WAIT_MS), 1);
    cr_assert_eq(control_recv(parent_fd, &ready, &err), 1, "%s", err.text);
    cr_assert_eq(ready.type, CONTROL_READY);
}

static int reap(void) {
    int status = -1;
    close(parent_fd);
    waitpid(scribe, &status, 0);
    parent_fd = -1;
    scribe = 0;
    return status;
}

static void kill_scribe(void) {
    kill(scribe, SIGKILL);
    reap();
}

static void setup_at(const char *database_url) {
    snprintf(url, sizeof url, "%s", database_url);
    snprintf(state_dir, sizeof state_dir, "/tmp/berth-scribe-XXXXXX");
    cr_assert_not_null(mkdtemp(state_dir));
    AUTO_FREE char *attempts = mem_printf("%s/attempts", state_dir);
    cr_assert_eq(mkdir(attempts, 0700), 0);
    attempts_fd = open(attempts, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ctx = ctx_root(NULL);
    ctx_deadline_in(&ctx, 4 * WAIT_MS);
    db = db_new(url, "test");
    cr_assert_eq(db_connect(db, &ctx, &err), 1, "%s", err.text);
    cr_assert_geq(migrate_run(db, &ctx, &err), 0, "%s", err.text);
}

static void setup(const char *name) {
    char fresh[PG_URL_MAX];
    setup_at(pg_database(name, fresh));
}

static void teardown(void) {
    if (scribe)
        cr_expect_eq(reap(), 0, "the scribe ends with its parent");
    db_free(db);
    close(attempts_fd);
    cr_expect_eq(dir_remove_tree(AT_FDCWD, state_dir, &err), 0, "%s", err.text);
}

/* --- one job, its runner and its init --- */

struct job {
    struct attempt *attempt;
    char name[ATTEMPT_NAME_MAX];
    int dir_fd, spool_fd;
    struct journal journal;
    struct buf log; /* what was written as output */
    uint64_t time_us;
};

static void run_sql(const char *sql, const char *id) {
    int r =
        id ? DB_EXEC(db, &ctx, sql, NULL, &err, DB_TEXT(id)) : db_exec(db, &ctx, sql, NULL, 0, NULL, &err);
    cr_assert_eq(r, 0, "%s: %s", sql, err.text);
}

static const char *ask(const char *sql, const char *id) {
    static char answer[1024];
    AUTO_RESULT PGresult *r = NULL;
    cr_assert_eq(DB_EXEC(db, &ctx, sql, &r, &err, DB_TEXT(id)), 0, "%s: %s", sql, err.text);
    snprintf(answer, sizeof answer, "%s", PQntuples(r) ? db_get_text(r, 0, 0) : "(no row)");
    return answer;
}

static void until(const char *sql, const char *id, const char *want) {
    int64_t end = clock_boot_ms() + WAIT_MS;
    while (strcmp(ask(sql, id), want) != 0) {
        cr_assert_lt(clock_boot_ms(), end, "%s: %s, not %s", sql, ask(sql, id), want);
        poll(NULL, 0, LOOK_MS);
    }
}

static void write_spec(struct job *job, int64_t limit) {
    struct attempt *a = job->attempt = mem_alloc(sizeof *a);
    struct spec_policy policy = spec_policy_builtin();
    AUTO_FAULTS struct spec_faults faults = {.count = 0};
    const char *spec = "{\"image\": \"x\", \"deadlines\": {\"run\": \"10m\"}}";
    cr_assert_eq(spec_parse_text(spec, strlen(spec), &policy, &a->spec, &faults), 0);
    id_new_v7(a->job);
    id_new_v7(a->cluster);
    a->instance = mem_strdup("test");
    a->tenant = mem_strdup("default");
    a->number = 1;
    a->claimed_us = clock_real_us();
    run_sql("insert into berth.jobs (id, spec, status, attempt) values ($1, '{}', 'preparing', 1)", a->job);
    AUTO_RESULT PGresult *r = NULL;
    cr_assert_eq(DB_EXEC(db, &ctx,
                         "insert into berth.attempts (job_id, number, token, orchestrator, log_limit) values "
                         "($1, 1, nextval('berth.tokens'), 'test', $2) returning id, token",
                         &r, &err, DB_TEXT(a->job), DB_INT(limit)),
                 0, "%s", err.text);
    a->id = db_get_int(r, 0, 0);
    a->token = db_get_int(r, 0, 1);
}

static struct job *new_job(int64_t limit) {
    struct job *job = mem_alloc(sizeof *job);
    job->log = BUF(LOG_MAX);
    job->time_us = (uint64_t)clock_real_us();
    write_spec(job, limit);
    cr_assert_eq(attempt_create(attempts_fd, job->attempt, &err), 0, "%s", err.text);
    attempt_dir_name(job->attempt->job, 1, job->name);
    job->dir_fd = openat(attempts_fd, job->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    job->spool_fd = -1;
    return job;
}

static void make_spool(struct job *job) {
    job->spool_fd = openat(job->dir_fd, ATTEMPT_SPOOL, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    cr_assert_geq(job->spool_fd, 0);
}

static void free_job(struct job *job) {
    attempt_free(job->attempt);
    close(job->dir_fd);
    if (job->spool_fd >= 0)
        close(job->spool_fd);
    buf_done(&job->log);
    free(job);
}

static void put(struct job *job, enum spool_type type, enum spool_stream stream, const void *bytes,
                size_t len) {
    unsigned char record[SPOOL_HEADER_BYTES + SPOOL_PAYLOAD_MAX];
    job->time_us += 300;
    spool_put_header(record, &(struct spool_header){type, stream, (uint32_t)len, job->time_us});
    memcpy(record + SPOOL_HEADER_BYTES, bytes, len);
    cr_assert_eq(fd_write_all(job->spool_fd, record, SPOOL_HEADER_BYTES + len, &err), 0);
}

static void say(struct job *job, enum spool_stream stream, const void *bytes, size_t len) {
    put(job, SPOOL_OUTPUT, stream, bytes, len);
    cr_assert_eq(buf_add(&job->log, bytes, len), 0);
}

static void says(struct job *job, const char *text) {
    say(job, SPOOL_STDOUT, text, strlen(text));
}

static void say_random(struct job *job, size_t total) {
    unsigned char bytes[SPOOL_PAYLOAD_MAX];
    while (total > 0) {
        unsigned short wish;
        getrandom(&wish, sizeof wish, 0);
        size_t len = wish + 1U < total ? wish + 1U : total;
        for (size_t at = 0; at < len; at += 256) /* getrandom gives at most 256 bytes for sure */
            getrandom(bytes + at, len - at < 256 ? len - at : 256, 0);
        say(job, wish % 2 ? SPOOL_STDOUT : SPOOL_STDERR, bytes, len);
        total -= len;
    }
}

static void step(struct job *job, enum journal_step what, json_t *fields) {
    cr_assert_eq(journal_append(job->dir_fd, &job->journal, what, fields, &err), 0, "%s", err.text);
}

static void start(struct job *job) {
    step(job, JOURNAL_PULLED, json_pack("{s:s}", "digest", "sha256:abc"));
    step(job, JOURNAL_CREATED, json_pack("{s:s}", "container", "c1"));
    make_spool(job);
    step(job, JOURNAL_STARTED, json_pack("{s:s}", "container", "c1"));
    put(job, SPOOL_STARTED, 0, &(struct spool_started){.pid = 7}, sizeof(struct spool_started));
}

static void judge(struct job *job, enum status status, enum reason reason, int exit_code) {
    struct verdict verdict = {
        .status = status, .reason = reason, .exit_code = exit_code, .usage = {1500000, 4096, 3, 0, -1}};
    snprintf(verdict.message, sizeof verdict.message, "%s", reason ? "because" : "");
    step(job, JOURNAL_EXITED, NULL);
    step(job, JOURNAL_VERDICT, journal_verdict_fields(&verdict));
    step(job, JOURNAL_CLEANED, NULL);
}

static void end(struct job *job) {
    struct spool_end last = {.output_bytes = (int64_t)job->log.len};
    put(job, SPOOL_END, 0, &last, sizeof last);
    judge(job, STATUS_SUCCEEDED, REASON_NONE, 0);
}

#define STATUS_SQL "select status from berth.jobs where id = $1"
#define LOG_BYTES_SQL "select log_bytes from berth.attempts where job_id = $1"

static void until_status(const struct job *job, const char *want) {
    until(STATUS_SQL, job->attempt->job, want);
}

static void until_shipped(const struct job *job) {
    char want[24];
    until(LOG_BYTES_SQL, job->attempt->job, db_int_text(want, (int64_t)job->log.len));
}

static void until_gone(const char *name) {
    int64_t limit = clock_boot_ms() + WAIT_MS;
    while (faccessat(attempts_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        cr_assert_lt(clock_boot_ms(), limit, "%s is still there", name);
        poll(NULL, 0, LOOK_MS);
    }
}

static int64_t sum_segments(const unsigned char *segments, size_t len) {
    int64_t sum = 0;
    for (size_t at = 0; at < len; at += 16) {
        uint32_t n;
        memcpy(&n, segments + at, sizeof n);
        cr_expect_gt(n, 0);
        cr_expect(segments[at + 4] == SPOOL_STDOUT || segments[at + 4] == SPOOL_STDERR);
        sum += n;
    }
    return sum;
}

/* Reads all rows; holes and gaps are left as `hole` bytes of `fill`. */
static void read_log(const struct job *job, struct buf *out, int64_t *ret_holes, int64_t *ret_gaps) {
    AUTO_RESULT PGresult *r = NULL;
    cr_assert_eq(
        DB_EXEC(db, &ctx,
                "select log_offset, bytes, segments, gap_bytes, gap_cause from berth.log_chunks where "
                "attempt_id = $1 order by log_offset",
                &r, &err, DB_INT(job->attempt->id)),
        0, "%s", err.text);
    *ret_holes = *ret_gaps = 0;
    for (int i = 0; i < PQntuples(r); i++) {
        int64_t offset = db_get_int(r, i, 0);
        cr_assert_geq(offset, (int64_t)out->len, "row %d lies upon the one before", i);
        for (; (int64_t)out->len < offset; ++*ret_holes)
            buf_add(out, "#", 1);
        if (db_is_null(r, i, 1)) {
            cr_expect_str_eq(db_get_text(r, i, 4), "lost");
            int64_t gap = db_get_int(r, i, 3);
            *ret_gaps += gap;
            while (gap-- > 0)
                buf_add(out, "?", 1);
            continue;
        }
        AUTO_FREE unsigned char *bytes = NULL, *segments = NULL;
        size_t len, segments_len;
        cr_assert_eq(db_get_bytes(r, i, 1, &bytes, &len, &err), 0);
        cr_assert_eq(db_get_bytes(r, i, 2, &segments, &segments_len, &err), 0);
        cr_expect_eq(sum_segments(segments, segments_len), (int64_t)len, "row %d", i);
        cr_assert_eq(buf_add(out, bytes, len), 0);
    }
}

static void expect_log_exact(const struct job *job) {
    AUTO_BUF struct buf got = BUF(LOG_MAX);
    int64_t holes, gaps;
    read_log(job, &got, &holes, &gaps);
    cr_expect_eq(holes + gaps, 0);
    cr_assert_eq(got.len, job->log.len);
    cr_expect(got.len == 0 || memcmp(got.data, job->log.data, got.len) == 0);
}

static void expect_sha(const struct job *job) {
    unsigned char hash[32];
    char hex[65];
    crypto_hash_sha256(hash, (const unsigned char *)buf_str(&job->log), job->log.len);
    cr_expect_str_eq(
        ask("select encode(log_sha256, 'hex') from berth.attempts where job_id = $1", job->attempt->job),
        sodium_bin2hex(hex, sizeof hex, hash, sizeof hash));
}

#define EXPECT_ANSWER(of, sql, want) cr_expect_str_eq(ask((sql), (of)->attempt->job), (want))

/* --- tests --- */

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
        "and deadline_at = a.started_at + interval '10 minutes' and image_digest = 'sha256:abc' and "
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
                  "preparing running succeeded");
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
                  "preparing running timed_out");
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
    until("select count(*) > 0 from pg_locks where not granted and $1 <> ''", "x", "t");
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

Test(scribe, one_that_the_database_refuses_is_given_up_and_the_others_go_on) {
    setup("refused");
    run_sql("alter table berth.log_chunks add constraint no_poison check (position('poison'::bytea in bytes) "
            "= 0)",
            NULL);
    struct job *jobs[9];
    for (int i = 0; i < 9; i++) {
        jobs[i] = new_job(LIMIT_BYTES);
        start(jobs[i]);
        says(jobs[i], i == 4 ? "this is poison" : "this is not");
    }
    start_scribe();
    for (int i = 0; i < 9; i++)
        if (i != 4)
            until_shipped(jobs[i]);
    until("select cancel from berth.jobs where id = $1", jobs[4]->attempt->job, "1");
    for (int i = 0; i < 9; i++)
        end(jobs[i]);
    for (int i = 0; i < 9; i++)
        until_status(jobs[i], i == 4 ? "errored" : "succeeded");
    EXPECT_ANSWER(jobs[4], "select reason || (message ~ 'no_poison') from berth.jobs where id = $1",
                  "internaltrue");
    EXPECT_ANSWER(jobs[4], "select log_complete from berth.attempts where job_id = $1", "f");
    for (int i = 0; i < 9; i++) {
        if (i != 4)
            expect_log_exact(jobs[i]);
        until_gone(jobs[i]->name);
        free_job(jobs[i]);
    }
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
