#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/integration/claim_rig.h"

#define HELD "select count(*) from berth.jobs where status in ('preparing', 'running', 'canceling', 'lost')"

static void finish_held(void) {
    run("update berth.jobs set status = 'canceled', finished_at = now()"
        " where status in ('preparing', 'running', 'canceling', 'lost')");
}

Test(claim_keys, a_job_whose_key_is_taken_is_passed_over_and_holds_nobody_back) {
    begin("passed_over");
    add_keyed("a", "deploy", 1, "queue");
    add_keyed("b", "deploy", 1, "queue");
    add("x", -1, 1, 0);
    AUTO_RESULT PGresult *first = take(db, want(10));
    cr_expect_str_eq(names(first), "a x");
    AUTO_RESULT PGresult *none = take(other, want(10));
    cr_expect_eq(PQntuples(none), 0);
    finish_held();
    AUTO_RESULT PGresult *second = take(other, want(10));
    cr_expect_str_eq(names(second), "b");
    end();
}

Test(claim_keys, many_that_wait_for_one_key_do_not_fill_the_batch) {
    begin("batch");
    add_keyed("holder", "k", 1, "queue");
    AUTO_RESULT PGresult *first = take(db, want(1));
    for (int i = 0; i < 5; i++)
        add_keyed("waits", "k", 1, "queue");
    add("free", -1, 1, 0);
    AUTO_RESULT PGresult *r = take(db, want(1));
    cr_expect_str_eq(names(r), "free");
    end();
}

Test(claim_keys, as_many_as_the_key_allows_and_each_tenant_has_its_own) {
    begin("most");
    for (int i = 0; i < 4; i++)
        add_keyed("a", "k", 2, "queue");
    add_keyed("b", "k", 2, "queue");
    run("update berth.jobs set tenant = 'another' where name = 'b'");
    AUTO_RESULT PGresult *r = take(db, want(10));
    cr_expect_str_eq(names(r), "a a b");
    run("with one as (select id from berth.jobs where name = 'a' and status = 'preparing' limit 1)"
        " update berth.jobs set status = 'running' where id in (select id from one)");
    AUTO_RESULT PGresult *none = take(db, want(10));
    cr_expect_eq(PQntuples(none), 0, "one is preparing, one runs");
    run("update berth.jobs set status = 'succeeded' where status = 'running'");
    AUTO_RESULT PGresult *next = take(db, want(10));
    cr_expect_str_eq(names(next), "a");
    end();
}

Test(claim_keys, lost_and_canceling_jobs_hold_the_key_and_retrying_ones_do_not) {
    static const struct {
        const char *status;
        int taken;
    } rows[] = {{"preparing", 0}, {"canceling", 0}, {"running", 0}, {"lost", 0}, {"retrying", 1}};
    begin("holders");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char sql[128];
        add_keyed("holder", "k", 1, "queue");
        AUTO_RESULT PGresult *held = take(db, want(1));
        cr_assert_eq(PQntuples(held), 1);
        snprintf(sql, sizeof sql,
                 "update berth.jobs set status = '%s', retry_at = now() + interval '1 hour'"
                 " where status = 'preparing'",
                 rows[i].status);
        run(sql);
        expect_text("select berth.key_room('default', 'k', 1)", rows[i].taken ? "1" : "0");
        add_keyed("next", "k", 1, "queue");
        AUTO_RESULT PGresult *r = take(other, want(1));
        cr_expect_eq(PQntuples(r), rows[i].taken, "%s", rows[i].status);
        run("update berth.jobs set status = 'canceled'"
            " where status = any (array(select name from berth.statuses where not terminal))");
    }
    end();
}

Test(claim_keys, orchestrators_that_claim_at_once_never_overlap, .timeout = 150) {
    enum { ROUNDS = 60, CLAIMERS = 4, MOST = 2 };
    int taken = 0;
    begin("overlap");
    for (int round = 0; round < ROUNDS; round++) {
        struct claim claims[CLAIMERS];
        struct at_once all;
        for (int i = 0; i < 6; i++)
            add_keyed("a", "k", MOST, "queue");
        for (int i = 0; i < CLAIMERS; i++) {
            struct claim_want w = want(1 + i % 3);
            w.self = i % 2 ? one : two;
            claim_take(&claims[i], &w);
        }
        ask_at_once(claims, CLAIMERS, &all);
        for (int i = 0; i < CLAIMERS; i++) {
            cr_assert(all.results[i], "%s", all.errs[i].text);
            taken += PQntuples(all.results[i]);
        }
        at_once_done(&all);
        int held = (int)strtol(text_of(HELD), NULL, 10);
        cr_assert_leq(held, MOST, "round %d: %d jobs of the key at once", round, held);
        finish_held();
    }
    cr_expect_geq(taken, ROUNDS, "somebody gets through");
    end();
}

/* --- rows from SQL, whose key is known when their spec has been read --- */

static struct claim_facts keyed_facts(const char *on_conflict) {
    return (struct claim_facts){.labels = "{}",
                                .memory_bytes = MIB,
                                .log_bytes = 4096,
                                .key = "k",
                                .key_max = 1,
                                .on_conflict = on_conflict};
}

static PGresult *take_bare(int count) {
    char sql[128];
    snprintf(sql, sizeof sql, "select berth.submit('{\"image\": \"x\"}') from generate_series(1, %d)", count);
    run(sql);
    PGresult *r = take(db, want(count));
    cr_assert_eq(PQntuples(r), count);
    return r;
}

Test(claim_keys, rows_from_sql_that_are_described_at_once_never_overlap, .timeout = 150) {
    enum { ROUNDS = 40, ROWS = 3 };
    struct claim_facts facts = keyed_facts("queue");
    begin("bare_overlap");
    for (int round = 0; round < ROUNDS; round++) {
        struct claim claims[ROWS + 1];
        struct at_once all;
        struct claim_want w = want(1);
        int go = 0, not_now = 0;
        AUTO_RESULT PGresult *r = take_bare(ROWS);
        struct claim_job jobs[ROWS];
        add_keyed("checked", "k", 1, "queue");
        for (int i = 0; i < ROWS; i++) {
            jobs[i] = claim_row(r, i);
            claim_describe(&claims[i], &jobs[i], &facts);
        }
        claim_take(&claims[ROWS], &w); /* of the checked one, meanwhile */
        ask_at_once(claims, ROWS + 1, &all);
        for (int i = 0; i < ROWS; i++) {
            cr_assert(all.results[i], "%s", all.errs[i].text);
            (claim_not_now(all.results[i]) ? &not_now : &go)[0]++;
        }
        cr_assert(all.results[ROWS], "%s", all.errs[ROWS].text);
        go += PQntuples(all.results[ROWS]);
        cr_expect_eq(go, 1, "round %d: %d begin", round, go);
        cr_expect_geq(not_now, ROWS - 1);
        at_once_done(&all);
        run("update berth.jobs set status = 'canceled'"
            " where status = any (array(select name from berth.statuses where not terminal))");
    }
    end();
}

Test(claim_keys, a_job_whose_key_is_known_is_described_without_waiting_for_the_lock_on_it) {
    struct claim_facts facts = keyed_facts("queue");
    struct claim c;
    begin("known_key");
    add_keyed("a", "k", 1, "cancel_running");
    AUTO_RESULT PGresult *taken = take(db, want(1));
    struct claim_job job = claim_row(taken, 0);
    cr_assert_eq(db_begin(other, &ctx, &err), 0, "%s", err.text);
    cr_assert_eq(
        DB_EXEC(other, &ctx, "select pg_advisory_xact_lock(berth.key_lock('default', 'k'))", NULL, &err), 0,
        "%s", err.text);
    run("set statement_timeout = '10s'");
    claim_describe(&c, &job, &facts);
    tell(&c);
    db_rollback(other, &ctx);
    expect_text("select a.log_limit from berth.attempts a", "4096");
    end();
}

Test(claim_keys, one_that_was_described_but_not_given_back_does_not_begin_when_it_is_fetched) {
    struct claim_facts facts = keyed_facts("queue");
    struct claim c;
    begin("fetched");
    AUTO_RESULT PGresult *r = take_bare(2);
    struct claim_job holder = claim_row(r, 0), waits = claim_row(r, 1);
    claim_describe(&c, &holder, &facts);
    tell(&c);
    run("update berth.attempts set licensed_at = now() where id = (select min(id) from berth.attempts)");
    claim_describe(&c, &waits, &facts);
    AUTO_RESULT PGresult *described = ask(db, &c);
    cr_assert(claim_not_now(described));
    /* Here its orchestrator is killed, and started again. */
    claim_fetch(&c, &one, waits.job, waits.attempt_id);
    AUTO_RESULT PGresult *again = ask(db, &c);
    cr_assert_eq(PQntuples(again), 1);
    cr_expect(claim_row(again, 0).not_now);
    claim_fetch(&c, &one, holder.job, holder.attempt_id);
    AUTO_RESULT PGresult *held = ask(db, &c);
    cr_expect_not(claim_row(held, 0).not_now, "it has begun");
    claim_release(&c, &waits);
    tell(&c);
    AUTO_RESULT PGresult *none = take(db, want(1));
    cr_expect_eq(PQntuples(none), 0);
    expect_text(
        "select status || attempt from berth.jobs where concurrency_key = 'k' and orchestrator is null",
        "queued0");
    end();
}

Test(claim_keys, a_refused_row_from_sql_ends_and_names_the_holder) {
    struct claim_facts facts = keyed_facts("reject");
    struct claim c;
    char message[256], holder[64];
    PGresult *r = NULL;
    begin("bare_reject");
    add_keyed("holder", "k", 1, "queue");
    snprintf(holder, sizeof holder, "%s", text_of("select id from berth.jobs"));
    AUTO_RESULT PGresult *first = take(db, want(1));
    AUTO_RESULT PGresult *bare = take_bare(1);
    struct claim_job job = claim_row(bare, 0);
    claim_describe(&c, &job, &facts);
    cr_assert_eq(claim_exec(db, &ctx, &c, &r, &err), -1);
    cr_assert(claim_key_refused(&err, message, sizeof message), "%s", err.text);
    cr_expect_eq(strncmp(message, "job ", 4), 0, "%s", message);
    cr_expect_eq(strncmp(message + 4, holder, strlen(holder)), 0, "%s", message);
    cr_expect_null(strstr(message, "SQLSTATE"));
    claim_refuse(&c, &job, REASON_SUPERSEDED, message);
    tell(&c);
    expect_text("select status || '/' || reason || '/' || (message like 'job %k%') from berth.jobs"
                " where finished_at is not null",
                "canceled/superseded/true");
    end();
}

/* --- what a new job does to the others of its key --- */

Test(claim_keys, reject_refuses_while_others_are_unfinished) {
    begin("reject");
    add_keyed("first", "k", 2, "reject");
    add_keyed("second", "k", 2, "reject");
    int done = DB_EXEC(db, &ctx,
                       "insert into berth.jobs (id, spec, concurrency_key, concurrency_max, on_conflict)"
                       " values (berth.uuid7(), '{}', 'k', 2, 'reject')",
                       NULL, &err);
    cr_expect_eq(done, -1);
    cr_expect_eq(err.code, db_sqlstate("BE002"), "%s", err.text);
    run("update berth.jobs set status = 'canceled' where name = 'first'");
    add_keyed("third", "k", 2, "reject");
    expect_text("select count(*) from berth.jobs", "3");
    add_keyed("of another key", "l", 1, "reject");
    end();
}

#define REJECTING                                                                                            \
    "insert into berth.jobs (id, spec, concurrency_key, concurrency_max, on_conflict)"                       \
    " values (berth.uuid7(), '{}', 'k', 1, 'reject')"

Test(claim_keys, whoever_comes_while_another_one_enters_waits_for_its_end) {
    begin("reject_both");
    cr_assert_eq(db_begin(db, &ctx, &err), 0);
    run(REJECTING); /* not committed */
    cr_assert_eq(db_run(other, &ctx, "set lock_timeout = '100 ms'", &err), 0);
    cr_expect_eq(db_run(other, &ctx, REJECTING, &err), -1);
    cr_expect_eq(err.code, db_sqlstate("55P03"), "it is blocked: %s", err.text);
    AUTO_RESULT PGresult *none = take(other, want(1)); /* a claim is not */
    cr_assert_eq(db_commit(db, &ctx, &err), 0);
    cr_expect_eq(db_run(other, &ctx, REJECTING, &err), -1);
    cr_expect_eq(err.code, db_sqlstate("BE002"), "%s", err.text);
    end();
}

Test(claim_keys, cancel_running_ends_those_that_wait_and_asks_those_that_run) {
    begin("supersede");
    add_keyed("runs", "k", 1, "queue");
    AUTO_RESULT PGresult *held = take(db, want(1));
    run("update berth.jobs set status = 'running'");
    add_keyed("waits", "k", 1, "queue");
    add_keyed("of another key", "l", 1, "queue");
    cr_assert_eq(db_run(other, &ctx, "listen berth_work; listen berth_log", &err), 0);
    add_keyed("newest", "k", 1, "cancel_running");
    expect_text(
        "select string_agg(concat_ws('/', name, status, reason, cancel, cancel_reason,"
        " finished_at is not null), ' ' order by created_at) from berth.jobs where concurrency_key = 'k'",
        "runs/canceling/superseded/1/superseded/f waits/canceled/superseded/1/superseded/t "
        "newest/queued/0/f");
    expect_text("select count(*) from berth.jobs o join berth.jobs n on n.name = 'newest'"
                " and o.message like '%' || n.id || '%'",
                "2");
    expect_text("select status from berth.jobs where concurrency_key = 'l'", "queued");
    AUTO_RESULT PGresult *none = take(db, want(1));
    cr_expect_str_eq(names(none), "of another key", "the newest waits until the other has ended");
    cr_assert_eq(db_run(other, &ctx, "select 1", &err), 0);
    PQconsumeInput(other->conn);
    bool work = false, log = false;
    for (PGnotify *n; (n = PQnotifies(other->conn)); PQfreemem(n)) {
        work = work || (strcmp(n->relname, "berth_work") == 0 && strcmp(n->extra, "cancel") == 0);
        log = log || strcmp(n->relname, "berth_log") == 0;
    }
    cr_expect(work && log);
    end();
}

#define STATES                                                                                               \
    "select string_agg(concat_ws('/', name, status, cancel_reason), ' ' order by created_at) from "          \
    "berth.jobs"

/* Else tomorrow's run would end today's. */
Test(claim_keys, cancel_running_waits_for_the_time_of_a_job_that_is_scheduled) {
    struct claim c;
    begin("supersede_later");
    add_keyed("runs", "k", 1, "queue");
    AUTO_RESULT PGresult *held = take(db, want(1));
    run("update berth.jobs set status = 'running'");
    run("insert into berth.jobs (id, name, memory_bytes, spec, concurrency_key, concurrency_max, on_conflict,"
        " status, run_at) values"
        " (berth.uuid7(), 'later', 1, '{}', 'k', 1, 'cancel_running', 'scheduled', now() + interval '1 h'),"
        " (berth.uuid7(), 'last', 1, '{}', 'k', 1, 'cancel_running', 'scheduled', now() + interval '2 h')");
    claim_sweep(&c);
    tell(&c);
    expect_text(STATES, "runs/running later/scheduled last/scheduled");
    run("update berth.jobs set run_at = now() where name = 'later'");
    /* Not while somebody else decides on the key: the next sweep finds it again. */
    cr_assert_eq(db_begin(other, &ctx, &err), 0, "%s", err.text);
    cr_assert_eq(
        DB_EXEC(other, &ctx, "select pg_advisory_xact_lock(berth.key_lock('default', 'k'))", NULL, &err), 0,
        "%s", err.text);
    run("set statement_timeout = '10s'");
    tell(&c);
    expect_text(STATES, "runs/running later/scheduled last/scheduled");
    db_rollback(other, &ctx);
    tell(&c);
    expect_text(STATES, "runs/canceling/superseded later/queued last/scheduled");
    run("update berth.jobs set run_at = now() where name = 'last'");
    tell(&c);
    expect_text(STATES, "runs/canceling/superseded later/canceled/superseded last/queued");
    end();
}

Test(claim_keys, of_two_that_become_due_together_one_stays) {
    struct claim c;
    begin("supersede_due");
    run("insert into berth.jobs (id, name, memory_bytes, spec, concurrency_key, concurrency_max, on_conflict,"
        " status, run_at) select berth.uuid7(), 'j' || i, 1, '{}', 'k', 1, 'cancel_running', 'scheduled', "
        "now()"
        " from generate_series(1, 3) i");
    claim_sweep(&c);
    tell(&c);
    expect_text("select string_agg(status, ' ' order by status) from berth.jobs", "canceled canceled queued");
    end();
}

Test(claim_keys, cancel_running_keeps_the_newest_that_fit) {
    begin("supersede_some");
    add_keyed("a", "k", 3, "queue");
    add_keyed("b", "k", 3, "queue");
    add_keyed("c", "k", 3, "queue");
    add_keyed("d", "k", 3, "cancel_running");
    add_keyed("e", "k", 3, "cancel_running");
    expect_text("select string_agg(name, ' ' order by name) from berth.jobs where status = 'queued'",
                "c d e");
    end();
}

Test(claim_keys, orchestrators_are_told_when_a_key_is_free_and_when_a_retry_waits) {
    static const struct {
        const char *sql, *told;
    } steps[] = {
        {"update berth.jobs set status = 'running' where status = 'preparing'", ""},
        {"update berth.jobs set status = 'retrying' where status = 'running'", "later"},
        {"update berth.jobs set status = 'preparing' where status = 'retrying'", ""},
        {"update berth.jobs set status = 'failed' where status = 'preparing'", "jobs"},
        {"insert into berth.jobs (id, spec, status, run_at) values (berth.uuid7(), '{}', 'scheduled', now())",
         "later"},
    };
    begin("told");
    add_keyed("a", "k", 1, "queue");
    AUTO_RESULT PGresult *held = take(db, want(1));
    cr_assert_eq(db_run(other, &ctx, "listen berth_work", &err), 0);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        char told[16] = "";
        run(steps[i].sql);
        cr_assert_eq(db_run(other, &ctx, "select 1", &err), 0);
        for (PGnotify *n; (n = PQnotifies(other->conn)); PQfreemem(n))
            snprintf(told, sizeof told, "%s", n->extra);
        cr_expect_str_eq(told, steps[i].told, "%s: %s", steps[i].sql, told);
    }
    end();
}
