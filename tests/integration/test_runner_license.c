/* A command is begun only with the parent's leave. */
#include <criterion/criterion.h>
#include <signal.h>

#include "base/clock.h"
#include "proto/child.h"
#include "proto/spool.h"
#include "runner_rig.h"

static void begin(void) {
    rig_begin();
    rig.lease = "15s";
}

TestSuite(license, .init = begin, .fini = rig_end, .timeout = 240);

enum { BEHIND_THE_START_MS = 11000 };
static const char job[] = "{\"script\":\"echo begun\", \"deadlines\": {\"start\": \"10s\"}}";

static struct err err;
#define OK(call) cr_assert((call) >= 0, "%s: %s", #call, err.text)

static void expect(enum control_type type) {
    struct control message = rig_expect(type);
    control_done(&message);
}

static void start_without_license(void) {
    rig_attempt(job);
    rig_start();
    expect(CONTROL_READY);
    expect(CONTROL_BEGIN);
    struct journal journal = rig_journal();
    cr_expect(journal_has(&journal, JOURNAL_CREATED));
}

static void license(void) {
    OK(control_send(rig.fd, &(struct control){.type = CONTROL_BEGIN}, &err));
}

static void expect_end(enum reason reason, int starts) {
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    int seen = -1;
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    struct journal journal = rig_journal();
    rig_output(SPOOL_STDOUT, &out, &seen);
    cr_expect_eq(journal.verdict.reason, reason, "%s", journal.verdict.message);
    cr_expect_eq(seen, starts, "begun %d times", seen);
}

/* And the time until then does not count against the start deadline. */
Test(license, is_asked_for_until_it_comes) {
    start_without_license();
    int64_t until_ms = clock_boot_ms() + BEHIND_THE_START_MS;
    do
        expect(CONTROL_BEGIN);
    while (clock_boot_ms() < until_ms);
    struct journal journal = rig_journal();
    cr_assert_not(journal_has(&journal, JOURNAL_STARTED));
    license();
    expect_end(REASON_NONE, 1);
}

Test(license, is_asked_for_by_the_next_runner_too) {
    start_without_license();
    rig_kill();
    rig_start();
    expect(CONTROL_READY);
    expect(CONTROL_BEGIN);
    license();
    expect_end(REASON_NONE, 1);
}

/* One that runs already is watched, licensed or not. */
Test(license, is_not_needed_for_what_has_begun) {
    rig_attempt("{\"script\":\"echo begun; exit 7\"}");
    rig_start();
    expect(CONTROL_READY);
    license();
    rig_await(JOURNAL_STARTED);
    rig_kill();
    rig_forget_from(JOURNAL_STARTED);
    rig_start();
    expect_end(REASON_EXIT_CODE, 1);
}

Test(license, is_not_waited_for_by_one_that_is_canceled) {
    start_without_license();
    rig_cancel(false);
    expect_end(REASON_REQUESTED, 0);
}

Test(license, orders_that_came_before_it_count) {
    start_without_license();
    kill(rig.pid, SIGSTOP);
    rig_cancel(false);
    license();
    kill(rig.pid, SIGCONT);
    expect_end(REASON_REQUESTED, 0);
}
