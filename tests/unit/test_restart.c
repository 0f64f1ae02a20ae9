#include <criterion/criterion.h>

#include "orchestrator/supervisor/restart.h"
#include "proto/child.h"

static const struct death broken = {.exited = true, .status = 1, .lived_ms = 5};
static const struct death killed = {.was_ready = true, .status = 9, .lived_ms = 60000};

Test(restart, one_that_has_worked_is_started_at_once) {
    struct restart r = {0};
    int64_t delay_ms = -1;
    cr_expect_eq(restart_decide(&r, &killed, 7, &delay_ms), RESTART_AGAIN);
    cr_expect_eq(delay_ms, 0);
    cr_expect_eq(r.failures, 0);
}

Test(restart, one_that_was_never_ready_waits_longer_each_time_within_bounds) {
    struct restart r = {0};
    int64_t ceiling_ms = RESTART_MIN_MS;
    for (int i = 0; i < 40; i++) {
        for (uint32_t random = 0; random < 100000; random += 997) {
            struct restart copy = r;
            int64_t delay_ms = -1;
            cr_expect_eq(restart_decide(&copy, &broken, random, &delay_ms), RESTART_AGAIN);
            cr_expect_leq(delay_ms, ceiling_ms, "death %d", i);
            cr_expect_geq(delay_ms, ceiling_ms / 2, "death %d", i);
        }
        int64_t ignored;
        restart_decide(&r, &broken, 0, &ignored);
        ceiling_ms = ceiling_ms * 2 < RESTART_MAX_MS ? ceiling_ms * 2 : RESTART_MAX_MS;
    }
    cr_expect_eq(ceiling_ms, RESTART_MAX_MS);
}

Test(restart, delays_of_the_same_death_differ) {
    int64_t a, b;
    struct restart r = {.failures = 20}, s = {.failures = 20};
    restart_decide(&r, &broken, 1, &a);
    restart_decide(&s, &broken, 4000, &b);
    cr_expect_neq(a, b);
}

Test(restart, work_takes_the_delay_away_again) {
    struct restart r = {.failures = 12};
    int64_t delay_ms = -1;
    restart_decide(&r, &killed, 3, &delay_ms);
    cr_expect_eq(delay_ms, 0);
    restart_decide(&r, &broken, 0, &delay_ms);
    cr_expect_leq(delay_ms, RESTART_MIN_MS);
}

Test(restart, ready_and_dead_in_the_same_moment_is_no_work) {
    struct restart r = {0};
    struct death d = {.was_ready = true, .exited = true, .status = 1, .lived_ms = RESTART_WORKED_MS - 1};
    int64_t delay_ms = 0;
    cr_expect_eq(restart_decide(&r, &d, 0, &delay_ms), RESTART_AGAIN);
    cr_expect_gt(delay_ms, 0);
}

Test(restart, wrong_settings_end_a_role_for_good_but_not_a_runner) {
    struct restart r = {0};
    struct death d = {.exited = true, .status = CHILD_EXIT_NEVER};
    int64_t delay_ms = 0;
    cr_expect_eq(restart_decide(&r, &d, 0, &delay_ms), RESTART_NEVER);
    d.may_end = true;
    cr_expect_eq(restart_decide(&r, &d, 0, &delay_ms), RESTART_AGAIN);
    cr_expect_eq(delay_ms, RESTART_MAX_MS);
    /* Killed by a signal of that number is something else. */
    d = (struct death){.exited = false, .status = CHILD_EXIT_NEVER};
    cr_expect_eq(restart_decide(&r, &d, 0, &delay_ms), RESTART_AGAIN);
}

Test(restart, only_a_runner_is_done_with_exit_0) {
    struct restart r = {0};
    struct death d = {.was_ready = true, .exited = true, .status = 0, .lived_ms = 5000, .may_end = true};
    int64_t delay_ms = 0;
    cr_expect_eq(restart_decide(&r, &d, 0, &delay_ms), RESTART_DONE);
    d.may_end = false;
    cr_expect_eq(restart_decide(&r, &d, 0, &delay_ms), RESTART_AGAIN);
    d.may_end = true;
    d.status = 1;
    cr_expect_eq(restart_decide(&r, &d, 0, &delay_ms), RESTART_AGAIN);
}

Test(restart, faults_are_counted_until_it_has_worked_and_absences_are_not) {
    struct restart r = {0};
    int64_t delay_ms;
    struct death bug = {.exited = true, .status = 1, .may_end = true};
    struct death away = {.exited = true, .status = 69, .may_end = true};
    struct death again = {.exited = true, .status = 75, .may_end = true};
    struct death killed = {.status = 11, .was_ready = true, .lived_ms = 10, .may_end = true};
    struct death worked = {.status = 11, .was_ready = true, .lived_ms = RESTART_WORKED_MS, .may_end = true};
    restart_decide(&r, &bug, 0, &delay_ms);
    restart_decide(&r, &away, 0, &delay_ms);
    restart_decide(&r, &again, 0, &delay_ms);
    restart_decide(&r, &killed, 0, &delay_ms);
    cr_expect_eq(r.faults, 2);
    cr_expect_eq(r.failures, 4);
    restart_decide(&r, &worked, 0, &delay_ms);
    cr_expect_eq(r.faults, 0);
}
