/* What the reaper may remove, and what it must not. */
#include <criterion/criterion.h>
#include <string.h>

#include "orchestrator/reaper/judge.h"

#define JOB "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"

/* The attempt that is live, or NULL. */
static bool only(const void *arg, const char *name) {
    return arg && strcmp(arg, name) == 0;
}

static const char *judge(const char *live, struct judge_thing thing) {
    return judge_orphan(&thing, only, live);
}

Test(judge, what_belongs_to_a_live_attempt_stays) {
    cr_assert_null(judge(JOB ".3", (struct judge_thing){.role = "main", .job = JOB, .attempt = "3"}));
    cr_assert_null(judge(JOB ".3", (struct judge_thing){.role = "service", .job = JOB, .attempt = "3"}));
    cr_assert_null(judge(JOB ".3", (struct judge_thing){.job = JOB, .attempt = "3"}));
}

Test(judge, another_attempt_of_the_same_job_goes) {
    cr_assert_not_null(judge(JOB ".3", (struct judge_thing){.role = "main", .job = JOB, .attempt = "2"}));
    cr_assert_not_null(judge(NULL, (struct judge_thing){.role = "main", .job = JOB, .attempt = "3"}));
}

Test(judge, labels_that_name_no_attempt_go) {
    static const struct judge_thing broken[] = {
        {.role = "main"},
        {.role = "main", .job = JOB},
        {.role = "main", .job = "no uuid", .attempt = "1"},
        {.role = "main", .job = JOB, .attempt = "0"},
        {.role = "main", .job = JOB, .attempt = "1x"},
        {.role = "main", .job = JOB, .attempt = ""},
        {.role = "main", .job = JOB, .attempt = "99999999999999999999"},
        {0},
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        cr_assert_not_null(judge(JOB ".1", broken[i]), "row %zu", i);
}

Test(judge, the_shared_network_stays) {
    cr_assert_null(judge(NULL, (struct judge_thing){.role = "network"}));
}

Test(judge, a_private_network_goes_with_its_attempt) {
    cr_assert_null(judge(JOB ".3", (struct judge_thing){.role = "private", .job = JOB, .attempt = "3"}));
    cr_assert_not_null(judge(NULL, (struct judge_thing){.role = "private", .job = JOB, .attempt = "3"}));
}

Test(judge, only_an_old_probe_goes) {
    cr_assert_null(judge(NULL, (struct judge_thing){.role = "probe", .age_s = JUDGE_PROBE_AGE_MAX_S}));
    cr_assert_not_null(
        judge(NULL, (struct judge_thing){.role = "probe", .age_s = JUDGE_PROBE_AGE_MAX_S + 1}));
    /* A clock that was set back makes nothing old. */
    cr_assert_null(judge(NULL, (struct judge_thing){.role = "probe", .age_s = -5}));
}
