/* What the database refuses: of one job for ever, or of whoever comes at this moment. */
#include "tests/integration/scribe_world.h"

Test(scribe_refused, one_that_the_database_refuses_is_given_up_and_the_others_go_on) {
    setup("refused");
    run_sql("alter table berth.log_chunks add constraint no_poison check (position('poison'::bytea in bytes) "
            "= 0)",
            NULL);
    struct job *jobs[9];
    for (int i = 0; i < 9; i++) {
        jobs[i] = new_job(LIMIT_BYTES);
        start(jobs[i]);
        says(jobs[i], i == 4 ? "this is poison" : "this is not");
    }
    start_scribe();
    for (int i = 0; i < 9; i++)
        if (i != 4)
            until_shipped(jobs[i]);
    until("select cancel from berth.jobs where id = $1", jobs[4]->attempt->job, "1");
    for (int i = 0; i < 9; i++)
        end(jobs[i]);
    for (int i = 0; i < 9; i++)
        until_status(jobs[i], i == 4 ? "errored" : "succeeded");
    EXPECT_ANSWER(jobs[4], "select reason || (message ~ 'no_poison') from berth.jobs where id = $1",
                  "internaltrue");
    EXPECT_ANSWER(jobs[4], "select log_complete from berth.attempts where job_id = $1", "f");
    for (int i = 0; i < 9; i++) {
        if (i != 4)
            expect_log_exact(jobs[i]);
        until_gone(jobs[i]->name);
        free_job(jobs[i]);
    }
    teardown();
}

Test(scribe_refused, a_row_that_cannot_be_read_holds_up_no_others) {
    setup("badrow");
    struct job *bad = new_job(LIMIT_BYTES), *good = new_job(LIMIT_BYTES);
    run_sql("update berth.attempts set log_sha_state = decode(repeat('00', 200), 'hex') where job_id = $1",
            bad->attempt->job);
    start(bad);
    start(good);
    end(bad);
    end(good);
    start_scribe();
    until_status(good, "succeeded");
    until_gone(good->name);
    cr_expect(has_file(bad, ATTEMPT_SPOOL));
    EXPECT_ANSWER(bad, STATUS_SQL, "preparing");
    free_job(bad);
    free_job(good);
    teardown();
}

/* Whoever waits for the default partition is refused when its day gets one of its own (PostgreSQL's
 * ExecFindPartition): the chunk is stored with the next try. */
Test(scribe_refused, a_day_that_gets_its_partition_meanwhile_costs_nothing) {
    setup("day");
    struct job *job = new_job(LIMIT_BYTES);
    start_scribe();
    start(job);
    until_status(job, "running");
    run_sql("begin", NULL);
    run_sql("select berth.make_log_days(3)", NULL);
    says(job, "said while the day is made");
    until_someone_waits_for_a_lock();
    run_sql("commit", NULL);
    until_shipped(job);
    end(job);
    until_status(job, "succeeded");
    EXPECT_ANSWER(job, "select count(*) from berth.log_chunks_default where $1 <> ''", "0");
    expect_log_exact(job);
    free_job(job);
    teardown();
}

/* Ours waits for so long before it looks for a deadlock that the scribe is the one to find it. */
Test(scribe_refused, a_deadlock_costs_nothing) {
    setup("deadlock");
    run_sql("set deadlock_timeout = '10min'", NULL);
    struct job *job = new_job(LIMIT_BYTES);
    start_scribe();
    start(job);
    until_status(job, "running");
    run_sql("begin", NULL);
    run_sql("select from berth.jobs where id = $1 for update", job->attempt->job);
    says(job, "said in a deadlock");
    end(job);
    until_someone_waits_for_a_lock();
    run_sql("update berth.attempts set log_expired = false where job_id = $1", job->attempt->job);
    run_sql("commit", NULL);
    until_status(job, "succeeded");
    until("select deadlocks from pg_stat_database where datname = current_database() and $1 <> ''", "x", "1");
    expect_log_exact(job);
    free_job(job);
    teardown();
}
