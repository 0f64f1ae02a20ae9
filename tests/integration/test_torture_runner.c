/* Every call of the runner's straight line fails once, wherever it is made: the job ends as it truly did,
 * nothing crashes, leaks or stays behind, and it was started once. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "proto/child.h"
#include "proto/spool.h"
#include "runner/limits/limits.h"
#include "runner_rig.h"
#include "torture_rig.h"

enum { RUNNERS_MAX = 8, POINTS_EACH = 24, SHARES = 2, WRONG_MAX = 4096 };

static const char job_json[] = "{\"script\":\"cat; echo told >&2; exit 7\",\"input\":{\"a\":[1,2,3]}}";
static const char output[] = "{\"a\":[1,2,3]}\n";

static struct err err;
static char directory[RIG_PATH_MAX + 16], group[LIMITS_GROUP_MAX];

#define OK(call) cr_assert((call) >= 0, "%s: %s", #call, err.text)

static void begin(void) {
    rig_begin();
    AUTO_FREE char *instance = mem_printf("torture-%.8s", rig.cluster);
    struct limits_bound bound = {.memory_bytes = INT64_C(1) << 32, .instance = instance};
    if (limits_setup(&bound, group, &err) == 0)
        snprintf(rig.cgroup, sizeof rig.cgroup, "%s", group);
    snprintf(directory, sizeof directory, "%s/torture", rig.state);
    OK(dir_make(directory, 0700, &err));
    torture_begin(directory, "berth-runner --attempt");
}

static void end(void) {
    torture_end();
    if (rig.cgroup[0])
        OK(limits_remove(group, &err));
    rig_end();
}

TestSuite(torture_runner, .init = begin, .fini = end, .timeout = 4 * 3600);

/* What its parent would do: another one as long as it ends with something else than that it is done. Returns
 * what is wrong, or "". */
static const char *run_to_the_end(char wrong[WRONG_MAX]) {
    int status = -1;
    for (int i = 0; i < RUNNERS_MAX; i++) {
        rig_start();
        status = torture_wait(rig.pid, RIG_WAIT_MS);
        rig.pid = 0;
        if (status == CHILD_EXIT_DONE || status < 0 || status >= 256 || status == TORTURE_EXIT_SANITIZER)
            break;
    }
    snprintf(wrong, WRONG_MAX, "the last runner ended with %d", status);
    return status == CHILD_EXIT_DONE ? "" : wrong;
}

static const char *check_end(char wrong[WRONG_MAX]) {
    struct journal journal = rig_journal();
    const struct verdict *v = &journal.verdict;
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    AUTO_BUF struct buf told = BUF(RIG_OUTPUT_MAX);
    int starts = -1;
    if (!journal_has(&journal, JOURNAL_VERDICT) || !journal_has(&journal, JOURNAL_CLEANED))
        return "the journal has no end: the job is lost";
    rig_output(SPOOL_STDOUT, &out, &starts);
    rig_output(SPOOL_STDERR, &told, NULL);
    if (v->reason != REASON_EXIT_CODE || v->exit_code != 7) {
        snprintf(wrong, WRONG_MAX, "a false end: %s/%s, exit code %d, %d starts: %s", status_name(v->status),
                 reason_name(v->reason), v->exit_code, starts, v->message);
        return wrong;
    }
    if (starts != 1 || strcmp(buf_str(&out), output) != 0 || strcmp(buf_str(&told), "told\n") != 0) {
        snprintf(wrong, WRONG_MAX, "%d starts, output: %s%s", starts, buf_str(&out), buf_str(&told));
        return wrong;
    }
    if (v->usage.cpu_us < 0 || v->usage.memory_peak_bytes < 0)
        return "the end has no figures";
    return "";
}

static const char *check_left(void) {
    char parent[LIMITS_GROUP_MAX];
    AUTO_CONTAINER_INFO struct container_info info = {0};
    if (container_inspect(rig.engine, &rig.ctx, rig.container, &info, &err) == 0) {
        container_remove(rig.engine, &rig.ctx, rig.container, true, true, NULL);
        return "its container is left";
    }
    if (!rig.cgroup[0] || limits_name(rig.cgroup, rig.name, parent, &err) < 0)
        return "";
    AUTO_FREE char *path = mem_printf("/sys/fs/cgroup/memory%s", parent);
    if (access(path, F_OK) < 0)
        return "";
    limits_remove(parent, NULL);
    return "its control group is left";
}

static bool run_point(const struct torture_point *point, bool *ret_fired) {
    char wrong[WRONG_MAX] = "";
    AUTO_BUF struct buf reports = BUF(TORTURE_REPORT_MAX);
    ctx_deadline_in(&rig.ctx, 5 * RIG_WAIT_MS);
    rig_attempt(job_json);
    point ? torture_aim(point) : torture_count();
    const char *ended = run_to_the_end(wrong);
    torture_rest();
    *ret_fired = point && torture_fired();
    torture_take_reports(&reports);
    const char *what = reports.len ? buf_str(&reports) : *ended ? ended : check_end(wrong);
    const char *left = check_left();
    if (*what || *left)
        torture_tell(point ? point : &(struct torture_point){.call = "nothing failed", .frames = (char *)""},
                     *what ? what : left);
    OK(dir_remove_tree(rig.attempts_fd, rig.name, &err));
    return !*what && !*left;
}

static void run_share(unsigned share) {
    bool fired = false;
    size_t failures = 0, unmet = 0;
    cr_assert(run_point(NULL, &fired));
    struct torture_points points = torture_load(share, SHARES, POINTS_EACH);
    cr_assert_geq(points.met, 200, "the library counts");
    for (size_t i = 0; i < points.count; i++) {
        failures += !run_point(&points.items[i], &fired);
        unmet += !fired;
    }
    fprintf(stderr, "torture: share %u: %zu points run, %zu of them not met again, %zu failures\n", share + 1,
            points.count, unmet, failures);
    cr_expect_lt(unmet, points.count / 4 + 2, "most points are met again");
    torture_points_done(&points);
    cr_assert_eq(failures, 0);
}

Test(torture_runner, each_call_fails_once) {
    run_share(0);
}

Test(torture_runner, each_other_call_fails_once) {
    run_share(1);
}
