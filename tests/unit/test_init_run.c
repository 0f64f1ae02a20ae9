/* The static berth-init itself, outside of a container. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/launch.h"
#include "proto/spool.h"
#include "tests/unit/init_rig.h"

Test(init, command_not_found) {
    cr_assert_eq(RUN("no-such-command"), 127);
    cr_assert(end.exec_errno == ENOENT && end.wait_status == 127 << 8);
    cr_assert_eq(spool[1], SPOOL_EXEC_FAILED);
}
Test(init, command_not_executable) {
    cr_assert_eq(RUN("/etc/passwd"), 126);
    cr_assert_eq(end.exec_errno, EACCES);
}
Test(init, script_without_shebang_is_no_program) {
    cr_assert_eq(SH("echo true >/tmp/test_init_script.$$; chmod +x /tmp/test_init_script.$$; echo "
                    "/tmp/test_init_script.$$"),
                 0);
    out[out_len - 1] = '\0';
    char path[100];
    snprintf(path, sizeof path, "%s", out);
    memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
    cr_assert_eq(RUN(path), 126);
    cr_assert_eq(end.exec_errno, ENOEXEC);
    unlink(path);
}

Test(init, exit_137_is_no_kill) {
    cr_assert_eq(SH("exit 137"), 137);
    cr_assert(WIFEXITED(end.wait_status) && WEXITSTATUS(end.wait_status) == 137);
}
Test(init, kill_9_is_no_exit) {
    cr_assert_eq(SH("kill -9 $$"), 137);
    cr_assert(WIFSIGNALED(end.wait_status) && WTERMSIG(end.wait_status) == 9);
}

Test(init, input_and_its_end) {
    static const char *const argv[] = {"cat", NULL};
    cr_assert_eq(run("{\"a\": 1}\n", argv), 0);
    cr_assert_str_eq(out, "{\"a\": 1}\n");
}
Test(init, no_input_is_empty) {
    cr_assert_eq(RUN("cat"), 0);
    cr_assert_eq(out_len, 0);
}

Test(init, a_background_process_holds_nothing_open) {
    cr_assert_eq(SH("sleep 1000 & echo $!"), 0);
    kill((pid_t)strtol(out, NULL, 10), SIGKILL);
}
Test(init, a_background_process_that_writes_for_ever_does_not_extend_the_job) {
    cr_assert_eq(SH("yes & echo $! >&2; yes >&2 & echo $! >&2; kill -0 $!"), 0);
    for (char *at = errs; at && *at != 'y' && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
        kill((pid_t)strtol(at, NULL, 10), SIGKILL);
}

Test(init, the_job_can_open_its_own_streams) {
    cr_assert_eq(SH("echo a >/dev/stdout; echo b >/dev/stderr; echo c >>/dev/stdout; echo d | tee "
                    "/dev/stderr >/dev/null"),
                 0);
    cr_assert_str_eq(out, "a\nc\n");
    cr_assert_str_eq(errs, "b\nd\n");
}

Test(init, orphans_are_buried) {
    cr_assert_eq(RUN(JOB_PATH, "zombies", "30"), 0);
    cr_assert_str_eq(out, "0\n");
}

Test(init, signals_reach_the_job_and_are_written_down) {
    static const int sent[] = {SIGTERM, SIGHUP, SIGUSR1, SIGINT, SIGWINCH};
    static const char *const argv[] = {JOB_PATH, "signals", "5", NULL};
    prepare(NULL, argv);
    pid_t pid = start();
    await("ready\n");
    char got[40] = "ready\n";
    for (unsigned i = 0; i < 5; i++) {
        kill(pid, sent[i]);
        snprintf(got + strlen(got), sizeof got - strlen(got), "%d\n", sent[i]);
        await(got);
    }
    cr_assert_eq(finish(pid), 0);
    unsigned records = 0;
    for (size_t at = 0; at < spool_len;) {
        struct spool_header header;
        const unsigned char *payload;
        size_t used;
        cr_assert_eq(spool_next(spool + at, spool_len - at, &header, &payload, &used), SPOOL_RECORD);
        struct spool_signal record;
        if (header.type == SPOOL_SIGNAL) {
            memcpy(&record, payload, sizeof record);
            cr_assert(record.signal == sent[records++] && record.sender_pid == getpid());
        }
        at += used;
    }
    cr_assert_eq(records, 5);
}

Test(init, a_job_that_closes_its_output_costs_nothing) {
    static const char *const argv[] = {JOB_PATH, "closed", NULL};
    prepare(NULL, argv);
    pid_t pid = start();
    await("ready\n");
    struct timespec before, after;
    clockid_t clock;
    cr_assert_eq(clock_getcpuclockid(pid, &clock), 0);
    clock_gettime(clock, &before);
    poll(NULL, 0, 200); /* nothing can be awaited: that init does nothing is what is to be seen */
    clock_gettime(clock, &after);
    cr_assert_lt((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000, 50);
    kill(pid, SIGTERM);
    cr_assert_eq(finish(pid), 3);
}

Test(init, a_torn_launch_file_starts_nothing) {
    static const char *const argv[] = {"echo", "x", NULL};
    prepare(NULL, argv);
    cr_assert_eq(truncate(below("launch"), 20), 0);
    int status;
    waitpid(start(), &status, 0);
    cr_assert_eq(WEXITSTATUS(status), LAUNCH_EXIT_BROKEN);
    spool_load();
    cr_assert_eq(spool_len, 0);
}

/* A start request that reaches the engine late finds the spool of the job that has run. */
Test(init, what_has_run_is_not_run_again) {
    static const char *const argv[] = {"echo", "x", NULL};
    prepare(NULL, argv);
    int status;
    waitpid(start(), &status, 0);
    cr_assert_eq(WEXITSTATUS(status), 0);
    struct stat before;
    struct stat after;
    cr_assert_eq(stat(below("spool"), &before), 0);
    waitpid(start(), &status, 0);
    cr_assert_eq(WEXITSTATUS(status), LAUNCH_EXIT_BROKEN);
    cr_assert_eq(stat(below("spool"), &after), 0);
    cr_assert_eq(after.st_size, before.st_size, "nothing is added");
}

static void expect_ready_file(const char *text) {
    char bytes[LAUNCH_READY_BYTES + 1] = "";
    int fd = open(below("ready"), O_RDONLY);
    cr_assert_eq(read(fd, bytes, LAUNCH_READY_BYTES), LAUNCH_READY_BYTES);
    close(fd);
    cr_expect_eq(strncmp(bytes, text, strlen(text)), 0, "%s", bytes);
}

static void ready_file_make(void) {
    mkdtemp(dir);
    fclose(fopen(below("ready"), "w"));
}

/* The job ends by what the readiness command's success does; its own end and its output are none of the
 * job's. */
Test(init, a_service_is_tried_beside_its_output) {
    ready_file_make();
    char script[200];
    snprintf(script, sizeof script, "while ! grep -q '^ready ' %s; do echo turn; sleep 0.01; done",
             below("ready"));
    more_entry = "ctrue";
    cr_expect_eq(SH(script), 0);
    expect_ready_file("ready ");
    cr_expect_eq(end.wait_status, 0);
}

Test(init, a_service_whose_command_fails_is_not_ready) {
    ready_file_make();
    char script[200];
    snprintf(script, sizeof script, "until grep -q 'false: ended with 1' %s; do sleep 0.01; done; echo done",
             below("ready"));
    more_entry = "cfalse";
    cr_expect_eq(SH(script), 0);
    cr_expect_str_eq(out, "done\n");
    expect_ready_file("false: ended with 1");
}

Test(init, a_hanging_readiness_command_ends_with_the_job) {
    ready_file_make();
    char command[300];
    snprintf(command, sizeof command, "c%s", below("hang"));
    FILE *file = fopen(below("hang"), "w");
    fprintf(file, "#!/bin/sh\necho $$ >%s.new; mv %s.new %s; exec sleep 1000\n", below("pid"), below("pid"),
            below("pid"));
    fchmod(fileno(file), 0755);
    fclose(file);
    more_entry = command;
    char script[200];
    snprintf(script, sizeof script, "until cat %s; do sleep 0.01; done 2>&-", below("pid"));
    cr_expect_eq(SH(script), 0);
    pid_t pid = (pid_t)strtol(out, NULL, 10);
    cr_assert_gt(pid, 1);
    for (int tries = 0; kill(pid, 0) == 0; tries++) { /* it is nobody's child here: there is no event */
        cr_assert_lt(tries, 500, "%d still runs", pid);
        poll(NULL, 0, 10);
    }
}

Test(init, a_line_of_a_service_makes_it_ready) {
    ready_file_make();
    char script[200];
    snprintf(script, sizeof script,
             "echo not yet; echo up: 7 >&2; until grep -q '^ready ' %s; do sleep 0.01; done", below("ready"));
    more_entry = "l^up: [0-9]$";
    cr_expect_eq(SH(script), 0);
    cr_expect_str_eq(both, "not yet\nup: 7\n");
}

Test(init, a_line_in_a_flood_makes_it_ready) {
    ready_file_make();
    char script[300];
    snprintf(script, sizeof script,
             "$JOB flood 3000000 7000; echo; echo up; until grep -q '^ready ' %s; do sleep 0.01; done",
             below("ready"));
    more_entry = "l^up$";
    cr_expect_eq(SH(script), 0);
}

Test(init, without_an_entry_it_is_ready_once_it_runs) {
    ready_file_make();
    cr_expect_eq(SH("true"), 0);
    expect_ready_file("ready ");
}

Test(init, what_cannot_be_executed_is_never_ready) {
    ready_file_make();
    cr_expect_eq(RUN("/nowhere/x"), 127);
    struct stat st;
    cr_assert_eq(stat(below("ready"), &st), 0);
    cr_expect_eq(st.st_size, 0);
}

/* --- binds --- */

static int run_with_bind(const char *target, int inode_off) {
    static const char *const argv[] = {"echo", "x", NULL};
    char entry[200];
    struct stat st;
    cr_assert_eq(stat(target, &st), 0);
    snprintf(entry, sizeof entry, "b%ju:%ju:%s", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + inode_off,
             target);
    more_entry = entry;
    prepare(NULL, argv);
    int status;
    waitpid(start(), &status, 0);
    spool_load();
    return WEXITSTATUS(status);
}

Test(init, a_bind_that_is_what_it_was) {
    cr_expect_eq(run_with_bind("/usr", 0), 0);
    cr_expect_str_eq(out, "x\n");
}

Test(init, a_bind_that_the_user_cannot_reach_is_not_told_to_be_changed) {
    char closed[] = "/tmp/test_init_closed.XXXXXX", target[sizeof closed + 8];
    if (geteuid() != 0)
        cr_skip_test("no right to become another user");
    cr_assert_not_null(mkdtemp(closed));
    snprintf(target, sizeof target, "%s/target", closed);
    cr_assert_eq(mkdir(target, 0755), 0);
    run_as = 65534;
    cr_expect_eq(run_with_bind(target, 0), LAUNCH_EXIT_BIND_HIDDEN);
    rmdir(target);
    rmdir(closed);
}

Test(init, a_bind_that_was_changed) {
    cr_expect_eq(run_with_bind("/usr", 1), LAUNCH_EXIT_BIND_CHANGED);
    cr_expect_eq(spool_len, 0);
}

/* --- signals --- */

/* init as the first process of a PID namespace, so that this process is outside. */
static pid_t start_inside(void) {
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        execl(INIT_PATH, "init", "--dir", dir, NULL);
        _exit(99);
    }
    if (pid < 0)
        cr_skip_test("no right to make a PID namespace");
    return pid;
}

static void expect_outside(const char *script, int signal, int expected) {
    const char *const argv[] = {"sh", "-c", script, NULL};
    prepare(NULL, argv);
    pid_t pid = start_inside();
    await("ready\n");
    kill(pid, signal);
    finish(pid);
    cr_expect_eq(end.signal_outside, expected, "%d", end.signal_outside);
}

Test(init, a_signal_from_outside_is_noted) {
    expect_outside("trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done", SIGTERM, SIGTERM);
}

Test(init, a_kill_of_all_from_outside_is_noted) {
    expect_outside("echo ready; sleep 1000", LAUNCH_KILL_SIGNAL, LAUNCH_KILL_SIGNAL);
    cr_expect(WIFSIGNALED(end.wait_status) && WTERMSIG(end.wait_status) == SIGKILL);
}

Test(init, a_signal_from_inside_is_not_from_outside) {
    const char *const argv[] = {"sh", "-c",
                                "trap 'exit 0' TERM; kill -TERM $PPID; while :; do sleep 0.01; done", NULL};
    prepare(NULL, argv);
    finish(start_inside());
    cr_expect_eq(end.signal_outside, 0);
}
