#include "tests/integration/scribe_world.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/id.h"
#include "base/mem.h"
#include "orchestrator/db/migrate.h"
#include "orchestrator/scribe/scribe.h"
#include "proto/child.h"
#include "proto/control.h"

struct err err;
struct ctx ctx;
struct db *db;
int attempts_fd = -1, parent_fd = -1;
pid_t scribe;
char cluster[ATTEMPT_ID_MAX];
static char state_dir[64], url[PG_URL_MAX];

/* --- the scribe --- */

void spawn_scribe(const char *program) {
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    scribe = fork();
    if (scribe == 0) {
        dup2(pair[1], CHILD_FD);
        for (int fd = CHILD_FD + 1; fd < 64; fd++)
            close(fd);
        signal(SIGPIPE, SIG_IGN);
        if (!program)
            _exit(scribe_main());
        execl(program, program, "scribe", NULL);
        _exit(98);
    }
    close(pair[1]);
    parent_fd = pair[0];
    struct control config = {.type = CONTROL_CONFIG,
                             .settings = json_pack("{s:s, s:s, s:s}", "state_dir", state_dir, "database_url",
                                                   url, "log_level", "error"),
                             .instance = mem_strdup("test"),
                             .cluster = mem_strdup(cluster)};
    cr_assert_eq(control_send(parent_fd, &config, &err), 0, "%s", err.text);
    control_done(&config);
}

void start_scribe(void) {
    spawn_scribe(NULL);
    struct pollfd p = {.fd = parent_fd, .events = POLLIN};
    struct control ready = {0};
    cr_assert_eq(poll(&p, 1, WAIT_MS), 1);
    cr_assert_eq(control_recv(parent_fd, &ready, &err), 1, "%s", err.text);
    cr_assert_eq(ready.type, CONTROL_READY);
}

int reap(void) {
    int status = -1;
    close(parent_fd);
    waitpid(scribe, &status, 0);
    parent_fd = -1;
    scribe = 0;
    return status;
}

void kill_scribe(void) {
    kill(scribe, SIGKILL);
    reap();
}

void setup_at(const char *database_url) {
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
    snprintf(cluster, sizeof cluster, "%.36s", ask(CLUSTER_SQL, "1"));
}

void setup(const char *name) {
    char fresh[PG_URL_MAX];
    setup_at(pg_database(name, fresh));
}

void teardown(void) {
    if (scribe)
        cr_expect_eq(reap(), 0, "the scribe ends with its parent");
    db_free(db);
    close(attempts_fd);
    cr_expect_eq(dir_remove_tree(AT_FDCWD, state_dir, &err), 0, "%s", err.text);
}

/* --- one job, its runner and its init --- */

void run_sql(const char *sql, const char *id) {
    int r =
        id ? DB_EXEC(db, &ctx, sql, NULL, &err, DB_TEXT(id)) : db_exec(db, &ctx, sql, NULL, 0, NULL, &err);
    cr_assert_eq(r, 0, "%s: %s", sql, err.text);
}

const char *ask(const char *sql, const char *id) {
    static char answer[1024];
    AUTO_RESULT PGresult *r = NULL;
    cr_assert_eq(DB_EXEC(db, &ctx, sql, &r, &err, DB_TEXT(id)), 0, "%s: %s", sql, err.text);
    snprintf(answer, sizeof answer, "%s", PQntuples(r) ? db_get_text(r, 0, 0) : "(no row)");
    return answer;
}

void until(const char *sql, const char *id, const char *want) {
    int64_t end = clock_boot_ms() + WAIT_MS;
    while (strcmp(ask(sql, id), want) != 0) {
        cr_assert_lt(clock_boot_ms(), end, "%s: %s, not %s", sql, ask(sql, id), want);
        poll(NULL, 0, LOOK_MS);
    }
}

static void write_spec(struct job *job, const char *spec, int64_t limit, int number) {
    struct attempt *a = job->attempt = mem_alloc(sizeof *a);
    struct spec_policy policy = spec_policy_builtin();
    AUTO_FAULTS struct spec_faults faults = {.count = 0};
    cr_assert_eq(spec_parse_text(spec, strlen(spec), &policy, &a->spec, &faults), 0);
    id_new_v7(a->job);
    snprintf(a->cluster, sizeof a->cluster, "%.36s", ask(CLUSTER_SQL, "1"));
    a->instance = mem_strdup("test");
    a->tenant = mem_strdup("default");
    a->number = number;
    a->claimed_us = clock_real_us();
    run_sql("insert into berth.jobs (id, spec, attempt) values ($1, '{}', 1)", a->job);
    run_sql("update berth.jobs set status = 'preparing' where id = $1", a->job);
    if (number == 2) {
        run_sql("update berth.jobs set attempt = 2 where id = $1", a->job);
        run_sql(
            "insert into berth.attempts (job_id, number, token, orchestrator, log_limit, finished_at, freed)"
            " values ($1, 1, nextval('berth.tokens'), 'test', 0, now(), true)",
            a->job);
    }
    AUTO_RESULT PGresult *r = NULL;
    cr_assert_eq(DB_EXEC(db, &ctx,
                         "insert into berth.attempts (job_id, number, token, orchestrator, log_limit) values "
                         "($1, $3, nextval('berth.tokens'), 'test', $2) returning id, token",
                         &r, &err, DB_TEXT(a->job), DB_INT(limit), DB_INT(number)),
                 0, "%s", err.text);
    a->id = db_get_int(r, 0, 0);
    a->token = db_get_int(r, 0, 1);
}

struct job *new_job(int64_t limit) {
    return new_job_of("{\"image\": \"x\", \"deadlines\": {\"run\": \"10m\"}}", limit);
}

struct job *new_job_of(const char *spec, int64_t limit) {
    return new_attempt_of(spec, limit, 1);
}

struct job *new_attempt_of(const char *spec, int64_t limit, int number) {
    struct job *job = mem_alloc(sizeof *job);
    job->log = BUF(LOG_MAX);
    job->time_us = (uint64_t)clock_real_us();
    write_spec(job, spec, limit, number);
    cr_assert_eq(attempt_create(attempts_fd, job->attempt, &err), 0, "%s", err.text);
    attempt_dir_name(job->attempt->job, number, job->name);
    job->dir_fd = openat(attempts_fd, job->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    job->spool_fd = -1;
    return job;
}

int make_spool(const struct job *job, const char *file) {
    int fd = openat(job->dir_fd, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    cr_assert_geq(fd, 0, "%s", file);
    return fd;
}

void free_job(struct job *job) {
    attempt_free(job->attempt);
    close(job->dir_fd);
    if (job->spool_fd >= 0)
        close(job->spool_fd);
    buf_done(&job->log);
    free(job);
}

void put(struct job *job, enum spool_type type, enum spool_stream stream, const void *bytes, size_t len) {
    put_in(job, job->spool_fd, type, stream, bytes, len);
}

void put_in(struct job *job, int fd, enum spool_type type, enum spool_stream stream, const void *bytes,
            size_t len) {
    unsigned char record[SPOOL_HEADER_BYTES + SPOOL_PAYLOAD_MAX];
    job->time_us += 300;
    spool_put_header(record, &(struct spool_header){type, stream, (uint32_t)len, job->time_us});
    memcpy(record + SPOOL_HEADER_BYTES, bytes, len);
    cr_assert_eq(fd_write_all(fd, record, SPOOL_HEADER_BYTES + len, &err), 0);
}

void say(struct job *job, enum spool_stream stream, const void *bytes, size_t len) {
    put(job, SPOOL_OUTPUT, stream, bytes, len);
    cr_assert_eq(buf_add(&job->log, bytes, len), 0);
}

void says(struct job *job, const char *text) {
    say(job, SPOOL_STDOUT, text, strlen(text));
}

void say_random(struct job *job, size_t total) {
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

void step(struct job *job, enum journal_step what, json_t *fields) {
    cr_assert_eq(journal_append(job->dir_fd, &job->journal, what, fields, &err), 0, "%s", err.text);
}

void start(struct job *job) {
    step(job, JOURNAL_PULLED, json_pack("{s:s}", "digest", "sha256:abc"));
    step(job, JOURNAL_CREATED, json_pack("{s:s}", "container", "c1"));
    job->spool_fd = make_spool(job, ATTEMPT_SPOOL);
    step(job, JOURNAL_STARTED, json_pack("{s:s}", "container", "c1"));
    put(job, SPOOL_STARTED, 0, &(struct spool_started){.pid = 7}, sizeof(struct spool_started));
}

void judge(struct job *job, enum status status, enum reason reason, int exit_code) {
    struct verdict verdict = {
        .status = status, .reason = reason, .exit_code = exit_code, .usage = {1500000, 4096, 3, 0, -1}};
    snprintf(verdict.message, sizeof verdict.message, "%s", reason ? "because" : "");
    step(job, JOURNAL_EXITED, NULL);
    step(job, JOURNAL_VERDICT, journal_verdict_fields(&verdict));
    step(job, JOURNAL_CLEANED, NULL);
}

void end(struct job *job) {
    struct spool_end last = {.output_bytes = (int64_t)job->log.len};
    put(job, SPOOL_END, 0, &last, sizeof last);
    judge(job, STATUS_SUCCEEDED, REASON_NONE, 0);
}

void until_status(const struct job *job, const char *want) {
    until(STATUS_SQL, job->attempt->job, want);
}

void until_shipped(const struct job *job) {
    char want[24];
    until(LOG_BYTES_SQL, job->attempt->job, db_int_text(want, (int64_t)job->log.len));
}

bool has_file(const struct job *job, const char *file) {
    AUTO_FREE char *path = mem_printf("%s/%s", job->name, file);
    return faccessat(attempts_fd, path, F_OK, 0) == 0;
}

void until_someone_waits_for_a_lock(void) {
    until(PG_WAITS_SQL " and $1 <> ''", "x", "t");
}

void until_gone(const char *name) {
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
        cr_expect(segments[at + 4] == STREAM_STDOUT || segments[at + 4] == STREAM_STDERR ||
                  segments[at + 4] == STREAM_SYSTEM || segments[at + 4] >= STREAM_SERVICE);
        sum += n;
    }
    return sum;
}

void read_log(const struct job *job, struct buf *out, int64_t *ret_holes, int64_t *ret_gaps) {
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

void expect_log_exact(const struct job *job) {
    AUTO_BUF struct buf got = BUF(LOG_MAX);
    int64_t holes, gaps;
    read_log(job, &got, &holes, &gaps);
    cr_expect_eq(holes + gaps, 0);
    cr_assert_eq(got.len, job->log.len);
    cr_expect(got.len == 0 || memcmp(got.data, job->log.data, got.len) == 0);
}

void expect_sha(const struct job *job) {
    unsigned char hash[32];
    char hex[65];
    crypto_hash_sha256(hash, (const unsigned char *)buf_str(&job->log), job->log.len);
    cr_expect_str_eq(
        ask("select encode(log_sha256, 'hex') from berth.attempts where job_id = $1", job->attempt->job),
        sodium_bin2hex(hex, sizeof hex, hash, sizeof hash));
}
