#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "proto/launch.h"
#include "runner/verdict.h"

enum { MEMORY = 64 * 1024 * 1024, KILLED = 137 };

static const struct spec spec = {
    .image = (char *)"app:v1",
    .limits = {.memory_bytes = MEMORY},
    .deadlines = {.pull_ms = 300 * 1000, .start_ms = 60 * 1000, .run_ms = 600 * 1000},
    .stop = {.grace_ms = 10 * 1000},
};

#define ENDED(status_) .started = true, .end_known = true, .end = {.wait_status = (status_)}
#define EXITED(code_) ENDED((code_) << 8)
#define NO_EXEC(code_, errno_)                                                                               \
    .started = true, .end_known = true, .end = {.wait_status = (code_) << 8, .exec_errno = (errno_)}
#define NO_END(code_) .started = true, .inspected = true, .engine_exit_code = (code_)

static const struct {
    const char *what;
    struct evidence evidence;
    enum status status;
    enum reason reason;
    int exit_code, signal;
    const char *words; /* has to be in the message */
} rows[] = {
    /* its own end */
    {"exit 0", {EXITED(0)}, STATUS_SUCCEEDED, REASON_NONE, 0, 0, "exit code 0"},
    {"exit 3", {EXITED(3)}, STATUS_FAILED, REASON_EXIT_CODE, 3, 0, "exit code 3"},
    {"exit 137 is no signal", {EXITED(KILLED)}, STATUS_FAILED, REASON_EXIT_CODE, KILLED, 0, "exit code 137"},
    {"kill -9 itself", {ENDED(9)}, STATUS_FAILED, REASON_SIGNAL, -1, 9, "9 (SIGKILL)"},
    {"a signal without a name", {ENDED(40)}, STATUS_FAILED, REASON_SIGNAL, -1, 40, "signal 40"},
    {"segmentation fault with core", {ENDED(11 | 0x80)}, STATUS_FAILED, REASON_SIGNAL, -1, 11, "SIGSEGV"},
    {"command not there", {NO_EXEC(127, ENOENT)}, STATUS_FAILED, REASON_COMMAND_NOT_FOUND, 127, 0, "app:v1"},
    {"command not executable",
     {NO_EXEC(126, EACCES)},
     STATUS_FAILED,
     REASON_COMMAND_NOT_EXECUTABLE,
     126,
     0,
     "Permission denied"},
    {"a program that itself exits 127", {EXITED(127)}, STATUS_FAILED, REASON_EXIT_CODE, 127, 0, "code 127"},
    {"a program that itself exits 126", {EXITED(126)}, STATUS_FAILED, REASON_EXIT_CODE, 126, 0, "code 126"},
    {"a program that itself exits as a broken init",
     {EXITED(LAUNCH_EXIT_BROKEN)},
     STATUS_FAILED,
     REASON_EXIT_CODE,
     LAUNCH_EXIT_BROKEN,
     0,
     "code 70"},
    {"init's record counts when the container is gone",
     {EXITED(4), .container_missing = true},
     STATUS_FAILED,
     REASON_EXIT_CODE,
     4,
     0,
     "code 4"},
    {"init's record counts when the machine is another",
     {EXITED(0), .host_restarted = true},
     STATUS_SUCCEEDED,
     REASON_NONE,
     0,
     0,
     "code 0"},
    /* memory */
    {"killed for memory",
     {.started = true,
      .end_known = true,
      .end = {.wait_status = 9, .oom_kills = 1, .memory_peak_bytes = MEMORY}},
     STATUS_FAILED,
     REASON_OOM,
     -1,
     9,
     "64m"},
    {"a child killed for memory, the job failed of it",
     {.started = true,
      .end_known = true,
      .end = {.wait_status = 2 << 8, .oom_kills = 3, .memory_peak_bytes = MEMORY}},
     STATUS_FAILED,
     REASON_OOM,
     2,
     0,
     "3 process"},
    {"a child killed for memory, the job lived with it",
     {.started = true, .end_known = true, .end = {.oom_kills = 1}},
     STATUS_SUCCEEDED,
     REASON_NONE,
     0,
     0,
     "code 0"},
    {"killed for memory together with init",
     {NO_END(KILLED), .engine_oom_killed = true},
     STATUS_FAILED,
     REASON_OOM,
     -1,
     0,
     "64m"},
    /* stopped by us */
    {"run deadline, ended in its grace",
     {EXITED(0), .stop = REASON_RUN_DEADLINE},
     STATUS_TIMED_OUT,
     REASON_RUN_DEADLINE,
     0,
     0,
     "deadline of 10m"},
    {"run deadline, killed",
     {NO_END(KILLED), .stop = REASON_RUN_DEADLINE, .killed = true},
     STATUS_TIMED_OUT,
     REASON_RUN_DEADLINE,
     -1,
     0,
     "had to be killed"},
    {"cancel",
     {ENDED(15), .stop = REASON_REQUESTED},
     STATUS_CANCELED,
     REASON_REQUESTED,
     -1,
     15,
     "canceled on request"},
    {"cancel by shutdown",
     {ENDED(15), .stop = REASON_SHUTDOWN},
     STATUS_CANCELED,
     REASON_SHUTDOWN,
     -1,
     15,
     "orchestrator"},
    {"cancel in preparation",
     {.stop = REASON_REQUESTED},
     STATUS_CANCELED,
     REASON_REQUESTED,
     -1,
     0,
     "not started"},
    {"a cancel that came too late",
     {EXITED(0), .stop = REASON_REQUESTED, .stop_missed = true},
     STATUS_SUCCEEDED,
     REASON_NONE,
     0,
     0,
     "code 0"},
    {"a deadline that came too late",
     {EXITED(5), .stop = REASON_RUN_DEADLINE, .stop_missed = true},
     STATUS_FAILED,
     REASON_EXIT_CODE,
     5,
     0,
     "code 5"},
    {"too late, but nobody knows how it ended",
     {.started = true, .container_missing = true, .stop = REASON_REQUESTED, .stop_missed = true},
     STATUS_CANCELED,
     REASON_REQUESTED,
     -1,
     0,
     "canceled"},
    {"canceled while out of memory",
     {.started = true,
      .end_known = true,
      .end = {.wait_status = 9, .oom_kills = 1},
      .stop = REASON_REQUESTED},
     STATUS_CANCELED,
     REASON_REQUESTED,
     -1,
     9,
     "canceled"},
    /* someone else */
    {"killed from outside", {NO_END(KILLED)}, STATUS_ERRORED, REASON_CONTAINER_KILLED, -1, 0, "SIGKILL"},
    {"ended from outside", {NO_END(143)}, STATUS_ERRORED, REASON_CONTAINER_KILLED, -1, 0, "SIGTERM"},
    {"removed",
     {.started = true, .container_missing = true},
     STATUS_ERRORED,
     REASON_CONTAINER_REMOVED,
     -1,
     0,
     "docker rm"},
    {"another boot",
     {NO_END(255), .host_restarted = true},
     STATUS_ERRORED,
     REASON_HOST_RESTARTED,
     -1,
     0,
     "restarted"},
    /* ours */
    {"init could not begin",
     {NO_END(LAUNCH_EXIT_BROKEN)},
     STATUS_ERRORED,
     REASON_INTERNAL,
     -1,
     0,
     "never ran"},
    {"no record", {NO_END(0)}, STATUS_ERRORED, REASON_INTERNAL, -1, 0, "no record"},
    {"nothing at all", {.started = true}, STATUS_ERRORED, REASON_INTERNAL, -1, 0, "not known"},
    /* preparation */
    {"no image",
     {.fault = REASON_IMAGE_NOT_FOUND, .fault_text = "no such thing"},
     STATUS_ERRORED,
     REASON_IMAGE_NOT_FOUND,
     -1,
     0,
     "no such thing"},
    {"no credentials",
     {.fault = REASON_IMAGE_DENIED, .fault_text = "401"},
     STATUS_ERRORED,
     REASON_IMAGE_DENIED,
     -1,
     0,
     "401"},
    {"registry away",
     {.fault = REASON_PULL_FAILED, .fault_text = "dial"},
     STATUS_ERRORED,
     REASON_PULL_FAILED,
     -1,
     0,
     "dial"},
    {"no command",
     {.fault = REASON_SPEC_REFUSED, .fault_text = "no command"},
     STATUS_ERRORED,
     REASON_SPEC_REFUSED,
     -1,
     0,
     "no command"},
    {"engine away",
     {.fault = REASON_ENGINE_UNAVAILABLE},
     STATUS_ERRORED,
     REASON_ENGINE_UNAVAILABLE,
     -1,
     0,
     "no more"},
    {"pull deadline", {.stop = REASON_PULL_DEADLINE}, STATUS_TIMED_OUT, REASON_PULL_DEADLINE, -1, 0, "5m"},
    {"start deadline", {.stop = REASON_START_DEADLINE}, STATUS_TIMED_OUT, REASON_START_DEADLINE, -1, 0, "1m"},
};

Test(verdict, every_end) {
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct evidence e = rows[i].evidence;
        struct verdict v;
        e.spec = &spec;
        verdict_decide(&e, &v);
        cr_expect(v.status == rows[i].status && v.reason == rows[i].reason, "%s: %s/%s", rows[i].what,
                  status_name(v.status), reason_name(v.reason) ? reason_name(v.reason) : "-");
        cr_expect(v.exit_code == rows[i].exit_code && v.signal == rows[i].signal,
                  "%s: exit code %d, signal %d", rows[i].what, v.exit_code, v.signal);
        cr_expect(strstr(v.message, rows[i].words), "%s: %s", rows[i].what, v.message);
        size_t len = strlen(v.message);
        cr_expect(rows[i].evidence.fault || (len && v.message[len - 1] == '.'), "%s: no sentence: %s",
                  rows[i].what, v.message);
    }
}

Test(verdict, usage_is_inits_or_unknown) {
    struct evidence e = {.spec = &spec, EXITED(0)};
    struct verdict v;
    e.end.cpu_us = 7;
    e.end.memory_peak_bytes = 8;
    e.end.pids_peak = 9;
    e.end.throttled_us = SPOOL_UNKNOWN;
    verdict_decide(&e, &v);
    cr_assert(v.usage.cpu_us == 7 && v.usage.memory_peak_bytes == 8 && v.usage.pids_peak == 9);
    cr_assert(v.usage.oom_kills == 0 && v.usage.throttled_us == -1);
    e.end_known = false;
    verdict_decide(&e, &v);
    cr_assert(v.usage.cpu_us == -1 && v.usage.memory_peak_bytes == -1 && v.usage.oom_kills == -1);
}

Test(verdict, what_the_engine_refuses) {
    static const struct {
        int status;
        const char *text;
        enum reason reason;
    } answers[] = {
        {400, "Range of CPUs is from 0.01 to 2.00", REASON_SPEC_REFUSED},
        {500, "unable to find user nosuchuser: no matching entries in passwd file", REASON_SPEC_REFUSED},
        {500, "Cannot mkdir: /etc/passwd is not a directory", REASON_SPEC_REFUSED},
        {500, "no space left on device", REASON_INTERNAL},
        {503, "", REASON_INTERNAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(answers); i++)
        cr_expect_eq(verdict_refusal(answers[i].status, answers[i].text), answers[i].reason, "%s",
                     answers[i].text);
}
