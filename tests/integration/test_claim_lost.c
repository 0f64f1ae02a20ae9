#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "orchestrator/db/ship.h"
#include "tests/integration/claim_rig.h"

enum { LONG_MS = 3600000 };

/* "two" has the job "a", started or not. Results are the caller's. */
static PGresult *taken_by_two(bool started) {
    static const struct claim_beat said = {.slots = 4};
    struct claim_want w = want(1);
    struct claim c;
    claim_heartbeat(&c, &two, &said);
    tell(&c);
    add("a", 0, 1, 0);
    w.self = two;
    PGresult *r = take(db, w);
    cr_assert_eq(PQntuples(r), 1);
    if (started)
        run("update berth.attempts set started_at = now(); update berth.jobs set status = 'running'");
    return r;
}

static void silence_two(void) {
    run("update berth.orchestrators set heartbeat_at = now() - interval '20 s' where name = 'two'");
}

static struct claim_judged judge(const char *name, int64_t connected_ms) {
    struct claim c;
    claim_judge(&c, name, connected_ms);
    AUTO_RESULT PGresult *r = ask(db, &c);
    return claim_judged(r);
}

static void expect_judged(const char *name, int64_t connected_ms, int64_t freed, int64_t lost) {
    struct claim_judged judged = judge(name, connected_ms);
    cr_expect_eq(judged.freed, freed, "%lld freed", (long long)judged.freed);
    cr_expect_eq(judged.lost, lost, "%lld lost", (long long)judged.lost);
}

static int64_t beat_of_two(void) {
    static const struct claim_beat beat = {.slots = 4};
    struct claim c;
    claim_heartbeat(&c, &two, &beat);
    AUTO_RESULT PGresult *r = ask(db, &c);
    cr_assert_eq(PQntuples(r), 1);
    return claim_come_back(r);
}

static int given_up(int64_t lost_after_ms) {
    char sql[128];
    struct claim c;
    snprintf(sql, sizeof sql,
             "update berth.orchestrators set lost_after = %d * interval '1 ms' where name = 'two'",
             (int)lost_after_ms);
    run(sql);
    claim_given_up(&c, "one", 1); /* ours counts only where the owner's is not known */
    AUTO_RESULT PGresult *r = ask(db, &c);
    return PQntuples(r);
}

#define JOB "select concat_ws('/', status, reason, coalesce(orchestrator, 'nobody'), attempt) from berth.jobs"
#define ATTEMPT                                                                                              \
    "select concat_ws('/', status, reason, log_complete, finished_at is not null) from berth.attempts"       \
    " order by id limit 1"

Test(claim_lost, nobody_is_judged_too_early) {
    begin("early");
    AUTO_RESULT PGresult *r = taken_by_two(true);
    expect_judged("one", LONG_MS, 0, 0);
    silence_two();
    expect_judged("one", 14999, 0, 0); /* we were away for as long ourselves */
    expect_judged("two", LONG_MS, 0, 0);
    run("update berth.orchestrators set detached_until = now() + interval '1 s' where name = 'two'");
    expect_judged("one", LONG_MS, 0, 0);
    run("update berth.orchestrators set detached_until = now() - interval '1 s' where name = 'two'");
    expect_judged("one", 15000, 0, 1);
    expect_judged("one", 15000, 0, 0);
    expect_text(JOB, "lost/orchestrator_lost/two/1");
    expect_text("select message like 'orchestrator two has not been heard of since 20%Z; %' from berth.jobs",
                "t");
    expect_text("select finished_at is null from berth.attempts", "t");
    end();
}

Test(claim_lost, what_has_not_started_goes_to_others_and_its_owner_is_fenced) {
    struct claim c;
    begin("unstarted");
    AUTO_RESULT PGresult *r = taken_by_two(false);
    struct claim_job old = claim_row(r, 0);
    silence_two();
    expect_judged("one", LONG_MS, 1, 0);
    expect_text(JOB, "queued/nobody/1");
    expect_text(ATTEMPT, "errored/orchestrator_lost/f/t");
    AUTO_RESULT PGresult *again = take(db, want(1));
    cr_assert_eq(PQntuples(again), 1);
    cr_expect_eq(claim_row(again, 0).number, 2);
    cr_expect_gt(claim_row(again, 0).token, old.token);
    /* The old owner comes back. */
    cr_expect_eq(beat_of_two(), 0);
    claim_owned(&c, &two);
    AUTO_RESULT PGresult *owned = ask(db, &c);
    cr_assert_eq(PQntuples(owned), 1);
    cr_expect_null(claim_owned_row(owned, 0).job);
    claim_release(&c, &old);
    tell(&c);
    claim_refuse(&c, &old, REASON_INTERNAL, "stranger");
    tell(&c);
    expect_text(JOB, "preparing/one/2");
    end();
}

/* The user's retries are for what has begun. */
Test(claim_lost, an_attempt_that_never_started_is_no_retry_and_the_next_one_has_as_long_to_begin) {
    struct claim c;
    begin("no_retry");
    AUTO_RESULT PGresult *r = taken_by_two(false);
    run("update berth.jobs set created_at = now() - interval '50 s',"
        " queue_deadline_at = now() - interval '20 s'");
    silence_two();
    expect_judged("one", LONG_MS, 1, 0);
    expect_text("select queue_deadline_at between now() + interval '25 s' and now() + interval '30 s'"
                " from berth.jobs",
                "t");
    for (int number = 2; number <= 3; number++) { /* the second one is given up, the third one too */
        struct claim_want w = want(1);
        w.self = two;
        beat_of_two();
        AUTO_RESULT PGresult *again = take(db, w);
        cr_assert_eq(PQntuples(again), 1);
        struct claim_job job = claim_row(again, 0);
        struct ship_key key = {.job = job.job, .number = number, .id = job.attempt_id, .token = job.token};
        struct ship_attempt known;
        cr_assert_eq(ship_load(db, &ctx, &key, &known, &err), 0, "%s", err.text);
        cr_expect_eq(known.freed, 1);
        run("update berth.attempts set started_at = now() where finished_at is null;"
            " update berth.jobs set status = 'running'");
        silence_two();
        expect_judged("one", LONG_MS, 0, 1);
        run("update berth.events set at = at - interval '5 s'");
        claim_given_up(&c, "one", 5000);
        AUTO_RESULT PGresult *given = ask(db, &c);
        cr_assert_eq(PQntuples(given), 1);
        cr_expect_eq(claim_lost_row(given, 0).job.number, number);
        cr_expect_eq(claim_lost_row(given, 0).freed, 1);
        claim_end_lost(&c, &job, "gone", 0, 60000);
        tell(&c);
        run("delete from berth.events");
    }
    end();
}

Test(claim_lost, one_that_was_to_be_canceled_does_not_go_back_to_the_queue) {
    begin("canceled");
    AUTO_RESULT PGresult *r = taken_by_two(false);
    run("update berth.jobs set cancel = 1");
    silence_two();
    expect_judged("one", LONG_MS, 0, 0);
    expect_text(JOB, "canceled/requested/nobody/1");
    end();
}

Test(claim_lost, an_owner_that_comes_back_in_time_goes_on) {
    static const struct {
        const char *before, *after;
    } rows[] = {
        {"update berth.attempts set started_at = now(); update berth.jobs set status = 'running'",
         "running/two/1"},
        {"update berth.jobs set status = 'canceling', reason = 'requested', cancel = 1",
         "canceling/requested/two/1"},
    };
    begin("back");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct claim c;
        AUTO_RESULT PGresult *r = taken_by_two(false);
        run(rows[i].before);
        silence_two();
        expect_judged("one", LONG_MS, 0, 1);
        claim_owned(&c, &two);
        AUTO_RESULT PGresult *owned = ask(db, &c);
        cr_expect_eq(PQntuples(owned), 1, "a lost one is still its own");
        cr_expect_eq(beat_of_two(), 1);
        expect_text(JOB, rows[i].after);
        cr_expect_eq(beat_of_two(), 0);
        run("delete from berth.jobs");
    }
    end();
}

/* Else each of them would begin the time anew that a lost one has to come back. */
Test(claim_lost, one_that_is_canceled_or_superseded_stays_lost_until_its_owner_or_its_end_comes) {
    begin("lost_canceled");
    for (int superseded = 0; superseded < 2; superseded++) {
        AUTO_RESULT PGresult *r = taken_by_two(true);
        struct claim_job job = claim_row(r, 0);
        silence_two();
        expect_judged("one", LONG_MS, 0, 1);
        run("update berth.events set at = at - interval '5 s'");
        if (superseded)
            expect_text("select berth.supersede(id, berth.uuid7()) from berth.jobs", "t");
        else
            cancel_job(job.job);
        expect_text(JOB, "lost/orchestrator_lost/two/1");
        expect_text("select concat_ws('/', cancel, cancel_reason, finished_at is null) from berth.jobs",
                    superseded ? "1/superseded/t" : "1/requested/t");
        expect_text("select message like '%not heard of%' from berth.jobs", "t");
        expect_judged("one", LONG_MS, 0, 0);
        cr_expect_eq(given_up(5000), 1);
        cr_expect_eq(beat_of_two(), 1);
        expect_text(JOB, superseded ? "canceling/superseded/two/1" : "canceling/requested/two/1");
        run("delete from berth.jobs; delete from berth.events");
    }
    end();
}

/* As the journal's steps are told by a scribe that works while its parent is not heard of. */
Test(claim_lost, one_that_was_canceled_while_lost_does_not_go_on_as_running) {
    static const struct journal journal = {.time_us = {[JOURNAL_STARTED] = 1}};
    begin("lost_steps");
    for (int canceled = 0; canceled < 2; canceled++) {
        AUTO_RESULT PGresult *r = taken_by_two(true);
        struct claim_job job = claim_row(r, 0);
        struct ship_key key = {.job = job.job, .number = 1, .id = job.attempt_id, .token = job.token};
        silence_two();
        expect_judged("one", LONG_MS, 0, 1);
        if (canceled)
            cancel_job(job.job);
        cr_assert_eq(ship_steps(db, &ctx, &key, &journal, NULL, &err), 0, "%s", err.text);
        expect_text(JOB, canceled ? "canceling/requested/two/1" : "running/two/1");
        run("delete from berth.jobs");
    }
    end();
}

static void end_lost(struct db *on, const struct claim_job *job, int64_t retry_ms) {
    struct claim c;
    claim_end_lost(&c, job, "gone", retry_ms, 60000);
    PQclear(ask(on, &c));
}

Test(claim_lost, after_a_while_it_ends_or_waits_for_its_next_attempt) {
    static const struct {
        int64_t retry_ms;
        int cancel;
        const char *job;
    } rows[] = {{-1, 0, "errored/orchestrator_lost/two/1"},
                {5000, 0, "retrying/orchestrator_lost/nobody/1"},
                {5000, 1, "errored/orchestrator_lost/two/1"}};
    begin("given_up");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char sql[64];
        AUTO_RESULT PGresult *r = taken_by_two(true);
        struct claim_job job = claim_row(r, 0);
        silence_two();
        expect_judged("one", LONG_MS, 0, 1);
        cr_expect_eq(given_up(5000), 0);
        run("update berth.events set at = at - interval '5 s'");
        cr_expect_eq(given_up(5000), 1);
        snprintf(sql, sizeof sql, "update berth.jobs set cancel = %d", rows[i].cancel);
        run(sql);
        struct claim_job stranger = job;
        stranger.token++;
        end_lost(db, &stranger, rows[i].retry_ms);
        expect_text(JOB, "lost/orchestrator_lost/two/1");
        end_lost(db, &job, rows[i].retry_ms);
        end_lost(other, &job, rows[i].retry_ms); /* repeatable */
        expect_text(JOB, rows[i].job);
        expect_text(ATTEMPT, "errored/orchestrator_lost/f/t");
        expect_text(
            "select case when status = 'retrying' then concat_ws('/', retry_at > now(),"
            " queue_deadline_at - retry_at, finished_at is null) else (finished_at is not null)::text end"
            " from berth.jobs",
            strncmp(rows[i].job, "retrying", 8) == 0 ? "t/00:01:00/t" : "true");
        cr_expect_eq(beat_of_two(), 0, "it comes too late");
        run("delete from berth.jobs; delete from berth.events");
    }
    end();
}

Test(claim_lost, an_owner_that_has_come_back_keeps_its_job) {
    begin("kept");
    AUTO_RESULT PGresult *r = taken_by_two(true);
    struct claim_job job = claim_row(r, 0);
    silence_two();
    expect_judged("one", LONG_MS, 0, 1);
    cr_expect_eq(beat_of_two(), 1);
    end_lost(db, &job, -1);
    expect_text(JOB, "running/two/1");
    expect_text("select finished_at is null from berth.attempts", "t");
    end();
}

/* Whoever is first, job and attempt say the same. */
Test(claim_lost, its_end_and_its_owner_at_the_same_time) {
    static const struct claim_beat beat = {.slots = 4};
    begin("race");
    for (int owner_first = 0; owner_first < 2; owner_first++) {
        struct claim owner, ending;
        struct at_once all;
        AUTO_RESULT PGresult *r = taken_by_two(true);
        struct claim_job job = claim_row(r, 0);
        silence_two();
        expect_judged("one", LONG_MS, 0, 1);
        claim_end_lost(&ending, &job, "gone", -1, 0);
        claim_heartbeat(&owner, &two, &beat);
        cr_assert_eq(db_begin(db, &ctx, &err), 0);
        PQclear(ask(db, owner_first ? &owner : &ending));
        ask_until_blocked(owner_first ? &ending : &owner, 1, &all);
        cr_assert_eq(db_commit(db, &ctx, &err), 0);
        ask_to_the_end();
        cr_assert(all.results[0], "%s", all.errs[0].text);
        at_once_done(&all);
        expect_text("select concat_ws('/', j.status, a.finished_at is null) from berth.jobs j"
                    " join berth.attempts a on a.job_id = j.id",
                    owner_first ? "running/t" : "errored/f");
        run("delete from berth.jobs");
    }
    end();
}

Test(claim_lost, one_that_has_started_without_its_job_saying_so_is_lost) {
    begin("started");
    AUTO_RESULT PGresult *r = taken_by_two(false);
    run("update berth.attempts set started_at = now()");
    silence_two();
    expect_judged("one", LONG_MS, 0, 1);
    expect_text("select finished_at is null from berth.attempts", "t");
    end();
}

/* Licensed: it may have begun, whatever the scribe has told yet. */
Test(claim_lost, one_that_may_have_begun_is_lost_and_one_that_was_given_away_may_not_begin) {
    begin("licensed");
    for (int licensed = 0; licensed < 2; licensed++) {
        struct claim c;
        char wanted[128];
        AUTO_RESULT PGresult *r = taken_by_two(false);
        snprintf(wanted, sizeof wanted, "[{\"job\":\"%s\",\"number\":1}]", claim_row(r, 0).job);
        claim_license(&c, &one, wanted);
        AUTO_RESULT PGresult *strangers = ask(db, &c);
        cr_expect_eq(PQntuples(strangers), 0);
        if (!licensed)
            silence_two();
        if (!licensed)
            expect_judged("one", LONG_MS, 1, 0);
        for (int i = 0; i < 2; i++) { /* repeatable */
            claim_license(&c, &two, wanted);
            AUTO_RESULT PGresult *given = ask(db, &c);
            cr_assert_eq(PQntuples(given), licensed);
            if (licensed)
                cr_expect_str_eq(claim_owned_row(given, 0).job, claim_row(r, 0).job);
        }
        silence_two();
        if (licensed)
            expect_judged("one", LONG_MS, 0, 1);
        expect_text(JOB, licensed ? "lost/orchestrator_lost/two/1" : "queued/nobody/1");
        run("delete from berth.jobs");
    }
    end();
}

/* Whoever is first: never both. */
Test(claim_lost, its_license_and_its_judge_at_the_same_time) {
    begin("license_race");
    for (int judge_first = 0; judge_first < 2; judge_first++) {
        struct claim license, judging;
        struct at_once all;
        char wanted[128];
        AUTO_RESULT PGresult *r = taken_by_two(false);
        snprintf(wanted, sizeof wanted, "[{\"job\":\"%s\",\"number\":1}]", claim_row(r, 0).job);
        silence_two();
        claim_license(&license, &two, wanted);
        claim_judge(&judging, "one", LONG_MS);
        cr_assert_eq(db_begin(db, &ctx, &err), 0);
        PQclear(ask(db, judge_first ? &judging : &license));
        if (judge_first)
            ask_until_blocked(&license, 1, &all);
        else
            ask_at_once(&judging, 1, &all); /* which passes over it */
        cr_assert_eq(db_commit(db, &ctx, &err), 0);
        ask_to_the_end();
        cr_assert(all.results[0], "%s", all.errs[0].text);
        if (judge_first)
            cr_expect_eq(PQntuples(all.results[0]), 0);
        else
            cr_expect_eq(claim_judged(all.results[0]).freed + claim_judged(all.results[0]).lost, 0);
        at_once_done(&all);
        expect_text(JOB, judge_first ? "queued/nobody/1" : "preparing/two/1");
        run("delete from berth.jobs");
    }
    end();
}

Test(claim_lost, two_judges_at_once_and_an_owner_that_starts_meanwhile, .timeout = 150) {
    enum { ROUNDS = 40, JUDGES = 2 };
    begin("judges");
    for (int round = 0; round < ROUNDS; round++) {
        struct claim claims[JUDGES + 1];
        struct at_once all;
        AUTO_RESULT PGresult *r = taken_by_two(false);
        silence_two();
        for (int i = 0; i < JUDGES; i++)
            claim_judge(&claims[i], i ? "one" : "three", LONG_MS);
        claims[JUDGES] = (struct claim){
            /* as the scribe tells it */
            .sql = "with a as (update berth.attempts set started_at = now() where finished_at is null"
                   "   returning job_id, number)"
                   " update berth.jobs j set status = 'running' from a where j.id = a.job_id"
                   "   and j.attempt = a.number and j.status in ('preparing', 'lost')"};
        ask_at_once(claims, JUDGES + 1, &all);
        int64_t freed = 0;
        for (int i = 0; i < JUDGES; i++) {
            cr_assert(all.results[i], "%s", all.errs[i].text);
            freed += claim_judged(all.results[i]).freed;
        }
        at_once_done(&all);
        char *got = text_of("select concat_ws('/', j.status, a.started_at is null, a.finished_at is null)"
                            " from berth.jobs j join berth.attempts a on a.job_id = j.id");
        cr_assert(strcmp(got, freed ? "queued/t/f" : "running/f/t") == 0 || strcmp(got, "lost/f/t") == 0,
                  "round %d: %s", round, got);
        run("delete from berth.jobs");
    }
    end();
}
