/* Every call of the scribe's straight line fails once, wherever it is made: each byte and each end gets to
 * the database once, nothing crashes, leaks or stays behind. */
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "proto/child.h"
#include "tests/integration/scribe_world.h"
#include "tests/support/torture_rig.h"

enum {
    POINTS_EACH = 24,
    SHARES = 2,
    SCRIBES_MAX = 12,
    LONG_BYTES = 320 * 1024,
    LONG_LIMIT = 96 * 1024,
    WRONG_MAX = 4096,
    END_MAX_MS = 30 * 1000,
};

static char directory[80];

/* One point's two jobs: all of the first one's log is kept, most of the second one's slides out. */
struct pair {
    struct job *whole, *cut;
    int last; /* of the last scribe that ended; as torture_wait() */
    int scribes;
};

static void begin_share(const char *database) {
    setup(database);
    snprintf(directory, sizeof directory, "/tmp/berth-torture-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    torture_begin(directory, "berthd scribe");
}

static void end_share(void) {
    torture_end();
    cr_assert_eq(dir_remove_tree(AT_FDCWD, directory, &err), 0, "%s", err.text);
    teardown();
}

static bool is_bad(int status) {
    return status < 0 || status >= 256 || status == TORTURE_EXIT_SANITIZER || status == CHILD_EXIT_NEVER;
}

/* As its parent does: one that has ended is followed by another. False: it must not have ended so. */
static bool keep_alive(struct pair *p) {
    int status;
    if (waitpid(scribe, &status, WNOHANG) == 0)
        return true;
    close(parent_fd);
    p->last = WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
    if (is_bad(p->last) || p->scribes++ == SCRIBES_MAX) {
        parent_fd = -1;
        scribe = 0;
        return false;
    }
    spawn_scribe(BERTHD_PATH);
    return true;
}

static bool is_gone(const struct job *job) {
    return faccessat(attempts_fd, job->name, F_OK, 0) < 0;
}

static bool both_gone(const struct pair *p) {
    return is_gone(p->whole) && is_gone(p->cut);
}

static bool begun(const struct pair *p) {
    char want[24];
    snprintf(want, sizeof want, "%zu", p->whole->log.len);
    return strcmp(ask(LOG_BYTES_SQL, p->whole->attempt->job), want) == 0;
}

static const char *await(struct pair *p, bool (*there)(const struct pair *p), char wrong[WRONG_MAX]) {
    int64_t end_ms = clock_boot_ms() + END_MAX_MS;
    while (!there(p)) {
        if (!keep_alive(p)) {
            snprintf(wrong, WRONG_MAX, "the scribe ended with %d, the %d. of them", p->last, p->scribes);
            return wrong;
        }
        if (clock_boot_ms() > end_ms)
            return there == begun ? "what was written is not stored" : "the end is not stored: a lost job";
        poll(NULL, 0, LOOK_MS);
    }
    return "";
}

static const char *stop_scribe(char wrong[WRONG_MAX]) {
    close(parent_fd);
    parent_fd = -1;
    int status = torture_wait(scribe, END_MAX_MS);
    scribe = 0;
    snprintf(wrong, WRONG_MAX, "told to end, the scribe ended with %d", status);
    return is_bad(status) ? wrong : "";
}

#define STATE_SQL                                                                                            \
    "select concat_ws(' ', j.status, a.status, a.log_complete, encode(a.log_sha256, 'hex'), a.log_bytes,"    \
    " a.stored_bytes <= a.log_limit) from berth.jobs j join berth.attempts a on a.job_id = j.id where j.id " \
    "= $1"

static const char *check_row(const struct job *job, char wrong[WRONG_MAX]) {
    unsigned char hash[crypto_hash_sha256_BYTES];
    char hex[2 * crypto_hash_sha256_BYTES + 1];
    crypto_hash_sha256(hash, (const unsigned char *)buf_str(&job->log), job->log.len);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    AUTO_FREE char *want = mem_printf("succeeded succeeded t %s %zu t", hex, job->log.len);
    const char *got = ask(STATE_SQL, job->attempt->job);
    snprintf(wrong, WRONG_MAX, "in the database: %s, wanted: %s", got, want);
    return strcmp(got, want) == 0 ? "" : wrong;
}

static const char *check(const struct pair *p, char wrong[WRONG_MAX]) {
    const char *what = check_row(p->whole, wrong);
    if (!*what)
        what = check_row(p->cut, wrong);
    if (*what)
        return what;
    AUTO_BUF struct buf got = BUF(LOG_MAX);
    int64_t holes = 0, gaps = 0;
    read_log(p->whole, &got, &holes, &gaps);
    bool same = got.len == p->whole->log.len && memcmp(got.data, p->whole->log.data, got.len) == 0;
    return holes + gaps == 0 && same ? "" : "the log is not what was written";
}

static void make_pair(struct pair *p) {
    *p = (struct pair){.whole = new_job(LIMIT_BYTES), .cut = new_job(LONG_LIMIT), .scribes = 1};
    start(p->whole);
    start(p->cut);
    says(p->whole, "first\n");
    say_random(p->cut, LONG_BYTES);
    end(p->cut);
}

static bool run_point(const struct torture_point *point, bool *ret_fired) {
    char wrong[WRONG_MAX] = "", last[WRONG_MAX] = "";
    struct pair p;
    AUTO_BUF struct buf reports = BUF(TORTURE_REPORT_MAX);
    ctx = ctx_root(NULL);
    ctx_deadline_in(&ctx, 4 * WAIT_MS);
    make_pair(&p);
    point ? torture_aim(point) : torture_count();
    spawn_scribe(BERTHD_PATH);
    const char *what = await(&p, begun, wrong);
    says(p.whole, "second\n");
    end(p.whole);
    if (!*what)
        what = await(&p, both_gone, wrong);
    const char *ended = scribe ? stop_scribe(last) : "";
    torture_rest();
    *ret_fired = point && torture_fired();
    torture_take_reports(&reports);
    what = reports.len ? buf_str(&reports) : *what ? what : *ended ? ended : check(&p, wrong);
    if (*what)
        torture_tell(point ? point : &(struct torture_point){.call = "nothing", .frames = (char *)""}, what);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(dir_remove_tree(attempts_fd, i ? p.cut->name : p.whole->name, &err), 0, "%s", err.text);
    free_job(p.whole);
    free_job(p.cut);
    return !*what;
}

static void run_share(unsigned share, const char *database) {
    bool fired = false;
    size_t failures = 0, unmet = 0;
    begin_share(database);
    cr_assert(run_point(NULL, &fired));
    struct torture_points points = {0};
    cr_assert_geq(torture_load(&points, 0, share, SHARES), 100, "the library counts");
    torture_choose(&points, share, SHARES, POINTS_EACH);
    for (size_t i = 0; i < points.count; i++) {
        failures += !run_point(&points.items[i], &fired);
        unmet += !fired;
    }
    fprintf(stderr, "torture: share %u: %zu points run, %zu of them not met again, %zu failures\n", share + 1,
            points.count, unmet, failures);
    cr_expect_lt(unmet, points.count / 4 + 2, "most points are met again");
    torture_points_done(&points);
    end_share();
    cr_assert_eq(failures, 0);
}

Test(torture_scribe, each_call_fails_once, .timeout = 4 * 3600) {
    run_share(0, "torture1");
}

Test(torture_scribe, each_other_call_fails_once, .timeout = 4 * 3600) {
    run_share(1, "torture2");
}
