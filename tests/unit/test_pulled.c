/* Notes of pulled images: who may remove which, and when it was used. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "proto/pulled.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID "sha256:" HEX

static char root[] = "/tmp/test_pulled_XXXXXX";
static int dir = -1;
static struct ctx ctx;
static struct err err;

static void begin(void) {
    cr_assert_not_null(mkdtemp(root));
    cr_assert_eq(pulled_open(root, &dir, &err), 0, "%s", err.text);
    ctx = ctx_root(NULL);
    ctx_deadline_in(&ctx, 20000);
}

static void end(void) {
    close(dir);
    dir_remove_tree(AT_FDCWD, root, NULL);
}

TestSuite(pulled, .init = begin, .fini = end);

static int hold(const char *id, const char *ref, int *fd) {
    return pulled_hold(dir, id, ref, &ctx, fd, &err);
}

/* The one note there is. */
static struct pulled only(struct pulled_list *list) {
    cr_assert_eq(pulled_list(dir, list, &err), 0, "%s", err.text);
    cr_assert_eq(list->count, 1);
    return list->items[0];
}

static void set_used(time_t s) {
    const struct timespec times[2] = {{.tv_sec = s}, {.tv_sec = s}};
    cr_assert_eq(utimensat(dir, HEX, times, 0), 0);
}

Test(pulled, an_image_that_was_there_has_no_note_and_is_nobodys_to_remove) {
    AUTO_PULLED_LIST struct pulled_list list = {0};
    int fd = 7;
    cr_assert_eq(hold(ID, NULL, &fd), 1);
    cr_assert_eq(fd, -1);
    cr_assert_eq(pulled_list(dir, &list, &err), 0);
    cr_assert_eq(list.count, 0);
    cr_assert_eq(pulled_take(dir, ID, 0, &fd, &err), -1);
}

Test(pulled, a_pull_is_noted_with_each_reference_once) {
    AUTO_PULLED_LIST struct pulled_list list = {0};
    const char *const refs[] = {"a:1", "b/a:1", "a:1", "a"};
    for (size_t i = 0; i < 4; i++) {
        AUTO_FD int fd = -1;
        cr_assert_eq(hold(ID, refs[i], &fd), 1, "%s", err.text);
        cr_assert_geq(fd, 0);
    }
    struct pulled one = only(&list);
    cr_assert_str_eq(one.id, ID);
    cr_assert_str_eq(one.refs, "a:1\nb/a:1\na\n");
}

Test(pulled, a_use_moves_the_time) {
    AUTO_PULLED_LIST struct pulled_list before = {0}, after = {0};
    AUTO_FD int fd = -1, again = -1;
    cr_assert_eq(hold(ID, "a:1", &fd), 1);
    set_used(1000);
    cr_assert_eq(only(&before).used_ns, INT64_C(1000000000000));
    cr_assert_eq(hold(ID, NULL, &again), 1);
    cr_assert_geq(again, 0);
    cr_assert_gt(only(&after).used_ns, INT64_C(1000000000000));
}

Test(pulled, what_a_runner_holds_is_not_taken) {
    AUTO_FD int fd = -1, other = -1, taken = -1;
    cr_assert_eq(hold(ID, "a:1", &fd), 1);
    cr_assert_eq(hold(ID, NULL, &other), 1, "several hold it together");
    close(STEAL_FD(fd));
    set_used(1000);
    cr_assert_eq(pulled_take(dir, ID, INT64_C(1000000000000), &taken, &err), -1);
    cr_assert_eq(err.kind, ERR_AWAY);
    close(STEAL_FD(other));
    cr_assert_eq(pulled_take(dir, ID, INT64_C(1000000000000), &taken, &err), 0, "%s", err.text);
}

Test(pulled, what_was_used_since_it_was_looked_at_is_not_taken) {
    AUTO_FD int fd = -1, taken = -1;
    cr_assert_eq(hold(ID, "a:1", &fd), 1);
    close(STEAL_FD(fd));
    set_used(1001);
    cr_assert_eq(pulled_take(dir, ID, INT64_C(1000000000000), &taken, &err), -1);
    cr_assert_eq(err.kind, ERR_AWAY);
}

Test(pulled, whoever_waited_for_a_removal_looks_again) {
    AUTO_FD int fd = -1, taken = -1, waiting = -1;
    cr_assert_eq(hold(ID, "a:1", &fd), 1);
    close(STEAL_FD(fd));
    set_used(1000);
    cr_assert_eq(pulled_take(dir, ID, INT64_C(1000000000000), &taken, &err), 0);
    struct ctx shortly = ctx_child(&ctx);
    ctx_deadline_in(&shortly, 50);
    cr_assert_eq(pulled_hold(dir, ID, NULL, &shortly, &fd, &err), -1, "it waits");
    cr_assert_eq(err.kind, ERR_DEADLINE);
    /* What has the file open when it goes: */
    pid_t pid = fork();
    if (pid == 0) {
        dup2(dir, taken); /* the lock is the parent's alone */
        _exit(hold(ID, NULL, &waiting) == 0 ? 0 : 1);
    }
    char path[64], link[256];
    for (bool open = false; !open;) { /* until the child has it open, too */
        for (int n = 0; n < 64 && !open; n++) {
            snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, n);
            ssize_t len = readlink(path, link, sizeof link - 1);
            open = n != taken && len > 0 && (link[len] = '\0', strstr(link, HEX));
        }
    }
    cr_assert_eq(pulled_forget(dir, ID, &err), 0);
    close(STEAL_FD(taken));
    int status = 0;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    cr_assert_eq(hold(ID, NULL, &fd), 1, "and then it has no note");
    cr_assert_eq(fd, -1);
}

Test(pulled, what_is_no_note_is_left_alone) {
    AUTO_PULLED_LIST struct pulled_list list = {0};
    AUTO_FD int fd = -1;
    cr_assert_eq(hold("sha512:abc", "a:1", &fd), 1);
    cr_assert_eq(hold("sha256:" HEX "0", "a:1", &fd), 1);
    cr_assert_eq(hold("sha256:../../x", "a:1", &fd), 1);
    cr_assert_eq(fd, -1);
    cr_assert_eq(mkdirat(dir, HEX, 0700), 0);
    cr_assert_eq(file_write_atomic(dir, "mine", "x", 1, 0600, &err), 0);
    cr_assert_eq(pulled_list(dir, &list, &err), 0);
    cr_assert_eq(list.count, 0);
}

Test(pulled, a_torn_line_is_not_read) {
    AUTO_PULLED_LIST struct pulled_list list = {0};
    cr_assert_eq(file_write_atomic(dir, HEX, "a:1\nb:", 6, 0600, &err), 0);
    cr_assert_str_eq(only(&list).refs, "a:1\n");
}
