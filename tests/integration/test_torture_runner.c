/* Every call of the runner's straight line fails once, wherever it is made: the job ends as it truly did,
 * nothing crashes, leaks or stays behind, and it was started once. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "proto/child.h"
#include "proto/labels.h"
#include "proto/spool.h"
#include "runner/docker/network.h"
#include "runner/limits/limits.h"
#include "runner_rig.h"
#include "torture_rig.h"

enum { RUNNERS_MAX = 8, POINTS_EACH = 16, SHARES = 4, WRONG_MAX = 4096, LOOK_MS = 10 };

/* What a runner has to do, and how it truly ends. */
static const struct line {
    const char *what, *json;
    enum reason reason;
    int exit_code;
    const char *out, *err_out;
    bool cancel; /* as soon as it has begun */
} lines[] = {
    {.what = "a job that ends by itself",
     .json = "{\"script\":\"cat; echo told >&2; exit 7\",\"input\":{\"a\":[1,2,3]}}",
     .reason = REASON_EXIT_CODE,
     .exit_code = 7,
     .out = "{\"a\":[1,2,3]}\n",
     .err_out = "told\n"},
    {.what = "a job with a service",
     .json = "{\"script\":\"nslookup db | grep -c ^Name; exit 7\",\"network\":\"private\",\"services\":"
             "[{\"name\":\"db\",\"image\":\"IMAGE\",\"command\":[\"sleep\",\"600\"],"
             "\"ready\":{\"command\":[\"true\"]},\"deadline\":\"30s\"}]}",
     .reason = REASON_EXIT_CODE,
     .exit_code = 7,
     .out = "1\n",
     .err_out = ""},
    {.what = "a job that is canceled",
     .json = "{\"script\":\"trap \\\"echo told; exit 9\\\" TERM; echo begun; sleep 600 & wait\"}",
     .reason = REASON_REQUESTED,
     .exit_code = 9,
     .out = "begun\ntold\n",
     .err_out = "",
     .cancel = true},
    {.what = "a job whose service fails",
     .json =
         "{\"script\":\"trap \\\"echo told; exit 9\\\" TERM; echo begun; until echo x | nc db 99; do :; done;"
         "sleep 600 & wait\",\"network\":\"private\",\"services\":[{\"name\":\"db\",\"image\":\"IMAGE\","
         "\"command\":[\"sh\",\"-c\",\"nc -lp 99; exit 4\"],"
         "\"ready\":{\"command\":[\"true\"]},\"deadline\":\"30s\"}]}",
     .reason = REASON_SERVICE_FAILED,
     .exit_code = 9,
     .out = "begun\ntold\n",
     .err_out = ""},
};

enum { LINES = sizeof lines / sizeof *lines };

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

static bool has_begun(void) {
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    rig_output(SPOOL_STDOUT, &out, NULL);
    return out.len > 0;
}

/* As its parent would tell each runner, until it has ended. */
static void cancel_when_begun(void) {
    const struct control cancel = {.type = CONTROL_CANCEL, .reason = REASON_REQUESTED};
    AUTO_FD int pidfd = pidfd_open(rig.pid, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    for (int64_t end_ms = clock_boot_ms() + RIG_WAIT_MS; !has_begun() && clock_boot_ms() < end_ms;)
        if (poll(&p, 1, LOOK_MS) != 0)
            return;
    (void)control_send(rig.fd, &cancel, NULL); /* it may be gone by now */
}

/* What its parent would do: another one as long as it ends with something else than that it is done. Returns
 * what is wrong, or "". */
static const char *run_to_the_end(const struct line *line, char wrong[WRONG_MAX]) {
    int status = -1;
    for (int i = 0; i < RUNNERS_MAX; i++) {
        rig_start();
        if (line->cancel)
            cancel_when_begun();
        status = torture_wait(rig.pid, RIG_WAIT_MS);
        rig.pid = 0;
        if (status == CHILD_EXIT_DONE || status < 0 || status >= 256 || status == TORTURE_EXIT_SANITIZER)
            break;
    }
    snprintf(wrong, WRONG_MAX, "the last runner ended with %d", status);
    return status == CHILD_EXIT_DONE ? "" : wrong;
}

static const char *check_end(const struct line *line, char wrong[WRONG_MAX]) {
    struct journal journal = rig_journal();
    const struct verdict *v = &journal.verdict;
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    AUTO_BUF struct buf err_out = BUF(RIG_OUTPUT_MAX);
    int starts = -1;
    if (!journal_has(&journal, JOURNAL_VERDICT) || !journal_has(&journal, JOURNAL_CLEANED))
        return "the journal has no end: the job is lost";
    rig_output(SPOOL_STDOUT, &out, &starts);
    rig_output(SPOOL_STDERR, &err_out, NULL);
    if (v->reason != line->reason || v->exit_code != line->exit_code) {
        snprintf(wrong, WRONG_MAX, "a false end: %s/%s, exit code %d, %d starts: %s", status_name(v->status),
                 reason_name(v->reason), v->exit_code, starts, v->message);
        return wrong;
    }
    if (starts != 1 || strcmp(buf_str(&out), line->out) != 0 ||
        strcmp(buf_str(&err_out), line->err_out) != 0) {
        snprintf(wrong, WRONG_MAX, "%d starts, output: %s%s", starts, buf_str(&out), buf_str(&err_out));
        return wrong;
    }
    if (v->usage.cpu_us < 0 || v->usage.memory_peak_bytes < 0)
        return "the end has no figures";
    return "";
}

static size_t remove_left(void) {
    AUTO_CONTAINER_LIST struct container_list containers = {0};
    AUTO_NETWORK_LIST struct network_list networks = {0};
    const struct engine_pair label = {LABEL_CLUSTER, rig.cluster};
    size_t left = 0;
    OK(container_list(rig.engine, &rig.ctx, (struct engine_pairs){&label, 1}, true, &containers, &err));
    for (size_t i = 0; i < containers.count; i++)
        if (container_remove(rig.engine, &rig.ctx, containers.items[i].id, true, true, NULL) == 0)
            left++;
    OK(network_list(rig.engine, &rig.ctx, (struct engine_pairs){&label, 1}, &networks, &err));
    for (size_t i = 0; i < networks.count; i++)
        if (container_label(networks.items[i].labels, LABEL_JOB) &&
            network_remove(rig.engine, &rig.ctx, networks.items[i].id, NULL) == 0)
            left++;
    return left;
}

static void end(void) {
    torture_end();
    size_t left = remove_left(); /* of a test that broke off; a group in use would stay */
    if (rig.cgroup[0])
        OK(limits_remove(group, &err));
    rig_end();
    cr_assert_eq(left, 0);
}

TestSuite(torture_runner, .init = begin, .fini = end, .timeout = 4 * 3600);

static const char *check_left(void) {
    char parent[LIMITS_GROUP_MAX];
    if (remove_left() > 0)
        return "a container or a network is left";
    if (!rig.cgroup[0] || limits_name(rig.cgroup, rig.name, parent, &err) < 0)
        return "";
    AUTO_FREE char *path = mem_printf("/sys/fs/cgroup/memory%s", parent);
    if (access(path, F_OK) < 0)
        return "";
    limits_remove(parent, NULL);
    return "its control group is left";
}

/* rig_attempt() puts in the image of the job, not those of services. */
static void make_attempt(const struct line *line) {
    const char *hole = strstr(line->json, "IMAGE");
    AUTO_FREE char *json = hole ? mem_printf("%.*s%s%s", (int)(hole - line->json), line->json, rig_image(),
                                             hole + strlen("IMAGE"))
                                : mem_strdup(line->json);
    rig_attempt(json);
}

static bool run_point(const struct line *line, const struct torture_point *point, bool *ret_fired) {
    char wrong[WRONG_MAX] = "";
    AUTO_BUF struct buf reports = BUF(TORTURE_REPORT_MAX);
    rig.ctx = ctx_root(NULL);
    ctx_deadline_in(&rig.ctx, 5 * RIG_WAIT_MS);
    make_attempt(line);
    point ? torture_aim(point) : torture_count();
    const char *ended = run_to_the_end(line, wrong);
    torture_rest();
    *ret_fired = point && torture_fired();
    torture_take_reports(&reports);
    const char *what = reports.len ? buf_str(&reports) : *ended ? ended : check_end(line, wrong);
    const char *left = check_left();
    if (*what || *left) {
        AUTO_FREE char *told = mem_printf("%s: %s", line->what, *what ? what : left);
        torture_tell(point ? point : &(struct torture_point){.call = "nothing failed", .frames = (char *)""},
                     told);
    }
    OK(dir_remove_tree(rig.attempts_fd, rig.name, &err));
    return !*what && !*left;
}

static void run_share(unsigned share) {
    bool fired = false;
    size_t failures = 0, unmet = 0;
    struct torture_points points = {0};
    for (unsigned i = 0; i < LINES; i++) {
        cr_assert(run_point(&lines[i], NULL, &fired));
        cr_assert_geq(torture_load(&points, i, share, SHARES), 200, "the library counts");
    }
    torture_choose(&points, share, SHARES, POINTS_EACH);
    for (size_t i = 0; i < points.count; i++) {
        failures += !run_point(&lines[points.items[i].line], &points.items[i], &fired);
        unmet += !fired;
    }
    fprintf(stderr, "torture: share %u: %zu points run, %zu of them not met again, %zu failures\n", share + 1,
            points.count, unmet, failures);
    cr_expect_lt(unmet, points.count / 4 + 2, "most points are met again");
    torture_points_done(&points);
    cr_assert_eq(failures, 0);
}

Test(torture_runner, the_first_quarter_of_all_calls) {
    run_share(0);
}

Test(torture_runner, the_second_quarter_of_all_calls) {
    run_share(1);
}

Test(torture_runner, the_third_quarter_of_all_calls) {
    run_share(2);
}

Test(torture_runner, the_last_quarter_of_all_calls) {
    run_share(3);
}
