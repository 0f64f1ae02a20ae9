#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/ctx.h"
#include "base/fdutil.h"
#include "proto/attempt.h"
#include "runner/deadlines.h"

static const int64_t start = 1000 * NS_PER_S;
static const struct spec run_only = {.deadlines = {.run_ms = 10 * 1000}};
static const struct spec idle_only = {.deadlines = {.idle_ms = 5 * 1000}};
static const struct spec both = {.deadlines = {.run_ms = 10 * 1000, .idle_ms = 5 * 1000}};

Test(deadlines, none) {
    const struct spec none = {.image = NULL};
    struct deadlines d;
    deadlines_begin(&d, &none, start);
    deadlines_extend(&d, &none, 1000);
    cr_assert_eq(deadlines_next_ns(&d), CTX_NEVER);
    cr_assert_eq(deadlines_passed(&d, INT64_MAX - 1), REASON_NONE);
}

Test(deadlines, run_counts_from_the_start) {
    struct deadlines d;
    deadlines_begin(&d, &run_only, start);
    cr_assert_eq(deadlines_next_ns(&d), start + 10 * NS_PER_S);
    cr_assert_eq(deadlines_passed(&d, start + 10 * NS_PER_S - 1), REASON_NONE);
    cr_assert_eq(deadlines_passed(&d, start + 10 * NS_PER_S), REASON_RUN_DEADLINE);
}

/* The last word says by how much in all. */
Test(deadlines, run_is_moved) {
    struct deadlines d;
    deadlines_begin(&d, &run_only, start);
    deadlines_extend(&d, &run_only, 3000);
    deadlines_extend(&d, &run_only, 5000);
    cr_assert_eq(deadlines_next_ns(&d), start + 15 * NS_PER_S);
    cr_assert_eq(deadlines_passed(&d, start + 14 * NS_PER_S), REASON_NONE);
    cr_assert_eq(deadlines_passed(&d, start + 15 * NS_PER_S), REASON_RUN_DEADLINE);
}

Test(deadlines, idle_from_the_start_without_any_output) {
    struct deadlines d;
    deadlines_begin(&d, &idle_only, start);
    deadlines_see(&d, 0, 0, start + NS_PER_S);
    cr_assert_eq(deadlines_passed(&d, start + 5 * NS_PER_S - 1), REASON_NONE);
    cr_assert_eq(deadlines_passed(&d, start + 5 * NS_PER_S), REASON_IDLE_DEADLINE);
}

Test(deadlines, idle_is_moved_by_output) {
    struct deadlines d;
    deadlines_begin(&d, &idle_only, start);
    deadlines_see(&d, 100, 2 * NS_PER_S, start + 5 * NS_PER_S);
    cr_assert_eq(deadlines_next_ns(&d), start + 8 * NS_PER_S);
    cr_assert_eq(deadlines_passed(&d, start + 5 * NS_PER_S), REASON_NONE);
    deadlines_see(&d, 200, NS_PER_S, start + 8 * NS_PER_S);
    cr_assert_eq(deadlines_next_ns(&d), start + 12 * NS_PER_S);
}

/* Room taken back from the spool changes its time, not its length. */
Test(deadlines, a_spool_of_the_same_length_is_silent) {
    struct deadlines d;
    deadlines_begin(&d, &idle_only, start);
    deadlines_see(&d, 100, NS_PER_S, start + 2 * NS_PER_S);
    deadlines_see(&d, 100, 0, start + 6 * NS_PER_S);
    cr_assert_eq(deadlines_passed(&d, start + 6 * NS_PER_S), REASON_IDLE_DEADLINE);
}

Test(deadlines, a_wall_clock_that_jumps_does_no_harm) {
    struct deadlines d;
    deadlines_begin(&d, &idle_only, start);
    deadlines_see(&d, 100, -3600 * NS_PER_S, start + NS_PER_S); /* the future is now */
    cr_assert_eq(deadlines_next_ns(&d), start + 6 * NS_PER_S);
    deadlines_see(&d, 200, 3600 * NS_PER_S, start + 6 * NS_PER_S); /* new, so not older than the last look */
    cr_assert_eq(deadlines_next_ns(&d), start + 6 * NS_PER_S);
    deadlines_begin(&d, &idle_only, start);
    deadlines_see(&d, 100, 3600 * NS_PER_S, start + NS_PER_S);
    cr_assert_eq(deadlines_next_ns(&d), start + 5 * NS_PER_S, "nothing is older than the start");
}

Test(deadlines, the_nearer_of_two) {
    struct deadlines d;
    deadlines_begin(&d, &both, start);
    cr_assert_eq(deadlines_next_ns(&d), start + 5 * NS_PER_S);
    cr_assert_eq(deadlines_passed(&d, start + 7 * NS_PER_S), REASON_IDLE_DEADLINE);
    deadlines_see(&d, 1, 0, start + 7 * NS_PER_S);
    cr_assert_eq(deadlines_next_ns(&d), start + 10 * NS_PER_S);
    cr_assert_eq(deadlines_passed(&d, start + 20 * NS_PER_S), REASON_RUN_DEADLINE);
}

Test(deadlines, a_real_spool) {
    char dir[] = "/tmp/deadlines-XXXXXX";
    struct deadlines d;
    cr_assert(mkdtemp(dir));
    AUTO_FD int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int64_t now = clock_boot_ns();
    deadlines_begin(&d, &idle_only, now - 3600 * NS_PER_S);
    deadlines_look(&d, dir_fd);
    cr_expect_eq(deadlines_passed(&d, clock_boot_ns()), REASON_IDLE_DEADLINE, "no spool, no output");
    AUTO_FD int fd = openat(dir_fd, ATTEMPT_SPOOL, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_eq(write(fd, "words", 5), 5);
    deadlines_look(&d, dir_fd);
    cr_expect_eq(deadlines_passed(&d, now), REASON_NONE, "just written");
    struct timespec old[2] = {{.tv_sec = clock_real_us() / US_PER_S - 60},
                              {.tv_sec = clock_real_us() / US_PER_S - 60}};
    deadlines_begin(&d, &idle_only, now - 3600 * NS_PER_S);
    cr_assert_eq(futimens(fd, old), 0);
    deadlines_look(&d, dir_fd);
    cr_expect_eq(deadlines_passed(&d, now), REASON_IDLE_DEADLINE, "written a minute ago");
    cr_expect_gt(d.output_ns, now - 70 * NS_PER_S);
    dir_remove_tree(AT_FDCWD, dir, NULL);
}
