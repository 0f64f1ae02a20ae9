#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "orchestrator/db/live.h"
#include "tests/integration/claim_rig.h"

static void put_off(const char *name, const char *how_long) {
    char sql[256];
    snprintf(sql, sizeof sql,
             "update berth.jobs set status = 'retrying', retry_at = now() + interval '%s', exit_code = 75,"
             " queue_deadline_at = null where name = '%s' and status = 'preparing'",
             how_long, name);
    run(sql);
}

Test(claim_later, a_retry_is_taken_when_its_time_has_come_among_the_others) {
    begin("retry");
    add("again", 0, 1, 0);
    AUTO_RESULT PGresult *first = take(db, want(1));
    put_off("again", "1 hour");
    add("higher", 1, 1, 0);
    AUTO_RESULT PGresult *early = take(db, want(10));
    cr_expect_str_eq(names(early), "higher");
    add("younger", 0, 1, 0);
    run("update berth.jobs set retry_at = now() where name = 'again'");
    AUTO_RESULT PGresult *r = take(db, want(2));
    cr_expect_str_eq(names(r), "again younger");
    struct claim_job job = claim_row(r, 0);
    cr_expect_eq(job.number, 2);
    cr_expect_gt(job.token, claim_row(first, 0).token);
    expect_text("select concat_ws('/', status, attempt, retry_at is null, exit_code is null) from berth.jobs"
                " where name = 'again'",
                "preparing/2/t/t");
    end();
}

Test(claim_later, a_retry_that_waits_too_long_times_out) {
    struct claim c;
    begin("retry_late");
    add("again", 0, 1, 0);
    AUTO_RESULT PGresult *first = take(db, want(1));
    put_off("again", "1 hour");
    run("update berth.jobs set queue_deadline_at = now() - interval '1 s'");
    claim_sweep(&c);
    AUTO_RESULT PGresult *swept = ask(db, &c);
    cr_expect_eq(claim_swept(swept).ended, 1);
    expect_text("select concat_ws('/', status, reason, finished_at is not null) from berth.jobs",
                "timed_out/queue_deadline/t");
    end();
}

Test(claim_later, the_sweep_tells_when_the_next_one_is_due) {
    struct claim c;
    begin("due");
    claim_sweep(&c);
    AUTO_RESULT PGresult *nothing = ask(db, &c);
    cr_expect_eq(claim_swept(nothing).next_ms, -1);
    run("insert into berth.jobs (id, status, run_at, spec)"
        " values (berth.uuid7(), 'scheduled', now() + interval '2 hours', '{}'),"
        " (berth.uuid7(), 'scheduled', now() - interval '2 hours', '{}')");
    AUTO_RESULT PGresult *scheduled = ask(db, &c);
    cr_expect_eq(claim_swept(scheduled).queued, 1);
    int64_t ms = claim_swept(scheduled).next_ms;
    cr_expect(ms > 7000000 && ms <= 7200000, "%lld", (long long)ms);
    add("again", 5, 1, 0);
    AUTO_RESULT PGresult *first = take(db, want(1));
    put_off("again", "1 hour");
    AUTO_RESULT PGresult *retry = ask(db, &c);
    ms = claim_swept(retry).next_ms;
    cr_expect(ms > 3500000 && ms <= 3600000, "%lld", (long long)ms);
    end();
}

static struct claim_order only_order(int expected) {
    struct claim c;
    claim_orders(&c, "one");
    AUTO_RESULT PGresult *r = ask(db, &c);
    cr_assert_eq(PQntuples(r), expected);
    struct claim_order order = {0};
    if (expected)
        order = claim_order_row(r, 0);
    order.job = order.reason = NULL; /* they go with the result */
    return order;
}

Test(claim_later, a_deadline_that_was_moved_is_told_until_the_attempt_has_ended) {
    begin("extend");
    add("a", 0, 1, 0);
    AUTO_RESULT PGresult *r = take(db, want(1));
    only_order(0);
    run("update berth.attempts set run_extra_ms = 90000");
    struct claim_order order = only_order(1);
    cr_expect_eq(order.run_extra_ms, 90000);
    cr_expect_eq(order.number, 1);
    cr_expect(!order.cancel && !order.force && !order.overdue_ms);
    only_order(1);
    run("update berth.attempts set finished_at = now()");
    only_order(0);
    end();
}

Test(claim_later, an_attempt_is_overdue_behind_deadline_grace_and_margin) {
    begin("overdue");
    add("a", 0, 1, 0);
    struct claim_want w = want(1);
    w.default_grace_ms = 30000;
    AUTO_RESULT PGresult *r = take(db, w);
    run("update berth.jobs set status = 'running'");
    run("update berth.attempts set started_at = now(), deadline_at = now() - interval '80 s'");
    only_order(0);
    run("update berth.attempts set deadline_at = now() - interval '100 s'");
    struct claim_order order = only_order(1);
    cr_expect(order.overdue_ms >= 70000 && order.overdue_ms < 100000, "%lld", (long long)order.overdue_ms);
    cr_expect_not(order.cancel);
    run("update berth.attempts set exited_at = now()");
    only_order(0);
    end();
}

Test(claim_later, the_reaper_is_told_what_nobody_has_ended) {
    AUTO_LIVE struct live_attempts live = {0};
    char name[ATTEMPT_NAME_MAX];
    begin("live");
    add("a", 1, 1, 0);
    add("b", 0, 1, 0);
    struct claim_want w = want(2);
    w.default_grace_ms = 30000;
    AUTO_RESULT PGresult *r = take(db, w);
    struct claim_job a = claim_row(r, 0), b = claim_row(r, 1);
    run("update berth.attempts set deadline_at = now() - interval '310 s'");
    run("update berth.attempts set deadline_at = now() - interval '350 s'"
        " where id = (select min(id) from berth.attempts)");
    cr_assert_eq(live_list(db, &ctx, "one", &live, &err), 0, "%s", err.text);
    cr_assert_eq(live.count, 2);
    attempt_dir_name(a.job, 1, name);
    cr_expect(live_has(&live, name) && live_is_overdue(&live, name));
    attempt_dir_name(b.job, 1, name);
    cr_expect(live_has(&live, name) && !live_is_overdue(&live, name));
    cr_expect_not(live_has(&live, "nobody.1") || live_is_overdue(&live, "nobody.1"));
    end();
}
