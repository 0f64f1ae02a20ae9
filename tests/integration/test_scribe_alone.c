/* Attempts that the scribe leaves alone: of another database, or such as never started. */
#include "tests/integration/scribe_world.h"

static void make_database_anew(void) {
    run_sql("update berth.cluster set id = gen_random_uuid()", NULL);
    run_sql("delete from berth.jobs", NULL);
}

Test(scribe_alone, attempts_of_another_database_are_left_alone) {
    setup("foreign");
    struct job *foreign = new_job(LIMIT_BYTES);
    start(foreign);
    says(foreign, "stored nowhere yet");
    make_database_anew();
    snprintf(cluster, ATTEMPT_ID_MAX, "%.36s", ask(CLUSTER_SQL, "1"));
    struct job *ours = new_job(LIMIT_BYTES);
    start(ours);
    says(ours, "ours");
    end(ours);
    start_scribe();
    until_gone(ours->name);
    EXPECT_ANSWER(ours, STATUS_SQL, "succeeded");
    cr_expect(has_file(foreign, ATTEMPT_SPEC));
    cr_expect(has_file(foreign, ATTEMPT_SPOOL));
    free_job(foreign);
    free_job(ours);
    teardown();
}

Test(scribe_alone, a_database_made_anew_while_the_parent_lives_is_not_believed) {
    setup("anew");
    struct job *job = new_job(LIMIT_BYTES);
    start(job);
    make_database_anew();
    start_scribe();
    until(
        "select count(*) > 0 from pg_stat_activity where application_name = 'berth:test:scribe' and state = "
        "'idle' and query = $1",
        "select id from berth.cluster", "t");
    cr_expect_eq(reap(), 0);
    scribe = 0;
    cr_expect(has_file(job, ATTEMPT_SPOOL));
    free_job(job);
    teardown();
}

Test(scribe_alone, an_attempt_that_never_started_is_no_retry) {
    setup("no_retry");
    start_scribe();
    struct job *job =
        new_attempt_of("{\"image\": \"x\", \"retry\": {\"max\": 1, \"delay\": \"100s\"}}", LIMIT_BYTES, 2);
    start(job);
    struct spool_end last = {.wait_status = 7 << 8};
    put(job, SPOOL_END, 0, &last, sizeof last);
    judge(job, STATUS_FAILED, REASON_EXIT_CODE, 7);
    until_status(job, "retrying");
    until("select message like 'Attempt 2 of 3 ended as failed (exit_code)%' from berth.jobs where id = $1",
          job->attempt->job, "t");
    free_job(job);
    teardown();
}
