#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/integration/claim_rig.h"

Test(claim, never_takes_more_than_asked) {
    begin("more");
    run("select berth.submit('{\"image\": \"x\"}') from generate_series(1, 10)");
    AUTO_RESULT PGresult *r = take(db, want(3));
    cr_expect_eq(PQntuples(r), 3);
    cr_expect_str_eq(text_of("select count(*) from berth.jobs where status = 'preparing' and attempt = 1"
                             " and orchestrator = 'one'"),
                     "3");
    cr_expect_str_eq(text_of("select count(*) from berth.attempts"), "3");
    struct claim_job job = claim_row(r, 0);
    cr_expect(job.bare);
    cr_expect_eq(job.number, 1);
    cr_expect_gt(job.token, 0);
    cr_expect_gt(job.claimed_us, 1700000000000000);
    cr_expect_str_eq(job.tenant, "default");
    cr_expect_str_eq(job.spec, "{\"image\": \"x\"}");
    end();
}

Test(claim, takes_by_priority_then_age) {
    begin("priority");
    add("old", 0, 1, 0);
    add("young", 0, 1, 0);
    add("low", -5, 1, 0);
    add("high", 5, 1, 0);
    AUTO_RESULT PGresult *r = take(db, want(2));
    cr_expect_str_eq(names(r), "high old");
    AUTO_RESULT PGresult *rest = take(db, want(2));
    cr_expect_str_eq(names(rest), "young low");
    end();
}

Test(claim, memory_is_summed_and_the_first_that_does_not_fit_holds_back_the_rest) {
    begin("memory");
    add("a", 0, 400, 0);
    add("b", 0, 400, 0);
    add("c", 0, 400, 0);
    add("d", 0, 10, 0);
    AUTO_RESULT PGresult *r = take(db, want(10));
    cr_expect_str_eq(names(r), "a b");
    struct claim_want w = want(10);
    w.memory_free = 200 * MIB;
    AUTO_RESULT PGresult *none = take(db, w);
    cr_expect_eq(PQntuples(none), 0);
    w.memory_free = 410 * MIB;
    AUTO_RESULT PGresult *rest = take(db, w);
    cr_expect_str_eq(names(rest), "c d");
    end();
}

Test(claim, a_job_that_can_never_fit_here_does_not_hold_back_others) {
    begin("giant");
    add("giant", 0, 2000, 0);
    add("small", 0, 10, 0);
    AUTO_RESULT PGresult *r = take(db, want(10));
    cr_expect_str_eq(names(r), "small");
    cr_expect_str_eq(text_of("select status from berth.jobs where name = 'giant'"), "queued");
    end();
}

Test(claim, cpus_are_summed_only_when_a_total_is_set) {
    begin("cpus");
    add("a", 0, 1, 1500);
    add("b", 0, 1, 1500);
    struct claim_want w = want(10);
    w.cpus_total = w.cpus_free = 2000;
    AUTO_RESULT PGresult *r = take(db, w);
    cr_expect_str_eq(names(r), "a");
    AUTO_RESULT PGresult *rest = take(db, want(10));
    cr_expect_str_eq(names(rest), "b");
    end();
}

Test(claim, two_claimers_never_take_the_same_job) {
    begin("two");
    for (int i = 0; i < 6; i++)
        add(i < 3 ? "first" : "second", -i, 1, 0);
    cr_assert_eq(db_begin(db, &ctx, &err), 0);
    AUTO_RESULT PGresult *mine = take(db, want(3)); /* locked, not committed */
    AUTO_RESULT PGresult *theirs = take(other, want(10));
    cr_assert_eq(db_commit(db, &ctx, &err), 0, "%s", err.text);
    cr_expect_str_eq(names(mine), "first first first");
    cr_expect_str_eq(names(theirs), "second second second");
    cr_expect_str_eq(text_of("select count(distinct token) from berth.attempts"), "6");
    end();
}

Test(claim, what_may_not_run_now_is_left_alone) {
    begin("later");
    add("scheduled", 0, 1, 0);
    add("late", 0, 1, 0);
    add("canceled", 0, 1, 0);
    add("future", 0, 1, 0);
    run("update berth.jobs set status = 'canceled' where name = 'canceled'");
    run("update berth.jobs set queue_deadline_at = now() - interval '1 s' where name = 'late'");
    run("update berth.jobs set run_at = now() + interval '1 hour' where name = 'future'");
    run("insert into berth.jobs (id, name, status, run_at, spec)"
        " values (berth.uuid7(), 'due', 'scheduled', now() - interval '1 s', '{}'),"
        " (berth.uuid7(), 'not yet', 'scheduled', now() + interval '1 hour', '{}')");
    run("delete from berth.jobs where name = 'scheduled'");
    AUTO_RESULT PGresult *none = take(db, want(10));
    cr_expect_eq(PQntuples(none), 0);
    struct claim c;
    claim_sweep(&c);
    AUTO_RESULT PGresult *swept = ask(db, &c);
    cr_expect_eq(db_get_int(swept, 0, 0), 1);
    cr_expect_eq(db_get_int(swept, 0, 1), 1);
    cr_expect_str_eq(text_of("select status || '/' || reason from berth.jobs where name = 'late'"),
                     "timed_out/queue_deadline");
    AUTO_RESULT PGresult *due = take(db, want(10));
    cr_expect_str_eq(names(due), "due");
    end();
}

Test(claim, a_poison_row_is_refused_and_the_next_one_goes_on) {
    begin("poison");
    run("insert into berth.jobs (id, name, spec) values (berth.uuid7(), 'poison', 'no json {')");
    run("insert into berth.jobs (id, name, spec) values (berth.uuid7(), 'huge', repeat('x', 2000000))");
    run("insert into berth.jobs (id, name, spec) values (berth.uuid7(), 'good', '{\"image\": \"x\"}')");
    AUTO_RESULT PGresult *r = take(db, want(10));
    cr_assert_eq(PQntuples(r), 3);
    struct claim_job poison = claim_row(r, 0), huge = claim_row(r, 1), good = claim_row(r, 2);
    struct claim c;
    cr_expect_str_eq(poison.spec, "no json {");
    cr_expect_null(huge.spec);
    cr_expect_eq(huge.spec_bytes, 2000000);
    claim_refuse(&c, &poison, REASON_SPEC_REFUSED, "is not JSON");
    tell(&c);
    tell(&c); /* repeatable */
    cr_expect_str_eq(
        text_of("select status || '/' || reason || '/' || message from berth.jobs where name = 'poison'"),
        "errored/spec_refused/is not JSON");
    cr_expect_str_eq(text_of("select a.status || '/' || a.reason from berth.attempts a join berth.jobs j"
                             " on j.id = a.job_id where j.name = 'poison' and a.finished_at is not null"),
                     "errored/spec_refused");
    cr_expect_str_eq(text_of("select finished_at is not null from berth.jobs where name = 'poison'"), "t");
    /* A wrong token has no say. */
    good.token++;
    claim_refuse(&c, &good, REASON_INTERNAL, "stranger");
    tell(&c);
    cr_expect_str_eq(text_of("select status from berth.jobs where name = 'good'"), "preparing");
    end();
}

Test(claim, a_released_job_is_as_it_was_and_knows_what_it_needs) {
    begin("release");
    run("select berth.submit('{\"image\": \"x\"}')");
    AUTO_RESULT PGresult *r = take(db, want(1));
    struct claim_job job = claim_row(r, 0);
    struct claim_facts facts = {.name = "named",
                                .labels = "{\"a\": \"b\"}",
                                .memory_bytes = 300 * MIB,
                                .priority = 3,
                                .log_bytes = 4096};
    struct claim c;
    claim_describe(&c, &job, &facts);
    tell(&c);
    claim_release(&c, &job);
    tell(&c);
    cr_expect_str_eq(
        text_of("select concat_ws('/', status, attempt, name, memory_bytes, priority, labels->>'a',"
                " coalesce(orchestrator, 'none')) from berth.jobs"),
        "queued/0/named/314572800/3/b/none");
    cr_expect_str_eq(text_of("select count(*) from berth.attempts"), "0");
    struct claim_want w = want(1);
    w.memory_free = 200 * MIB;
    AUTO_RESULT PGresult *none = take(db, w);
    cr_expect_eq(PQntuples(none), 0);
    AUTO_RESULT PGresult *again = take(db, want(1));
    cr_assert_eq(PQntuples(again), 1);
    struct claim_job second = claim_row(again, 0);
    cr_expect(!second.bare);
    cr_expect_gt(second.token, job.token);
    /* The first claim's token is of the past. */
    claim_release(&c, &job);
    tell(&c);
    cr_expect_str_eq(text_of("select status from berth.jobs"), "preparing");
    /* Canceled meanwhile: it ends instead. */
    run("update berth.jobs set cancel = 1");
    claim_release(&c, &second);
    tell(&c);
    cr_expect_str_eq(text_of("select status || '/' || reason from berth.jobs"), "canceled/requested");
    end();
}

Test(claim, a_bare_row_is_described_but_a_checked_one_keeps_its_words) {
    begin("describe");
    add("checked", 1, 50, 0);
    run("select berth.submit('{\"image\": \"x\"}')");
    AUTO_RESULT PGresult *r = take(db, want(2));
    struct claim_facts facts = {
        .name = "spec's", .labels = "{}", .memory_bytes = 7 * MIB, .priority = 9, .log_bytes = 4096};
    for (int i = 0; i < 2; i++) {
        struct claim_job job = claim_row(r, i);
        struct claim c;
        claim_describe(&c, &job, &facts);
        tell(&c);
    }
    cr_expect_str_eq(
        text_of("select string_agg(name || ' ' || memory_bytes || ' ' || priority, ', ' order by name)"
                " from berth.jobs"),
        "checked 52428800 1, spec's 7340032 9");
    cr_expect_str_eq(text_of("select count(*) from berth.attempts where log_limit = 4096"), "2");
    end();
}

static const struct claim_facts plain = {.labels = "{}", .memory_bytes = MIB, .log_bytes = 4096};

/* Whether a row from SQL, described with these facts, is to be given back. */
static bool described_not_now(const struct claim_job *job, const struct claim_facts *facts) {
    struct claim c;
    claim_describe(&c, job, facts);
    AUTO_RESULT PGresult *r = ask(db, &c);
    return claim_not_now(r);
}

Test(claim, a_bare_row_waits_no_longer_than_its_spec_says) {
    begin("bare_late");
    run("select berth.submit('{\"image\": \"x\"}') from generate_series(1, 2)");
    run("update berth.jobs set created_at = now() - interval '10 s'");
    AUTO_RESULT PGresult *r = take(db, want(2));
    struct claim_job in_time = claim_row(r, 0), late = claim_row(r, 1);
    struct claim_facts facts = plain;
    struct claim c;
    facts.queue_ms = 3600000;
    cr_expect_not(described_not_now(&in_time, &facts));
    cr_expect_str_eq(text_of("select extract(epoch from queue_deadline_at - created_at)::integer"
                             " from berth.jobs where memory_bytes is not null"),
                     "3600");
    claim_release(&c, &in_time);
    tell(&c);
    facts.queue_ms = 5000;
    cr_expect(described_not_now(&late, &facts));
    claim_release(&c, &late);
    tell(&c);
    cr_expect_str_eq(text_of("select string_agg(concat_ws('/', status, reason, attempt,"
                             " finished_at is not null), ' ' order by status) from berth.jobs"),
                     "queued/0/f timed_out/queue_deadline/0/t");
    cr_expect_str_eq(text_of("select count(*) from berth.attempts"), "0");
    end();
}

Test(claim, a_bare_row_whose_time_has_not_come_is_scheduled) {
    begin("bare_soon");
    run("select berth.submit('{\"image\": \"x\"}')");
    AUTO_RESULT PGresult *r = take(db, want(1));
    struct claim_job job = claim_row(r, 0);
    struct claim_facts facts = plain;
    struct claim c;
    facts.run_at_us = job.claimed_us + INT64_C(3600000000);
    facts.queue_ms = 5000;
    cr_expect(described_not_now(&job, &facts));
    claim_release(&c, &job);
    tell(&c);
    cr_expect_str_eq(text_of("select concat_ws('/', status, queue_deadline_at - run_at, finished_at is null)"
                             " from berth.jobs"),
                     "scheduled/00:00:05/t");
    run("update berth.jobs set run_at = now()");
    claim_sweep(&c);
    tell(&c);
    AUTO_RESULT PGresult *due = take(db, want(1));
    cr_assert_eq(PQntuples(due), 1);
    cr_expect(!claim_row(due, 0).bare);
    run("update berth.jobs set status = 'canceled'");
    run("select berth.submit('{\"image\": \"x\"}')");
    AUTO_RESULT PGresult *second = take(db, want(1));
    struct claim_job soon = claim_row(second, 0);
    cr_expect(described_not_now(&soon, &facts), "not before its time either");
    end();
}

Test(claim, what_is_ours_and_what_is_to_be_canceled) {
    begin("ours");
    add("a", 1, 1, 0);
    add("b", 0, 1, 0);
    AUTO_RESULT PGresult *r = take(db, want(2));
    struct claim_job a = claim_row(r, 0), b = claim_row(r, 1);
    struct claim c;
    run("update berth.jobs set cancel = 2, cancel_reason = 'superseded' where name = 'b'");
    claim_orders(&c, "one");
    AUTO_RESULT PGresult *orders = ask(db, &c);
    cr_assert_eq(PQntuples(orders), 1);
    struct claim_order order = claim_order_row(orders, 0);
    cr_expect_str_eq(order.job, b.job);
    cr_expect_eq(order.number, 1);
    cr_expect(order.cancel && order.force);
    cr_expect_str_eq(order.reason, "superseded");
    claim_refuse(&c, &b, REASON_INTERNAL, "x");
    tell(&c);
    claim_owned(&c, &one);
    AUTO_RESULT PGresult *owned = ask(db, &c);
    cr_assert_eq(PQntuples(owned), 1);
    struct claim_ours ours = claim_owned_row(owned, 0);
    cr_expect_str_eq(ours.job, a.job);
    claim_fetch(&c, &one, ours.job, ours.attempt_id);
    AUTO_RESULT PGresult *fetched = ask(db, &c);
    cr_assert_eq(PQntuples(fetched), 1);
    cr_expect_eq(claim_row(fetched, 0).token, a.token);
    struct claim_self stranger = one; /* of the same name */
    stranger.life = LIFE_TWO;
    claim_owned(&c, &stranger);
    AUTO_RESULT PGresult *theirs = ask(db, &c);
    cr_expect_eq(PQntuples(theirs), 0);
    end();
}
