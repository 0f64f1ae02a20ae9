/* A process dies at a fault point, at the pass that was asked for, and no other does. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "proto/fault_points.h"

#ifdef BERTH_FAULTS

static const struct fault_point table[] = {{"here", ""}, {"there", ""}};

static int arm(const char *wanted, struct err *err) {
    return fault_arm(wanted, table, sizeof table / sizeof *table, err);
}

Test(fault, nothing_is_wanted) {
    struct err err = {0};
    cr_assert_eq(arm(NULL, &err), 0);
    FAULT_PASS("here");
}

Test(fault, what_is_no_point_is_refused) {
    static const char *const wrong[] = {
        "here",  "here:",           "here:0",       "here:-1", "here:1x", "here:1000001", "nowhere:1",
        "her:1", "here:1,,there:1", "here:1,there", ":1",      "here 1",  "here:1;x:2"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct err err = {0};
        cr_expect(arm(wrong[i], &err) == -1 && err.kind == ERR_USAGE, "%s", wrong[i]);
    }
}

Test(fault, the_names_of_all_points_differ) {
    for (size_t i = 0; i < FAULT_COUNT; i++)
        for (size_t k = 0; k < i; k++)
            cr_expect_str_neq(fault_points[i].name, fault_points[k].name);
}

Test(fault, it_kills, .signal = SIGKILL) {
    struct err err = {0};
    cr_assert_eq(arm("there:1,here:1", &err), 0);
    FAULT_PASS("here");
}

/* The signal of a child's end after `passes` passes; 0: it lived. */
static int signal_after(int passes) {
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < passes; i++)
            FAULT_PASS("here");
        _exit(0);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

Test(fault, each_process_counts_for_itself) {
    struct err err = {0};
    cr_assert_eq(arm("here:2", &err), 0);
    cr_expect_eq(signal_after(1), 0);
    cr_expect_eq(signal_after(2), SIGKILL);
    cr_expect_eq(signal_after(2), SIGKILL);
}

Test(fault, together_only_one_dies) {
    char dir[] = "/tmp/test_fault.XXXXXX";
    struct err err = {0};
    cr_assert_not_null(mkdtemp(dir));
    char *wanted = mem_printf("here:3@%s", dir);
    cr_assert_eq(arm(wanted, &err), 0);
    free(wanted);
    cr_expect_eq(signal_after(2), 0);
    cr_expect_eq(signal_after(1), SIGKILL);
    cr_expect_eq(signal_after(5), 0);
    dir_remove_tree(AT_FDCWD, dir, NULL);
    arm(NULL, NULL);
}

#else

Test(fault, there_are_none) {
    struct err err = {0};
    cr_expect_eq(fault_points_arm("parent.left:1", &err), -1);
    cr_expect_eq(fault_points_arm(NULL, &err), 0);
    FAULT_PASS("here");
}

#endif
