#include <criterion/criterion.h>
#include <string.h>

#include "base/cleanup.h"
#include "proto/status.h"

/* Written out here a second time, from the contract, so that a slip in the table is seen. */
static const struct {
    enum status status;
    const char *reasons[16];
} contract[] = {
    {STATUS_FAILED,
     {"exit_code", "signal", "oom", "command_not_found", "command_not_executable", "service_failed"}},
    {STATUS_ERRORED,
     {"image_not_found", "image_denied", "pull_failed", "spec_refused", "engine_unavailable",
      "engine_restarted", "container_removed", "container_killed", "host_restarted", "orchestrator_lost",
      "service_not_ready", "internal"}},
    {STATUS_TIMED_OUT,
     {"queue_deadline", "pull_deadline", "start_deadline", "run_deadline", "idle_deadline"}},
    {STATUS_CANCELED, {"requested", "superseded", "shutdown"}},
};

Test(status, each_reason_explains_the_status_of_the_contract) {
    int told = 0;
    for (size_t i = 0; i < ARRAY_LEN(contract); i++)
        for (const char *const *word = contract[i].reasons; *word; word++, told++) {
            enum reason reason = REASON_NONE;
            cr_expect(reason_parse(*word, &reason), "%s", *word);
            cr_expect_str_eq(reason_name(reason), *word);
            cr_expect_eq(reason_status(reason), contract[i].status, "%s", *word);
        }
    cr_expect_eq(told, REASON_COUNT - 1, "the table has a reason that the contract does not know");
}

Test(status, names_go_both_ways) {
    static const char *const words[] = {"scheduled", "queued",    "preparing", "running",
                                        "retrying",  "canceling", "lost",      "failed",
                                        "succeeded", "timed_out", "canceled",  "errored"};
    cr_expect_eq(ARRAY_LEN(words), STATUS_COUNT);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        enum status status = STATUS_COUNT;
        cr_expect(status_parse(words[i], &status), "%s", words[i]);
        cr_expect_str_eq(status_name(status), words[i]);
    }
}

Test(status, strangers_are_refused) {
    enum status status = STATUS_LOST;
    enum reason reason = REASON_OOM;
    static const char *const words[] = {"", "Running", "cancelled", "running ", NULL};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        cr_expect_not(status_parse(words[i], &status));
        cr_expect_not(reason_parse(words[i], &reason));
    }
    cr_expect_eq(status, STATUS_LOST, "untouched");
    cr_expect_eq(reason, REASON_OOM, "untouched");
    cr_expect_str_eq(status_name(STATUS_COUNT), "unknown");
    cr_expect_null(reason_name(REASON_NONE));
    cr_expect_null(reason_name(REASON_COUNT));
    cr_expect_eq(reason_status(REASON_NONE), STATUS_COUNT);
}

Test(status, the_five_terminal_ones) {
    static const enum status terminal[] = {STATUS_SUCCEEDED, STATUS_FAILED, STATUS_ERRORED, STATUS_TIMED_OUT,
                                           STATUS_CANCELED};
    size_t count = 0;
    for (unsigned s = 0; s < STATUS_COUNT; s++)
        count += status_is_terminal((enum status)s);
    cr_expect_eq(count, ARRAY_LEN(terminal));
    for (size_t i = 0; i < ARRAY_LEN(terminal); i++)
        cr_expect(status_is_terminal(terminal[i]));
}

Test(status, a_terminal_one_is_never_left) {
    for (unsigned from = 0; from < STATUS_COUNT; from++)
        for (unsigned to = 0; to < STATUS_COUNT; to++) {
            bool step = status_can_step((enum status)from, (enum status)to);
            if (status_is_terminal((enum status)from) || from == to)
                cr_expect_not(step, "%u to %u", from, to);
        }
}

Test(status, every_other_one_can_be_left_and_reached) {
    for (unsigned s = 0; s < STATUS_COUNT; s++) {
        bool left = false;
        bool reached = s == STATUS_SCHEDULED || s == STATUS_QUEUED; /* jobs begin there */
        for (unsigned other = 0; other < STATUS_COUNT; other++) {
            left = left || status_can_step((enum status)s, (enum status)other);
            reached = reached || status_can_step((enum status)other, (enum status)s);
        }
        cr_expect(reached, "%s", status_name((enum status)s));
        cr_expect_eq(left, !status_is_terminal((enum status)s), "%s", status_name((enum status)s));
    }
}

/* Cancel while queued, retrying or scheduled ends at once; while it runs it goes by way of canceling. */
Test(status, steps_that_matter) {
    cr_expect(status_can_step(STATUS_QUEUED, STATUS_CANCELED));
    cr_expect(status_can_step(STATUS_RUNNING, STATUS_CANCELING));
    cr_expect(status_can_step(STATUS_CANCELING, STATUS_SUCCEEDED), "it was faster than the cancel");
    cr_expect(status_can_step(STATUS_LOST, STATUS_RUNNING), "its host came back");
    cr_expect_not(status_can_step(STATUS_QUEUED, STATUS_RUNNING));
    cr_expect_not(status_can_step(STATUS_QUEUED, STATUS_SUCCEEDED));
    cr_expect_not(status_can_step(STATUS_CANCELING, STATUS_RUNNING));
    cr_expect_not(status_can_step(STATUS_COUNT, STATUS_RUNNING));
}

Test(status, infrastructure_is_what_a_repeat_can_mend) {
    for (unsigned r = 0; r < REASON_COUNT; r++)
        if (reason_is_infrastructure((enum reason)r))
            cr_expect_eq(reason_status((enum reason)r), STATUS_ERRORED, "%s", reason_name((enum reason)r));
    cr_expect(reason_is_infrastructure(REASON_PULL_FAILED));
    cr_expect(reason_is_infrastructure(REASON_ORCHESTRATOR_LOST));
    cr_expect_not(reason_is_infrastructure(REASON_IMAGE_NOT_FOUND));
    cr_expect_not(reason_is_infrastructure(REASON_SPEC_REFUSED));
    cr_expect_not(reason_is_infrastructure(REASON_NONE));
}
