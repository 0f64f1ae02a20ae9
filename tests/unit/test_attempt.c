#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "proto/attempt.h"

static const char job[] = "019a0f3e-7b1c-7d2e-8f30-0123456789ab";
static char dir[] = "/tmp/berth-test-attempt-XXXXXX";
static int fd = -1;

/* In place of libc's: a disk that fails while the directory above is made durable. */
static bool disk_fails;
int fsync(int which) {
    if (disk_fails && which == fd) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, which);
}

static void make_dir(void) {
    cr_assert_not_null(mkdtemp(dir));
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
}

static void remove_dir(void) {
    close(fd);
    dir_remove_tree(AT_FDCWD, dir, NULL);
}

TestSuite(attempt, .init = make_dir, .fini = remove_dir);

static struct attempt *make_attempt(int number) {
    static const char text[] =
        "{\"image\":\"alpine\",\"env\":{\"A\":\"b\\n\\u00e9\"},\"input\":\"\\u0000\","
        "\"limits\":{\"memory\":\"100g\"},\"hardening\":{\"cap_add\":[\"SYS_ADMIN\"]}}";
    struct attempt *a = mem_alloc(sizeof *a);
    struct spec_policy policy = spec_policy_unlimited();
    AUTO_FAULTS struct spec_faults faults = {0};
    snprintf(a->job, sizeof a->job, "%s", job);
    snprintf(a->cluster, sizeof a->cluster, "7c9e6679-7425-40de-944b-e07fc1f90ae7");
    a->instance = mem_strdup("host-1");
    a->tenant = mem_strdup("default");
    a->number = number;
    a->id = INT64_MAX;
    a->token = 42;
    a->claimed_us = 1763773323456789;
    cr_assert_eq(spec_parse_text(text, strlen(text), &policy, &a->spec, &faults), 0);
    return a;
}

static int open_attempt(int number) {
    char name[ATTEMPT_NAME_MAX];
    return openat(fd, attempt_dir_name(job, number, name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

Test(attempt, names_go_both_ways) {
    char name[ATTEMPT_NAME_MAX];
    char got[ATTEMPT_ID_MAX] = "";
    int number = 0;
    cr_expect_str_eq(attempt_dir_name(job, 7, name), "019a0f3e-7b1c-7d2e-8f30-0123456789ab.7");
    cr_expect_eq(attempt_parse_dir_name(name, got, &number), 0);
    cr_expect_str_eq(got, job);
    cr_expect_eq(number, 7);
    cr_expect_eq(attempt_parse_dir_name(attempt_dir_name(job, ATTEMPT_NUMBER_MAX, name), got, &number), 0);
    cr_expect_eq(number, ATTEMPT_NUMBER_MAX);
}

Test(attempt, files_of_services_have_names_of_their_own) {
    char name[ATTEMPT_FILE_NAME_MAX];
    cr_expect_str_eq(attempt_file_name(ATTEMPT_SPOOL, NULL, name), "spool");
    cr_expect_str_eq(attempt_file_name(ATTEMPT_LAUNCH, "db", name), "launch.db");
    cr_expect_str_eq(attempt_file_name(ATTEMPT_JOURNAL, "abcdefghijklmnopqrstuvwx", name),
                     "journal.abcdefghijklmnopqrstuvwx");
}

Test(attempt, other_names_are_refused) {
    static const char *const cases[] = {
        "",
        ".",
        "..",
        "lost+found",
        ".019a0f3e-7b1c-7d2e-8f30-0123456789ab.7",
        "019a0f3e-7b1c-7d2e-8f30-0123456789ab",
        "019a0f3e-7b1c-7d2e-8f30-0123456789ab.",
        "019a0f3e-7b1c-7d2e-8f30-0123456789ab.0",
        "019a0f3e-7b1c-7d2e-8f30-0123456789ab.07",
        "019a0f3e-7b1c-7d2e-8f30-0123456789ab.-7",
        "019a0f3e-7b1c-7d2e-8f30-0123456789ab.7 ",
        "019a0f3e-7b1c-7d2e-8f30-0123456789ab.7.gone",
        "019a0f3e-7b1c-7d2e-8f30-0123456789ab.1001",
        "019a0f3e-7b1c-7d2e-8f30-0123456789ab.99999999999999999999",
        "019A0F3E-7B1C-7D2E-8F30-0123456789AB.7",
        "019a0f3e-7b1c-7d2e-8f30-0123456789xy.7",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char got[ATTEMPT_ID_MAX] = "untouched";
        int number = -3;
        cr_expect_eq(attempt_parse_dir_name(cases[i], got, &number), -1, "%s", cases[i]);
        cr_expect_str_eq(got, "untouched");
        cr_expect_eq(number, -3);
    }
}

Test(attempt, what_was_written_is_read) {
    AUTO_ATTEMPT struct attempt *a = make_attempt(3);
    AUTO_ATTEMPT struct attempt *b = NULL;
    struct err err = {0};
    cr_assert_eq(attempt_create(fd, a, &err), 0, "%s", err.text);
    AUTO_FD int at = open_attempt(3);
    cr_assert_eq(attempt_load(at, &b, &err), 0, "%s", err.text);
    cr_expect_str_eq(b->job, a->job);
    cr_expect_str_eq(b->cluster, a->cluster);
    cr_expect_str_eq(b->instance, "host-1");
    cr_expect_str_eq(b->tenant, "default");
    cr_expect_eq(b->number, 3);
    cr_expect_eq(b->id, INT64_MAX);
    cr_expect_eq(b->token, 42);
    cr_expect_eq(b->claimed_us, a->claimed_us);
    cr_expect_str_eq(b->spec->env.items[0].value, "b\n\xc3\xa9");
    cr_expect_str_eq(b->spec->input, "\"\\u0000\"");
    cr_expect_eq(b->spec->limits.memory_bytes, INT64_C(100) << 30, "ceilings do not count a second time");
}

Test(attempt, only_root_may_look_into_it) {
    AUTO_ATTEMPT struct attempt *a = make_attempt(1);
    struct stat st;
    cr_assert_eq(attempt_create(fd, a, NULL), 0);
    AUTO_FD int at = open_attempt(1);
    cr_assert_eq(fstat(at, &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0700);
    cr_assert_eq(fstatat(at, ATTEMPT_SPEC, &st, 0), 0);
    cr_expect_eq(st.st_mode & 07777, 0600);
}

Test(attempt, a_second_one_of_the_same_name_is_refused) {
    AUTO_ATTEMPT struct attempt *a = make_attempt(1);
    struct err err = {0};
    cr_assert_eq(attempt_create(fd, a, NULL), 0);
    cr_expect_eq(attempt_create(fd, a, &err), -1);
    cr_expect_eq(err.kind, ERR_SYS);
    cr_expect_eq(err.code, EEXIST);
}

Test(attempt, one_whose_name_may_not_outlive_a_power_failure_is_not_there) {
    AUTO_ATTEMPT struct attempt *a = make_attempt(1);
    AUTO_FREE char *named = mem_printf("%s/%s.1", dir, job);
    AUTO_FREE char *half = mem_printf("%s/.%s.1", dir, job);
    struct err err = {0};
    disk_fails = true;
    cr_expect_eq(attempt_create(fd, a, &err), -1);
    cr_expect(err.kind == ERR_SYS && err.code == EIO, "%s", err.text);
    cr_expect_eq(access(named, F_OK), -1);
    cr_expect_eq(access(half, F_OK), -1);
    disk_fails = false;
    cr_expect_eq(attempt_create(fd, a, &err), 0, "%s", err.text);
}

Test(attempt, what_a_dead_parent_began_is_no_hindrance) {
    AUTO_ATTEMPT struct attempt *a = make_attempt(1);
    struct err err = {0};
    AUTO_FREE char *half = mem_printf("%s/.%s.1", dir, job);
    AUTO_FREE char *file = mem_printf("%s/spec.new", half);
    cr_assert_eq(mkdir(half, 0700), 0);
    AUTO_FD int left = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(left, 0);
    cr_expect_eq(attempt_create(fd, a, &err), 0, "%s", err.text);
    cr_expect_eq(access(half, F_OK), -1);
}

Test(attempt, a_wrong_spec_file_is_told) {
    static const char *const cases[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"job\":\"x\",\"cluster\":\"\",\"instance\":\"i\",\"tenant\":\"t\",\"number\":1,\"id\":1,\"token\":"
        "1,"
        "\"claimed_us\":1,\"spec\":{\"image\":\"a\"}}",
        "{\"job\":\"019a0f3e-7b1c-7d2e-8f30-0123456789ab\",\"cluster\":\"\",\"instance\":\"i\",\"tenant\":"
        "\"t\","
        "\"number\":0,\"id\":1,\"token\":1,\"claimed_us\":1,\"spec\":{\"image\":\"a\"}}",
        "{\"job\":\"019a0f3e-7b1c-7d2e-8f30-0123456789ab\",\"cluster\":\"\",\"instance\":\"i\",\"tenant\":"
        "\"t\","
        "\"number\":1,\"id\":1,\"token\":1,\"claimed_us\":1,\"spec\":{\"image\":\"\",\"x\":1}}",
        "{\"job\":\"019a0f3e-7b1c-7d2e-8f30-0123456789ab\",\"cluster\":\"\",\"instance\":\"i\",\"tenant\":"
        "\"t\","
        "\"number\":1,\"id\":\"1\",\"token\":1,\"claimed_us\":1,\"spec\":{\"image\":\"a\"}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        struct attempt *a = NULL;
        cr_assert_eq(file_write_atomic(fd, ATTEMPT_SPEC, cases[i], strlen(cases[i]), 0600, NULL), 0);
        cr_expect_eq(attempt_load(fd, &a, &err), -1, "%s", cases[i]);
        cr_expect_eq(err.kind, ERR_INVALID, "%s", cases[i]);
        cr_expect_null(a);
    }
}

Test(attempt, an_absent_spec_file_is_told) {
    struct err err = {0};
    struct attempt *a = NULL;
    cr_expect_eq(attempt_load(fd, &a, &err), -1);
    cr_expect_eq(err.code, ENOENT);
}

Test(attempt, one_runner_at_a_time) {
    AUTO_ATTEMPT struct attempt *a = make_attempt(1);
    char name[ATTEMPT_NAME_MAX];
    struct err err = {0};
    int first = -1;
    int second = -1;
    cr_assert_eq(attempt_create(fd, a, NULL), 0);
    attempt_dir_name(job, 1, name);
    cr_expect_eq(attempt_lock(fd, name, &first, &err), 0, "%s", err.text);
    cr_expect_eq(attempt_lock(fd, name, &second, &err), -1);
    cr_expect_eq(err.kind, ERR_AWAY);
    cr_expect_eq(second, -1);
    close(first);
    cr_expect_eq(attempt_lock(fd, name, &second, &err), 0, "free again when its holder is gone");
    close(second);
    cr_expect_eq(attempt_lock(fd, "nothing.1", &second, &err), -1);
    cr_expect_eq(err.code, ENOENT);
}
