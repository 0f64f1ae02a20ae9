#include <criterion/criterion.h>

#include "proto/retry.h"

static char *words[SPEC_RETRY_WORDS_MAX];
static struct spec spec;
static struct verdict verdict;

/* Two repeats, 1 s and then 2 s, at most 3 s, for whatever the test names. */
static void begin(void) {
    spec = (struct spec){
        .retry = {
            .max = 2, .delay_ms = 1000, .factor_milli = 2000, .max_delay_ms = 3000, .on = {.items = words}}};
    verdict = (struct verdict){.status = STATUS_FAILED, .reason = REASON_EXIT_CODE, .exit_code = 1};
}

TestSuite(retry, .init = begin);

static void on(const char *word) {
    words[spec.retry.on.count++] = (char *)word;
}

static bool repeated(enum reason reason) {
    verdict = (struct verdict){.status = reason_status(reason), .reason = reason, .exit_code = 75};
    return retry_delay_ms(&spec, &verdict, 1, 0) >= 0;
}

Test(retry, only_as_often_as_asked) {
    on("failed");
    cr_expect_eq(retry_delay_ms(&spec, &verdict, 1, 0), 1000);
    cr_expect_eq(retry_delay_ms(&spec, &verdict, 2, 0), 2000);
    cr_expect_eq(retry_delay_ms(&spec, &verdict, 3, 0), -1);
    cr_expect_eq(retry_delay_ms(&spec, &verdict, 0, 0), -1);
    spec.retry.max = 0;
    cr_expect_eq(retry_delay_ms(&spec, &verdict, 1, 0), -1);
}

Test(retry, delays_grow_to_their_bound) {
    static const int64_t want[] = {1000, 2000, 3000, 3000, 3000};
    on("failed");
    spec.retry.max = SPEC_RETRY_MAX;
    for (int i = 0; i < 5; i++)
        cr_expect_eq(retry_delay_ms(&spec, &verdict, i + 1, 0), want[i], "%d", i + 1);
    cr_expect_eq(retry_delay_ms(&spec, &verdict, SPEC_RETRY_MAX, 0), 3000);
    spec.retry.factor_milli = 1500;
    cr_expect_eq(retry_delay_ms(&spec, &verdict, 3, 0), 2250);
    spec.retry.factor_milli = 1000;
    cr_expect_eq(retry_delay_ms(&spec, &verdict, SPEC_RETRY_MAX, 0), 1000);
    spec.retry.delay_ms = 0;
    cr_expect_eq(retry_delay_ms(&spec, &verdict, SPEC_RETRY_MAX, UINT32_MAX), 0);
}

Test(retry, the_largest_numbers_do_not_overflow) {
    on("failed");
    spec.retry.max = SPEC_RETRY_MAX;
    spec.retry.delay_ms = 1;
    spec.retry.factor_milli = 100000;
    spec.retry.max_delay_ms = INT64_MAX / 2;
    cr_expect_eq(retry_delay_ms(&spec, &verdict, SPEC_RETRY_MAX, 0), INT64_MAX / 2);
}

Test(retry, chance_adds_at_most_a_tenth) {
    on("failed");
    bool differ = false;
    for (uint32_t random = 0; random < 3000000000U; random += 98765432U) {
        int64_t delay = retry_delay_ms(&spec, &verdict, 1, random);
        cr_expect(delay >= 1000 && delay <= 1100, "%lld", (long long)delay);
        differ = differ || delay != 1000;
    }
    cr_expect(differ);
}

Test(retry, by_reason) {
    on("oom");
    cr_expect(repeated(REASON_OOM));
    cr_expect_not(repeated(REASON_EXIT_CODE));
    cr_expect_not(repeated(REASON_PULL_FAILED));
}

Test(retry, by_status) {
    on("timed_out");
    cr_expect(repeated(REASON_RUN_DEADLINE) && repeated(REASON_IDLE_DEADLINE));
    cr_expect_not(repeated(REASON_OOM));
    on("errored");
    cr_expect(repeated(REASON_IMAGE_NOT_FOUND));
}

Test(retry, by_infrastructure) {
    on("infrastructure");
    for (enum reason reason = REASON_NONE + 1; reason < REASON_COUNT; reason++)
        cr_expect_eq(repeated(reason), reason_is_infrastructure(reason), "%s", reason_name(reason));
}

Test(retry, by_exit_code) {
    spec.retry.exit_codes[0] = 3;
    spec.retry.exit_codes[1] = 75;
    spec.retry.exit_codes_count = 2;
    cr_expect(repeated(REASON_EXIT_CODE));
    cr_expect_not(repeated(REASON_RUN_DEADLINE), "what it exited with on being stopped is not its own word");
    verdict = (struct verdict){.status = STATUS_FAILED, .reason = REASON_EXIT_CODE, .exit_code = 4};
    cr_expect_eq(retry_delay_ms(&spec, &verdict, 1, 0), -1);
    verdict = (struct verdict){.status = STATUS_FAILED, .reason = REASON_SIGNAL, .exit_code = -1};
    cr_expect_eq(retry_delay_ms(&spec, &verdict, 1, 0), -1);
}

Test(retry, never_after_a_cancel_or_a_success) {
    on("failed");
    on("errored");
    on("canceled");
    on("requested");
    on("succeeded");
    cr_expect_not(repeated(REASON_REQUESTED) || repeated(REASON_SUPERSEDED) || repeated(REASON_SHUTDOWN));
    verdict = (struct verdict){.status = STATUS_SUCCEEDED, .exit_code = 0};
    cr_expect_eq(retry_delay_ms(&spec, &verdict, 1, 0), -1);
}
