/* A command is begun only while the orchestrator's lease holds. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "proto/child.h"
#include "proto/lease.h"
#include "proto/spool.h"
#include "runner_rig.h"

TestSuite(license, .init = rig_begin, .fini = rig_end, .timeout = 240);

enum { HOUR_MS = 3600000, BEHIND_THE_START_MS = 11000 };
static const char job[] = "{\"script\":\"echo begun\", \"deadlines\": {\"start\": \"10s\"}}";

static struct err err;
#define OK(call) cr_assert((call) >= 0, "%s: %s", #call, err.text)

static void lease(int64_t for_ms) {
    char path[512], boot_id[CLOCK_BOOT_ID_MAX];
    snprintf(path, sizeof path, "%s/" LEASE_FILE, rig.state);
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, LEASE_MODE);
    cr_assert(fd >= 0);
    OK(clock_boot_id(boot_id, &err));
    OK(lease_write(fd, boot_id, clock_boot_ms() + for_ms, &err));
}

static void start_without_lease(void) {
    rig_attempt(job);
    lease(-1);
    rig_start();
    struct control ready = rig_expect(CONTROL_READY);
    control_done(&ready);
    rig_await(JOURNAL_CREATED);
}

static void expect_end(enum reason reason, int starts) {
    struct journal journal = rig_journal();
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    int seen = -1;
    rig_output(SPOOL_STDOUT, &out, &seen);
    cr_expect_eq(journal.verdict.reason, reason, "%s", journal.verdict.message);
    cr_expect_eq(seen, starts, "begun %d times", seen);
}

/* And the time until then does not count against the start deadline. */
Test(license, waits_for_the_lease) {
    start_without_lease();
    struct ctx pause = ctx_root(NULL);
    ctx_deadline_in(&pause, BEHIND_THE_START_MS);
    ctx_poll(&pause, NULL, 0, "pause", NULL);
    struct journal waiting = rig_journal();
    cr_assert_not(journal_has(&waiting, JOURNAL_STARTED));
    lease(HOUR_MS);
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    expect_end(REASON_NONE, 1);
}

Test(license, is_canceled_while_it_waits) {
    start_without_lease();
    rig_cancel(false);
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    expect_end(REASON_REQUESTED, 0);
}

/* The parent fences what is not ours any more, then renews the lease. */
Test(license, orders_from_before_the_renewal_come_first) {
    start_without_lease();
    kill(rig.pid, SIGSTOP);
    struct control extend = {.type = CONTROL_EXTEND, .run_ms = 1};
    OK(control_send(rig.fd, &extend, &err));
    rig_cancel(false);
    lease(HOUR_MS);
    kill(rig.pid, SIGCONT);
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    expect_end(REASON_REQUESTED, 0);
}
