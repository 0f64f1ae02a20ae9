#include <criterion/criterion.h>
#include <stdio.h>

#include "orchestrator/supervisor/children.h"
#include "orchestrator/supervisor/obituary.h"

static struct children table;

Test(children, an_attempt_has_one_runner) {
    struct child *first = children_add(&table, CHILD_RUNNER, "a.1");
    cr_assert(first);
    cr_expect_null(children_add(&table, CHILD_RUNNER, "a.1"));
    cr_expect(children_add(&table, CHILD_RUNNER, "a.2"));
    cr_expect_eq(children_find_runner(&table, "a.1"), first);
    cr_expect_null(children_find_runner(&table, "a.3"));
    cr_expect_eq(first->fd, -1);
    children_remove(&table, first);
    cr_expect_null(children_find_runner(&table, "a.1"));
    cr_expect(children_find_runner(&table, "a.2"));
    children_remove(&table, children_find_runner(&table, "a.2"));
    cr_expect_eq(table.count, 0);
}

Test(children, secrets_go_to_those_who_need_them) {
    static const char *const others[] = {"admin_token", "jwt_key", "encryption_key", "one that is new"};
    cr_expect(role_needs_secret(CHILD_SCRIBE, "database_url") &&
              role_needs_secret(CHILD_REAPER, "database_url"));
    cr_expect_not(role_needs_secret(CHILD_RUNNER, "database_url") ||
                  role_needs_secret(CHILD_PROBE, "database_url"));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        cr_expect(role_needs_secret(CHILD_GATEWAY, others[i]));
        for (enum role role = 0; role < CHILD_ROLE_COUNT; role++)
            cr_expect(role == CHILD_GATEWAY || !role_needs_secret(role, others[i]), "%s: %s", role_name(role),
                      others[i]);
    }
}

Test(children, only_runners_are_summed) {
    struct child *gateway = children_add(&table, CHILD_GATEWAY, "");
    struct child *probe = children_add(&table, CHILD_PROBE, "");
    struct child *one = children_add(&table, CHILD_RUNNER, "a.1");
    struct child *two = children_add(&table, CHILD_RUNNER, "b.1");
    gateway->memory_bytes = probe->memory_bytes = 1000;
    one->memory_bytes = 5;
    one->cpus_milli = 500;
    two->memory_bytes = 7;
    struct children_sum sum = children_sum(&table);
    cr_expect_eq(sum.runners, 2);
    cr_expect_eq(sum.memory_bytes, 12);
    cr_expect_eq(sum.cpus_milli, 500);
    cr_expect_eq(children_find_role(&table, CHILD_GATEWAY), gateway);
    cr_expect_null(children_find_role(&table, CHILD_SCRIBE));
    while (table.count)
        children_remove(&table, table.items[0]);
}

Test(children, the_table_has_an_end) {
    char name[ATTEMPT_NAME_MAX];
    for (int i = 0; i < CHILDREN_MAX - CHILD_ROLE_COUNT; i++) {
        snprintf(name, sizeof name, "job.%d", i);
        cr_assert(children_add(&table, CHILD_RUNNER, name));
    }
    cr_expect_null(children_add(&table, CHILD_RUNNER, "one more"));
    for (enum role role = 0; role < CHILD_ROLE_COUNT; role++)
        cr_expect(role == CHILD_RUNNER || children_add(&table, role, ""), "no room for the %s",
                  role_name(role));
    while (table.count)
        children_remove(&table, table.items[0]);
}

Test(children, an_obituary_tells_an_exit_from_a_signal) {
    char out[OBITUARY_CAUSE_MAX];
    cr_expect_str_eq(obituary_cause(&(struct death){.exited = true, .status = 70}, out), "exit 70");
    cr_expect_str_eq(obituary_cause(&(struct death){.exited = false, .status = 9}, out), "signal 9 (Killed)");
}
