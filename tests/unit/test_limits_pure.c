/* Names of control groups, and what is read from the kernel's files. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "runner/limits/limits_parts.h"

#define ATTEMPT "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b.12"

static const char *safe(const char *instance, bool slice) {
    static char name[LIMITS_INSTANCE_MAX];
    return limits_safe_name(instance, slice, name);
}

Test(limits_names, only_what_may_stand_there) {
    cr_expect_str_eq(safe("ci-1.example_org", false), "ci-1.example_org");
    cr_expect_eq(strncmp(safe("ci-1", true), "ci_1_", 5), 0);
    cr_expect_eq(strncmp(safe("../../x y", false), ".._.._x_y_", 10), 0);
    AUTO_FREE char *other = mem_strdup(safe("a-b", true));
    cr_expect_str_neq(safe("a_b", true), other, "two names stay two");
    char longest[200];
    memset(longest, 'x', sizeof longest);
    longest[63] = '\0';
    cr_expect_str_eq(safe(longest, false), longest);
    longest[63] = 'x';
    longest[64] = '\0';
    cr_expect_eq(strlen(safe(longest, false)), 63);
    other[0] = '\0';
    AUTO_FREE char *first = mem_strdup(safe(longest, false));
    longest[63] = 'y';
    cr_expect_str_neq(safe(longest, false), first);
}

Test(limits_names, a_slice_is_told_from_a_path) {
    cr_expect(limits_is_slice("berth-x.slice"));
    cr_expect_not(limits_is_slice("/berth-x.slice"));
    cr_expect_not(limits_is_slice(".slice"));
    cr_expect_not(limits_is_slice("/berth-x"));
    cr_expect_not(limits_is_slice(""));
}

Test(limits_names, attempts_in_slices_and_back) {
    char part[LIMITS_GROUP_MAX], attempt[LIMITS_GROUP_MAX];
    cr_assert_eq(limits_attempt_to_part(ATTEMPT, part, sizeof part), 0);
    cr_expect_str_eq(part, "0193a1b2c3d47e5f8a6b7c8d9e0f1a2b.12");
    cr_assert_eq(limits_part_to_attempt(part, attempt, sizeof attempt), 0);
    cr_expect_str_eq(attempt, ATTEMPT);
    static const char *const wrong[] = {
        "", "x", "0193a1b2c3d47e5f8a6b7c8d9e0f1a2b", "0193a1b2c3d47e5f8a6b7c8d9e0f1a2b.x",
        "0193a1b2c3d47e5f8a6b7c8d9e0f1a2b.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        cr_expect_lt(limits_part_to_attempt(wrong[i], attempt, sizeof attempt), 0, "%s", wrong[i]);
    cr_expect_lt(limits_attempt_to_part("nonsense", part, sizeof part), 0);
}

Test(limits_names, where_a_slice_lies) {
    char path[LIMITS_PATH_MAX];
    cr_assert_eq(limits_slice_path("berth-a-b.1.slice", path, sizeof path), 0);
    cr_expect_str_eq(path, "berth.slice/berth-a.slice/berth-a-b.1.slice");
    cr_assert_eq(limits_slice_path("berth.slice", path, sizeof path), 0);
    cr_expect_str_eq(path, "berth.slice");
    cr_expect_lt(limits_slice_path("berth-a.slice", path, 12), 0);
}

/* --- what is read --- */

static char dir[LIMITS_PATH_MAX];

static void make_dir(void) {
    snprintf(dir, sizeof dir, "/tmp/limits-test-XXXXXX");
    cr_assert(mkdtemp(dir));
}

static void remove_dir(void) {
    cr_assert_eq(dir_remove_tree(AT_FDCWD, dir, NULL), 0);
}

static void put(const char *file, const char *text) {
    AUTO_FREE char *path = mem_printf("%s/%s", dir, file);
    cr_assert_eq(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, NULL), 0);
}

static struct usage usage_of(void) {
    struct limits_dirs dirs;
    struct usage usage;
    snprintf(dirs.memory, sizeof dirs.memory, "%s", dir);
    snprintf(dirs.cpu, sizeof dirs.cpu, "%s", dir);
    snprintf(dirs.pids, sizeof dirs.pids, "%s", dir);
    limits_read(&dirs, &usage);
    return usage;
}

TestSuite(limits_read, .init = make_dir, .fini = remove_dir);

Test(limits_read, version_2) {
    put("memory.peak", "104857600\n");
    put("memory.events", "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n");
    put("cpu.stat",
        "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_throttled 4\nthrottled_usec 77\n");
    put("pids.peak", "17\n");
    struct usage u = usage_of();
    cr_expect_eq(u.memory_peak_bytes, 104857600);
    cr_expect_eq(u.oom_kills, 2);
    cr_expect_eq(u.cpu_us, 2500000);
    cr_expect_eq(u.pids_peak, 17);
}

Test(limits_read, version_1) {
    put("memory.max_usage_in_bytes", "4096\n");
    put("cpuacct.usage", "1999999999\n");
    put("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n");
    struct usage u = usage_of();
    cr_expect_eq(u.memory_peak_bytes, 4096);
    cr_expect_eq(u.cpu_us, 1999999);
    cr_expect_eq(u.oom_kills, -1, "not those of the groups below");
    cr_expect_eq(u.pids_peak, -1, "an older kernel");
}

Test(limits_read, nothing_is_known_of_what_is_not_there) {
    put("memory.peak", "max\n");
    put("cpu.stat", "usage_usec\n");
    struct usage u = usage_of();
    cr_expect(u.cpu_us == -1 && u.memory_peak_bytes == -1 && u.pids_peak == -1 && u.oom_kills == -1 &&
              u.throttled_us == -1);
    limits_usage("", &u);
    cr_expect(u.cpu_us == -1 && u.memory_peak_bytes == -1);
}
