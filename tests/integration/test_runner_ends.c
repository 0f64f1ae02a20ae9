/* Ends that others bring about, deadlines that move, and silence, on a real engine. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "proto/child.h"
#include "proto/spool.h"
#include "runner_rig.h"

TestSuite(ends, .init = rig_begin, .fini = rig_end, .timeout = 240);

static struct err err;
#define OK(call) cr_assert((call) >= 0, "%s: %s", #call, err.text)

static const char sleeper[] = "{\"script\":\"echo begun; exec sleep 600\"}";

static void start(const char *job) {
    rig_attempt(job);
    rig_start();
    struct control ready = rig_expect(CONTROL_READY);
    control_done(&ready);
}

static void start_and_await(const char *job) {
    start(job);
    rig_await_output("begun\n");
    rig_await(JOURNAL_STARTED);
}

static void expect_verdict(enum reason reason, int exit_code, int signal, const char *words) {
    struct journal journal = rig_journal();
    const struct verdict *v = &journal.verdict;
    cr_expect(journal_has(&journal, JOURNAL_CLEANED));
    cr_expect_eq(v->reason, reason, "%s: %s", reason_name(v->reason), v->message);
    cr_expect(v->exit_code == exit_code && v->signal == signal, "exit code %d, signal %d: %s", v->exit_code,
              v->signal, v->message);
    cr_expect(strstr(v->message, words), "%s", v->message);
}

static void expect_end(enum reason reason, int exit_code, int signal, const char *words) {
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    expect_verdict(reason, exit_code, signal, words);
}

static void send(const char *signal) {
    OK(container_kill(rig.engine, &rig.ctx, rig.container, signal, &err));
}

/* --- others --- */

Test(ends, removed_by_hand) {
    start_and_await(sleeper);
    OK(container_remove(rig.engine, &rig.ctx, rig.container, true, false, &err));
    expect_end(REASON_CONTAINER_REMOVED, -1, 0, "docker rm");
}

Test(ends, killed_by_hand) {
    start_and_await(sleeper);
    send("KILL");
    expect_end(REASON_CONTAINER_KILLED, -1, 9, "by someone else with signal 9 (SIGKILL)");
}

Test(ends, terminated_by_hand) {
    start_and_await(sleeper);
    send("TERM");
    expect_end(REASON_CONTAINER_KILLED, -1, 15, "by someone else with signal 15 (SIGTERM)");
}

/* `docker stop` of a job that does not listen: the engine itself follows with KILL. */
Test(ends, all_processes_killed_by_hand) {
    start_and_await(sleeper);
    send("63"); /* what berth-init takes for a wish to kill everything */
    expect_end(REASON_CONTAINER_KILLED, -1, 9, "by someone else with signal 9");
}

Test(ends, a_signal_that_the_job_survives_is_only_told) {
    start_and_await("{\"script\":\"trap \\\"exit 0\\\" TERM; echo begun; sleep 600 & wait\"}");
    send("TERM");
    expect_end(REASON_NONE, 0, 0, "Someone else had sent signal 15 (SIGTERM)");
}

/* Nobody is told apart from the job itself who acts inside of the container. */
Test(ends, a_signal_from_inside_is_the_jobs_own) {
    start("{\"script\":\"kill -TERM $$; sleep 600\"}");
    expect_end(REASON_SIGNAL, -1, 15, "signal 15 (SIGTERM)");
}

/* The stop signal arrives all the same, and the deadline holds. */
Test(ends, paused_by_hand) {
    start_and_await("{\"script\":\"trap \\\"echo bye; exit 0\\\" TERM; echo begun; sleep 600 & wait\","
                    "\"deadlines\":{\"run\":\"2s\"},\"stop\":{\"grace\":\"1m\"}}");
    OK(container_pause(rig.engine, &rig.ctx, rig.container, &err));
    expect_end(REASON_RUN_DEADLINE, 0, 0, "paused");
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    rig_output(SPOOL_STDOUT, &out, NULL);
    cr_expect_str_eq(buf_str(&out), "begun\nbye\n");
}

Test(ends, paused_and_then_killed_by_force) {
    start_and_await(sleeper);
    OK(container_pause(rig.engine, &rig.ctx, rig.container, &err));
    rig_cancel(true);
    expect_end(REASON_REQUESTED, -1, 9, "paused");
}

/* --- memory --- */

#define BOMB "dd if=/dev/zero of=/dev/null bs=200M count=1"

Test(ends, memory_of_a_child_that_the_job_fails_of) {
    start("{\"script\":\"" BOMB " || exit 3\",\"limits\":{\"memory\":\"32m\"}}");
    expect_end(REASON_OOM, 3, 0, "1 process of the job for memory, and the job failed: the limit is 32m");
}

Test(ends, memory_of_a_child_that_the_job_lives_without) {
    start("{\"script\":\"" BOMB " || " BOMB " || echo lives\",\"limits\":{\"memory\":\"32m\"}}");
    expect_end(REASON_NONE, 0, 0, "Warning: the kernel killed 2 processes of the job for memory (limit 32m)");
    cr_expect_eq(rig_journal().verdict.usage.oom_kills, 2);
}

/* What lies in shared memory is no process's own, so the kernel takes the one that is named to it first,
 * berth-init, and with it everything: nobody writes down how it ended. */
Test(ends, memory_of_init) {
    start("{\"script\":\"echo 1000 >/proc/1/oom_score_adj; dd if=/dev/zero of=/dev/shm/x bs=1M; sleep 600\","
          "\"limits\":{\"memory\":\"32m\",\"shm\":\"64m\"}}");
    expect_end(REASON_OOM, -1, 0, "berth-init with it: the limit is 32m");
}

/* A child's lack of memory does not make an end by others one for memory. */
Test(ends, killed_by_hand_after_a_lack_of_memory) {
    start_and_await("{\"script\":\"" BOMB " || echo begun; sleep 600\",\"limits\":{\"memory\":\"32m\"}}");
    send("KILL");
    expect_end(REASON_CONTAINER_KILLED, -1, 9, "signal 9 (SIGKILL)");
}

/* --- deadlines --- */

static void wait_until(int64_t boot_ns) {
    struct ctx over = ctx_root(NULL);
    ctx_deadline_at(&over, boot_ns);
    ctx_poll(&over, NULL, 0, "wait", NULL);
}

static void extend(int64_t run_ms) {
    struct control message = {.type = CONTROL_EXTEND, .run_ms = run_ms};
    OK(control_send(rig.fd, &message, &err));
    rig_await_extended(run_ms);
}

Test(ends, silence) {
    start("{\"script\":\"echo begun; echo on >&2; exec sleep 600\",\"deadlines\":{\"idle\":\"2s\"}}");
    expect_end(REASON_IDLE_DEADLINE, -1, 15, "no output for 2s");
    struct journal journal = rig_journal();
    int64_t us = journal.time_us[JOURNAL_STOPPING] - journal.time_us[JOURNAL_STARTED];
    cr_expect_gt(us, 1500 * US_PER_MS, "%lld us", (long long)us);
}

Test(ends, a_job_that_talks_outlives_its_idle_deadline) {
    start("{\"script\":\"for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 1; "
          "done\",\"deadlines\":{\"idle\":\"5s\"}}");
    expect_end(REASON_NONE, 0, 0, "exit code 0");
}

/* What it wrote before counts for the second runner as well: the silence began before that one. */
Test(ends, silence_goes_on_with_another_runner) {
    start_and_await("{\"script\":\"echo begun; exec sleep 600\",\"deadlines\":{\"idle\":\"3s\"}}");
    struct journal journal = rig_journal();
    rig_kill();
    wait_until(journal.started_boot_ns + 4 * NS_PER_S);
    int64_t again_ns = clock_boot_ns();
    rig_start();
    struct control ready = rig_expect(CONTROL_READY);
    control_done(&ready);
    rig_await(JOURNAL_STOPPING);
    cr_expect_lt(clock_boot_ns() - again_ns, 3 * NS_PER_S);
    expect_end(REASON_IDLE_DEADLINE, -1, 15, "no output for 3s");
}

Test(ends, extended_and_it_ends_by_itself) {
    start_and_await("{\"script\":\"trap \\\"exit 7\\\" USR2; echo begun; sleep 600 & wait\","
                    "\"deadlines\":{\"run\":\"3s\"}}");
    extend(600 * 1000);
    struct journal journal = rig_journal();
    wait_until(journal.started_boot_ns + 4 * NS_PER_S);
    AUTO_CONTAINER_INFO struct container_info info = {0};
    OK(container_inspect(rig.engine, &rig.ctx, rig.container, &info, &err));
    cr_expect(info.running, "the old deadline does not count any more");
    send("USR2");
    expect_end(REASON_EXIT_CODE, 7, 0, "exit code 7");
}

/* What one runner was told, the next one knows. */
Test(ends, extended_and_ended_by_another_runner) {
    start_and_await("{\"script\":\"echo begun; exec sleep 600\",\"deadlines\":{\"run\":\"3s\"}}");
    extend(1000);
    extend(2000);
    rig_kill();
    rig_finish();
    expect_verdict(REASON_RUN_DEADLINE, -1, 15, "deadline of 5s (3s, extended by 2s)");
    struct journal journal = rig_journal();
    cr_expect_geq(journal.stopping_boot_ns - journal.started_boot_ns, 5 * NS_PER_S);
}
