/* Control groups around those of a real engine, on the hierarchies that this machine has. Needs to be root.
 */
#include <criterion/criterion.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/id.h"
#include "base/mem.h"
#include "proto/labels.h"
#include "runner/limits/limits.h"
#include "runner_rig.h"

#define MIB (INT64_C(1024) * 1024)

static struct err err;
static char instance[48], group[LIMITS_GROUP_MAX], parent[LIMITS_GROUP_MAX], attempt[ATTEMPT_NAME_MAX];
static struct limits_bound bound;

#define OK(call) cr_assert((call) >= 0, "%s: %s", #call, err.text)

static void begin(void) {
    char job[ATTEMPT_ID_MAX];
    rig_begin();
    id_new_v7(job);
    attempt_dir_name(job, 3, attempt);
    snprintf(instance, sizeof instance, "test-%s", job);
    bound = (struct limits_bound){.memory_bytes = 64 * MIB, .cpus_milli = 1500, .instance = instance};
}

static int groups_of(const char *name) {
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    AUTO_FREE char *line = mem_printf("find /sys/fs/cgroup -type d -name '%s*' | wc -l", name);
    rig_shell(line, &out);
    return (int)strtol(buf_str(&out), NULL, 10);
}

static void end(void) {
    limits_remove(parent, NULL);
    OK(limits_remove(group, &err));
    AUTO_FREE char *name = mem_printf("berth-%s", instance);
    int left = groups_of(name);
    rig_end();
    cr_assert_eq(left, 0, "%d control groups are left", left);
}

TestSuite(limits, .init = begin, .fini = end, .timeout = 120);

/* 0: 128 + signal, as the shell says; under this parent. */
static int run(const char *memory, const char *command) {
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    AUTO_FREE char *line = mem_printf("docker run --rm --network none --label " LABEL_CLUSTER
                                      "=%s --cgroup-parent %s -m %s --memory-swap %s $IMAGE sh -c '%s' 2>&1",
                                      rig.cluster, parent, memory, memory, command);
    return rig_shell(line, &out);
}

#define ALLOCATE(mib) "dd if=/dev/zero of=/dev/null bs=" #mib "M count=1"

Test(limits, an_attempt_has_a_group_below_that_of_its_instance) {
    struct usage usage;
    char **names = NULL;
    OK(limits_setup(&bound, group, &err));
    OK(limits_setup(&bound, group, &err));
    OK(limits_make(group, attempt, parent, &err));
    OK(limits_make(group, attempt, parent, &err));
    cr_expect(strstr(parent, group) == parent && strstr(parent, attempt), "%s", parent);
    cr_expect_eq(run("512m", ALLOCATE(30) "; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"), 0);
    limits_usage(parent, &usage);
    cr_expect(usage.memory_peak_bytes >= 30 * MIB && usage.memory_peak_bytes < 64 * MIB, "%ld",
              (long)usage.memory_peak_bytes);
    cr_expect(usage.cpu_us > 10000 && usage.cpu_us < 60 * 1000 * 1000, "%ld", (long)usage.cpu_us);
    cr_expect(usage.pids_peak == -1 || (usage.pids_peak >= 2 && usage.pids_peak < 50), "%ld",
              (long)usage.pids_peak);
    OK(limits_list(group, &names, &err));
    cr_expect(names[0] && strcmp(names[0], attempt) == 0 && !names[1]);
    limits_list_free(names);
    OK(limits_remove(parent, &err));
    OK(limits_remove(parent, &err));
    cr_expect_eq(groups_of(attempt), 0, "in every hierarchy");
    OK(limits_list(group, &names, &err));
    cr_expect_null(names[0]);
    limits_list_free(names);
}

Test(limits, the_bound_holds_whatever_a_job_is_allowed) {
    OK(limits_setup(&bound, group, &err));
    OK(limits_make(group, attempt, parent, &err));
    cr_expect_eq(run("512m", ALLOCATE(30)), 0);
    cr_expect_neq(run("512m", ALLOCATE(200)), 0, "more than all jobs together may have");
    bound.memory_bytes = 400 * MIB;
    OK(limits_setup(&bound, group, &err));
    cr_expect_eq(run("512m", ALLOCATE(200)), 0, "raised");
    bound.memory_bytes = 0;
    bound.cpus_milli = 0;
    OK(limits_setup(&bound, group, &err));
    cr_expect_eq(run("512m", ALLOCATE(450)), 0, "none");
}

Test(limits, all_jobs_weigh_as_one_process_on_each_processor) {
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    OK(limits_setup(&bound, group, &err));
    AUTO_FREE char *line =
        mem_printf("find /sys/fs/cgroup -path '*/berth-%s/cpu.shares' -o -path '*/berth-%s/cpu.weight'"
                   " | xargs cat",
                   instance, instance);
    cr_assert_eq(rig_shell(line, &out), 0);
    long weight = strtol(buf_str(&out), NULL, 10), processors = sysconf(_SC_NPROCESSORS_ONLN);
    cr_expect(weight == LIMITS_SHARES * processors || weight == LIMITS_WEIGHT * processors, "%ld", weight);
}

Test(limits, what_is_in_use_is_not_removed) {
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    OK(limits_setup(&bound, group, &err));
    OK(limits_make(group, attempt, parent, &err));
    AUTO_FREE char *line = mem_printf("docker run -d --network none --label " LABEL_CLUSTER
                                      "=%s --cgroup-parent %s $IMAGE sleep 600",
                                      rig.cluster, parent);
    AUTO_FREE char *stop =
        mem_printf("docker rm -f $(docker ps -aq --filter label=" LABEL_CLUSTER "=%s)", rig.cluster);
    cr_assert_eq(rig_shell(line, &out), 0);
    cr_assert_lt(limits_remove(parent, &err), 0);
    cr_expect(err.kind == ERR_AWAY && strstr(err.text, "left in it"), "%s", err.text);
    rig_shell(stop, &out);
    OK(limits_remove(parent, &err));
}

/* A process in a group below the attempt's, as an engine leaves it that was killed while it made a container;
 * frozen, where this hierarchy can do that, but not before it has let go of our pipe. Returns its number. */
static pid_t leave_behind(const char *hierarchy) {
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    AUTO_FREE char *line = mem_printf(
        "dir=/sys/fs/cgroup/%s%s/half/made; mkdir -p $dir; sleep 600 >/dev/null 2>&1 & "
        "until grep -qx sleep /proc/$!/comm; do :; done; "
        "echo $! >$dir/cgroup.procs; [ ! -e $dir/freezer.state ] || echo FROZEN >$dir/freezer.state; echo $!",
        hierarchy, parent);
    cr_assert_eq(rig_shell(line, &out), 0, "%s", buf_str(&out));
    return (pid_t)strtol(buf_str(&out), NULL, 10);
}

/* Also one that nobody has waited for. */
static bool is_dead(pid_t pid) {
    AUTO_FREE char *path = mem_printf("/proc/%d/stat", (int)pid);
    AUTO_FILE FILE *file = fopen(path, "re");
    char state = 'X';
    return pid > 0 &&
           (!file || (fscanf(file, "%*d (%*[^)]) %c", &state) == 1 && (state == 'Z' || state == 'X')));
}

Test(limits, what_is_left_in_a_group_is_killed_and_nothing_else) {
    OK(limits_setup(&bound, group, &err));
    OK(limits_make(group, attempt, parent, &err));
    pid_t left[] = {leave_behind("memory"), leave_behind("freezer"), leave_behind("pids")};
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    cr_assert_eq(rig_shell("sleep 600 >/dev/null 2>&1 & echo $!", &out), 0);
    pid_t stranger = (pid_t)strtol(buf_str(&out), NULL, 10);
    cr_assert_lt(limits_remove(parent, &err), 0);
    while (limits_clear(parent, &err) < 0)
        cr_assert_eq(err.kind, ERR_AWAY, "%s", err.text);
    cr_expect_eq(groups_of(attempt), 0, "in every hierarchy");
    for (size_t i = 0; i < ARRAY_LEN(left); i++)
        cr_expect(is_dead(left[i]), "%d lives", (int)left[i]);
    cr_expect_not(is_dead(stranger), "one of no group of ours was killed");
    kill(stranger, SIGKILL);
    OK(limits_clear(parent, &err));
    OK(limits_clear("", &err));
}

Test(limits, none_is_no_error) {
    char **names = NULL;
    OK(limits_make("", attempt, parent, &err));
    cr_expect_str_eq(parent, "");
    OK(limits_remove("", &err));
    OK(limits_list("", &names, &err));
    cr_expect_null(names[0]);
    limits_list_free(names);
    OK(limits_list("/berth-that-never-was", &names, &err));
    cr_expect_null(names[0]);
    limits_list_free(names);
    OK(limits_setup(&bound, group, &err));
}

Test(limits, a_host_that_does_not_allow_it_says_so) {
    cr_assert_eq(unshare(CLONE_NEWNS), 0);
    cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    cr_assert_eq(mount(NULL, "/sys/fs/cgroup/memory", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
    char unset[LIMITS_GROUP_MAX] = "unset";
    cr_assert_lt(limits_setup(&bound, unset, &err), 0);
    cr_expect(strstr(err.text, "cannot be written") && strstr(err.text, "Read-only"), "%s", err.text);
    cr_expect_str_eq(unset, "unset");
}

Test(limits, without_systemd_a_slice_cannot_be_had) {
    setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1);
    bound.systemd = true;
    cr_assert_lt(limits_setup(&bound, parent, &err), 0);
    cr_expect(strstr(err.text, "systemd"), "%s", err.text);
}
