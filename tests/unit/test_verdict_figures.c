#include <criterion/criterion.h>
#include <string.h>

#include "base/cleanup.h"
#include "runner/verdict.h"

static const struct spec spec = {.image = (char *)"app:v1", .limits = {.memory_bytes = 64 * 1024 * 1024}};

/* The longest texts there can be leave a message that is cut, not one that runs over. */
Test(verdict, a_message_is_bounded) {
    struct evidence e = {.spec = &spec,
                         .started = true,
                         .end_known = true,
                         .end = {.wait_status = 15, .oom_kills = 1},
                         .stop = REASON_SERVICE_FAILED,
                         .paused = true,
                         .others = {.oom_kills = 1}};
    struct verdict v;
    memset(e.stop_text, 'x', sizeof e.stop_text - 1);
    verdict_decide(&e, &v);
    cr_assert_lt(strlen(v.message), sizeof v.message);
}

/* init was killed, too, and nobody heard the engine's word: the attempt's control group has counted. */
Test(verdict, a_counter_of_the_whole_attempt) {
    struct evidence e = {.spec = &spec,
                         .others = {.oom_kills = 2},
                         .started = true,
                         .inspected = true,
                         .engine_exit_code = 137};
    struct verdict v;
    verdict_decide(&e, &v);
    cr_assert_eq(v.reason, REASON_OOM, "%s", v.message);
    cr_assert_not(strstr(v.message, "services"));
    e.kill_signal = 9;
    verdict_decide(&e, &v);
    cr_assert_eq(v.reason, REASON_CONTAINER_KILLED, "%s", v.message);
}

static const struct usage unknown = {-1, -1, -1, -1, -1};

Test(verdict, usage_is_inits_or_unknown) {
    struct evidence e = {.spec = &spec, .others = unknown, .started = true, .end_known = true};
    struct verdict v;
    e.end.cpu_us = 7;
    e.end.memory_peak_bytes = 8;
    e.end.pids_peak = 9;
    e.end.throttled_us = SPOOL_UNKNOWN;
    verdict_decide(&e, &v);
    cr_assert(v.usage.cpu_us == 7 && v.usage.memory_peak_bytes == 8 && v.usage.pids_peak == 9);
    cr_assert(v.usage.oom_kills == 0 && v.usage.throttled_us == -1);
    e.end_known = false;
    verdict_decide(&e, &v);
    cr_assert(v.usage.cpu_us == -1 && v.usage.memory_peak_bytes == -1 && v.usage.oom_kills == -1);
}

Test(verdict, usage_is_summed_over_all_containers) {
    struct evidence e = {.spec = &spec, .others = {100, 200, -1, 1, 5}, .started = true, .end_known = true};
    struct verdict v;
    e.end.cpu_us = 7;
    e.end.memory_peak_bytes = SPOOL_UNKNOWN;
    e.end.pids_peak = 9;
    e.end.throttled_us = 3;
    verdict_decide(&e, &v);
    cr_assert(v.usage.cpu_us == 107 && v.usage.memory_peak_bytes == 200 && v.usage.pids_peak == 9);
    cr_assert(v.usage.oom_kills == 1 && v.usage.throttled_us == 8);
    e.end_known = false;
    verdict_decide(&e, &v);
    cr_assert(v.usage.cpu_us == 100 && v.usage.pids_peak == -1 && v.usage.throttled_us == 5);
}

Test(verdict, what_the_engine_refuses) {
    static const struct {
        int status;
        const char *text;
        enum reason reason;
    } answers[] = {
        {400, "Range of CPUs is from 0.01 to 2.00", REASON_SPEC_REFUSED},
        {500, "unable to find user nosuchuser: no matching entries in passwd file", REASON_SPEC_REFUSED},
        {500, "Cannot mkdir: /etc/passwd is not a directory", REASON_SPEC_REFUSED},
        {500, "source /var/lib/docker/overlay2/6162/merged/etc/passwd is not directory", REASON_SPEC_REFUSED},
        {500, "no space left on device", REASON_INTERNAL},
        {503, "", REASON_INTERNAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(answers); i++)
        cr_expect_eq(verdict_refusal(answers[i].status, answers[i].text), answers[i].reason, "%s",
                     answers[i].text);
}
