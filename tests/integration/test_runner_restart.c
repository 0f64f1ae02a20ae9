/* A runner is killed wherever it may be, and another goes on: one start, one verdict, nothing left. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "proto/child.h"
#include "proto/labels.h"
#include "proto/spool.h"
#include "runner_rig.h"

TestSuite(restart, .init = rig_begin, .fini = rig_end, .timeout = 240);

static struct err err;
#define OK(call) cr_assert((call) >= 0, "%s: %s", #call, err.text)

/* Ends when it is told to, so that a test decides what comes first. */
static const char waits[] =
    "{\"script\":\"trap \\\"echo told; exit 7\\\" USR2; echo begun; sleep 600 & wait\"}";
static const char brief[] = "{\"script\":\"echo begun; exit 7\"}";

static void expect_whole(enum reason reason, const char *text) {
    struct journal journal = rig_journal();
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    int starts = -1;
    rig_output(SPOOL_STDOUT, &out, &starts);
    cr_expect_eq(journal.verdict.reason, reason, "%s", journal.verdict.message);
    cr_expect_str_eq(buf_str(&out), text);
    cr_expect_eq(starts, 1, "started %d times", starts);
}

static void start(const char *job) {
    rig_attempt(job);
    rig_start();
    struct control ready = rig_expect(CONTROL_READY);
    control_done(&ready);
}

static void tell_job(void) {
    OK(container_kill(rig.engine, &rig.ctx, rig.container, "USR2", &err));
}

/* The journal of a runner that died after having done a step but before writing it down, for every step. */
Test(restart, each_step_done_but_not_written) {
    static const enum journal_step steps[] = {JOURNAL_PULLED, JOURNAL_STARTED, JOURNAL_EXITED,
                                              JOURNAL_VERDICT};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        start(brief);
        rig_await(steps[i]);
        rig_kill();
        rig_forget_from(steps[i]);
        rig_finish();
        expect_whole(REASON_EXIT_CODE, "begun\n");
    }
}

/* After the clean-up there is no container to ask: what the record says, stands. */
Test(restart, verdict_is_not_given_twice) {
    start(brief);
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    rig_forget_from(JOURNAL_CLEANED);
    rig_finish();
    expect_whole(REASON_EXIT_CODE, "begun\n");
    rig_finish(); /* of a whole journal: nothing to do */
    expect_whole(REASON_EXIT_CODE, "begun\n");
}

Test(restart, created_but_not_started) {
    start(waits);
    rig_await(JOURNAL_STARTED);
    rig_kill();
    struct journal first = rig_journal();
    /* the same container, not told to be started: */
    AUTO_CONTAINER_INFO struct container_info info = {0};
    OK(container_inspect(rig.engine, &rig.ctx, rig.container, &info, &err));
    rig_forget_from(JOURNAL_STARTED);
    rig_start();
    rig_await(JOURNAL_STARTED);
    struct journal journal = rig_journal();
    cr_expect_str_eq(journal.container, info.id);
    cr_expect_leq(journal.time_us[JOURNAL_STARTED], first.time_us[JOURNAL_STARTED], "told when, not late");
    cr_expect_leq(journal.started_boot_ns, first.started_boot_ns, "the run deadline does not move");
    rig_await_output("begun\n");
    tell_job();
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    expect_whole(REASON_EXIT_CODE, "begun\ntold\n");
}

/* Started by a runner that died before it could write that down, and canceled before the next one has looked.
 */
Test(restart, started_but_canceled_before_anybody_has_looked) {
    start("{\"script\":\"trap \\\"echo told; exit 9\\\" TERM; echo begun; sleep 600 & wait\"}");
    rig_await(JOURNAL_STARTED);
    rig_await_output("begun\n");
    rig_kill();
    rig_forget_from(JOURNAL_STARTED);
    rig_start();
    rig_cancel(false);
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    expect_whole(REASON_REQUESTED, "begun\ntold\n");
    struct journal journal = rig_journal();
    cr_expect(journal_has(&journal, JOURNAL_STARTED));
    cr_expect_eq(journal.verdict.exit_code, 9, "%s", journal.verdict.message);
}

/* Made by a runner that died before it could write that down: taken over by its name and labels. */
Test(restart, container_is_found_by_name) {
    start(waits);
    rig_await_output("begun\n");
    rig_kill();
    rig_forget_from(JOURNAL_CREATED);
    rig_start();
    rig_await(JOURNAL_STARTED);
    tell_job();
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    expect_whole(REASON_EXIT_CODE, "begun\ntold\n");
}

Test(restart, killed_again_and_again) {
    start(waits);
    for (int i = 0; i < 5; i++) {
        rig_await_output("begun\n");
        rig_kill();
        rig_start();
    }
    tell_job();
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    expect_whole(REASON_EXIT_CODE, "begun\ntold\n");
}

Test(restart, ended_while_nobody_looked) {
    start(waits);
    rig_await_output("begun\n");
    rig_kill();
    tell_job();
    struct container_exit end;
    OK(container_wait(rig.engine, &rig.ctx, rig.container, &end, &err));
    rig_finish();
    expect_whole(REASON_EXIT_CODE, "begun\ntold\n");
}

Test(restart, removed_while_nobody_looked) {
    start(waits);
    rig_await_output("begun\n");
    rig_kill();
    OK(container_remove(rig.engine, &rig.ctx, rig.container, true, true, &err));
    rig_finish();
    expect_whole(REASON_CONTAINER_REMOVED, "begun\n");
}

Test(restart, end_of_file_leaves_everything) {
    start(waits);
    rig_await_output("begun\n");
    rig_hang_up();
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    AUTO_CONTAINER_INFO struct container_info info = {0};
    OK(container_inspect(rig.engine, &rig.ctx, rig.container, &info, &err));
    cr_expect(info.running);
    rig_start();
    tell_job();
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    expect_whole(REASON_EXIT_CODE, "begun\ntold\n");
}

/* The deadline began with the start, not with the second runner. */
Test(restart, deadline_survives) {
    start(
        "{\"script\":\"echo begun; sleep 600\",\"deadlines\":{\"run\":\"2s\"},\"stop\":{\"grace\":\"0s\"}}");
    rig_await_output("begun\n");
    rig_await(JOURNAL_STARTED);
    struct journal journal = rig_journal();
    rig_kill();
    struct ctx over = ctx_root(NULL);
    ctx_deadline_at(&over, journal.started_boot_ns + 2 * NS_PER_S);
    ctx_poll(&over, NULL, 0, "deadline", NULL); /* it passes while no runner is there */
    rig_start();
    struct control ready = rig_expect(CONTROL_READY);
    control_done(&ready);
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    cr_expect(clock_boot_ns() - journal.started_boot_ns < 30 * NS_PER_S);
    expect_whole(REASON_RUN_DEADLINE, "begun\n");
}

/* Died between the stop signal and the end: the next one goes on with the stop. */
Test(restart, in_the_middle_of_a_stop) {
    start("{\"script\":\"trap \\\"echo deaf\\\" TERM; echo begun; while :; do sleep 600 & wait; done\","
          "\"stop\":{\"grace\":\"3s\"}}");
    rig_await_output("begun\n");
    rig_cancel(false);
    rig_await(JOURNAL_STOPPING);
    rig_await_output("deaf\n");
    rig_kill();
    rig_finish();
    struct journal journal = rig_journal();
    cr_expect_eq(journal.verdict.reason, REASON_REQUESTED, "%s", journal.verdict.message);
}

/* Removed between creation and start by someone else: it is not made a second time. */
Test(restart, removed_before_the_start) {
    start(waits);
    rig_await(JOURNAL_CREATED);
    rig_kill();
    OK(container_remove(rig.engine, &rig.ctx, rig.container, true, true, &err));
    rig_forget_from(JOURNAL_STARTED);
    rig_finish();
    struct journal journal = rig_journal();
    cr_expect_eq(journal.verdict.reason, REASON_CONTAINER_REMOVED, "%s", journal.verdict.message);
}
