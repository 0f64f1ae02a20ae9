#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"

static char home[] = "/tmp/test_fdutil.XXXXXX";
static int at = -1;

static void setup(void) {
    cr_assert_not_null(mkdtemp(home));
    at = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(at, 0);
}

static void teardown(void) {
    close(at);
    cr_assert_eq(dir_remove_tree(AT_FDCWD, home, NULL), 0);
}

TestSuite(fdutil, .init = setup, .fini = teardown);

static bool exists(const char *name) {
    struct stat st;
    return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void touch(const char *name) {
    AUTO_FD int fd = openat(at, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0, "%s", name);
}

Test(fdutil, writes_and_reads_a_file) {
    AUTO_BUF struct buf out = {0};
    umask(077);
    cr_assert_eq(file_write_atomic(at, "f", "a\0b", 3, 0644, NULL), 0);
    cr_assert_eq(file_read(at, "f", 3, &out, NULL), 0);
    cr_assert_eq(out.len, 3);
    cr_assert_arr_eq(out.data, "a\0b", 4);
    struct stat st;
    cr_assert_eq(fstatat(at, "f", &st, 0), 0);
    cr_assert_eq(st.st_mode & 0777, 0644, "whatever the umask");
    cr_assert_not(exists("f.new"));
}

Test(fdutil, replaces_a_file_and_does_not_write_into_it) {
    AUTO_BUF struct buf old = BUF(100), new = {0};
    cr_assert_eq(file_write_atomic(at, "f", "old", 3, 0600, NULL), 0);
    AUTO_FD int fd = openat(at, "f", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(file_write_atomic(at, "f", "new", 3, 0600, NULL), 0);
    cr_assert_eq(fd_read_all(fd, &old, NULL), 0);
    cr_assert_str_eq(buf_str(&old), "old", "a reader that has the old one keeps it whole");
    cr_assert_eq(file_read(at, "f", 100, &new, NULL), 0);
    cr_assert_str_eq(buf_str(&new), "new");
}

Test(fdutil, a_planted_temporary_file_is_not_written_into) {
    AUTO_BUF struct buf out = {0};
    cr_assert_eq(file_write_atomic(at, "victim", "mine", 4, 0600, NULL), 0);
    cr_assert_eq(linkat(at, "victim", at, "f.new", 0), 0);
    cr_assert_eq(file_write_atomic(at, "f", "other", 5, 0600, NULL), 0);
    cr_assert_eq(file_read(at, "victim", 100, &out, NULL), 0);
    cr_assert_str_eq(buf_str(&out), "mine");
    cr_assert_eq(mkfifoat(at, "g.new", 0600), 0);
    cr_assert_eq(file_write_atomic(at, "g", "x", 1, 0600, NULL), 0, "and a planted pipe does not block");
}

Test(fdutil, a_failed_write_leaves_the_old_one_and_no_rest) {
    struct err err = {0};
    cr_assert_eq(mkdirat(at, "d", 0700), 0);
    touch("d/x");
    cr_assert_eq(file_write_atomic(at, "d", "x", 1, 0600, &err), -1);
    cr_assert_eq(err.kind, ERR_SYS);
    cr_assert(exists("d/x"));
    cr_assert_not(exists("d.new"));
    cr_assert_eq(file_write_atomic(at, "absent/f", "x", 1, 0600, &err), -1);
    cr_assert_eq(err.code, ENOENT);
}

Test(fdutil, writes_below_absolute_and_relative_paths) {
    AUTO_FREE char *path = mem_printf("%s/sub/f", home);
    cr_assert_eq(mkdirat(at, "sub", 0700), 0);
    cr_assert_eq(file_write_atomic(AT_FDCWD, path, "x", 1, 0600, NULL), 0);
    cr_assert_eq(file_write_atomic(at, "sub/g", "x", 1, 0600, NULL), 0);
    cr_assert(exists("sub/f") && exists("sub/g"));
}

Test(fdutil, reading_has_a_bound) {
    struct err err = {0};
    AUTO_BUF struct buf out = {0};
    cr_assert_eq(file_write_atomic(at, "f", "12345", 5, 0600, NULL), 0);
    cr_assert_eq(file_read(at, "f", 4, &out, &err), -1);
    cr_assert_eq(err.kind, ERR_LIMIT);
    cr_assert_not_null(strstr(err.text, "f: longer than 4 bytes"), "%s", err.text);
    cr_assert_null(out.data);
    cr_assert_eq(file_read(at, "absent", 4, &out, &err), -1);
    cr_assert_eq(err.code, ENOENT);
}

Test(fdutil, makes_a_directory_and_its_parents) {
    struct err err = {0};
    AUTO_FREE char *path = mem_printf("%s/a/b/c/", home);
    cr_assert_eq(dir_make(path, 0700, NULL), 0);
    cr_assert_eq(dir_make(path, 0700, NULL), 0, "it may be there already");
    cr_assert(exists("a/b/c"));
    touch("a/file");
    AUTO_FREE char *file = mem_printf("%s/a/file", home);
    cr_assert_eq(dir_make(file, 0700, &err), -1, "a file is no directory");
    AUTO_FREE char *below = mem_printf("%s/a/file/x", home);
    cr_assert_eq(dir_make(below, 0700, &err), -1);
    cr_assert_eq(dir_make("", 0700, &err), -1);
    cr_assert_eq(dir_make("/", 0700, &err), 0);
}

Test(fdutil, removes_a_tree_and_does_not_follow_links) {
    cr_assert_eq(mkdirat(at, "keep", 0700), 0);
    touch("keep/file");
    cr_assert_eq(mkdirat(at, "t", 0700), 0);
    cr_assert_eq(mkdirat(at, "t/sub", 0700), 0);
    touch("t/sub/file");
    cr_assert_eq(symlinkat("../../keep", at, "t/sub/link"), 0);
    cr_assert_eq(symlinkat("/nowhere", at, "t/broken"), 0);
    cr_assert_eq(mkfifoat(at, "t/pipe", 0600), 0);
    struct err err = {0};
    cr_assert_eq(dir_remove_tree(at, "t", &err), 0, "%s", err.text);
    cr_assert_not(exists("t"));
    cr_assert(exists("keep/file"));
    cr_assert_eq(symlinkat("keep", at, "link"), 0);
    cr_assert_eq(dir_remove_tree(at, "link", NULL), 0);
    cr_assert_not(exists("link"));
    cr_assert(exists("keep/file"), "the link went, not what it names");
}

Test(fdutil, what_is_absent_is_removed_already) {
    cr_assert_eq(dir_remove_tree(at, "absent", NULL), 0);
    touch("file");
    cr_assert_eq(dir_remove_tree(at, "file", NULL), 0);
    cr_assert_not(exists("file"));
}

/* Whoever made it cannot exhaust our descriptors or our stack with it. */
Test(fdutil, a_tree_that_is_too_deep_is_refused) {
    enum { DEEP = 200 };
    struct err err = {0};
    AUTO_FD int fd = dup(at);
    for (int i = 0; i < DEEP; i++) {
        cr_assert_eq(mkdirat(fd, "d", 0700), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert_geq(next, 0);
        close(fd);
        fd = next;
    }
    cr_assert_eq(dir_remove_tree(at, "d", &err), -1);
    cr_assert_eq(err.kind, ERR_LIMIT);
    for (int i = 0; i < DEEP; i++) {
        int up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = up;
        cr_assert_eq(unlinkat(fd, "d", AT_REMOVEDIR), 0);
    }
}

Test(fdutil, packets_keep_their_bounds) {
    int s[2];
    char in[8];
    struct err err = {0};
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
    cr_assert_eq(packet_recv(s[1], in, sizeof in, &err), -1);
    cr_assert_eq(err.code, EAGAIN);
    cr_assert_eq(packet_send(s[0], "abc", 3, NULL), 0);
    cr_assert_eq(packet_send(s[0], "123456789", 9, NULL), 0);
    cr_assert_eq(packet_send(s[0], "12345678", 8, NULL), 0);
    cr_assert_eq(packet_recv(s[1], in, sizeof in, NULL), 3);
    cr_assert_arr_eq(in, "abc", 3);
    cr_assert_eq(packet_recv(s[1], in, sizeof in, &err), -1, "what does not fit is not handed on in part");
    cr_assert_eq(err.kind, ERR_LIMIT);
    cr_assert_eq(packet_recv(s[1], in, sizeof in, NULL), 8);
    close(s[0]);
    cr_assert_eq(packet_recv(s[1], in, sizeof in, NULL), 0);
    close(s[1]);
}

Test(fdutil, a_packet_to_one_who_is_gone_or_full_does_not_block) {
    int s[2];
    struct err err = {0};
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
    int sent = 0;
    while (packet_send(s[0], "x", 1, &err) == 0)
        cr_assert_lt(++sent, 100000);
    cr_assert_eq(err.kind, ERR_AWAY);
    close(s[1]);
    cr_assert_eq(packet_send(s[0], "x", 1, &err), -1);
    cr_assert_eq(err.kind, ERR_AWAY, "and no SIGPIPE");
    close(s[0]);
}

Test(fdutil, nonblocking) {
    int p[2];
    char c;
    cr_assert_eq(pipe(p), 0);
    cr_assert_eq(fd_set_nonblock(p[0], NULL), 0);
    cr_assert_eq(read(p[0], &c, 1), -1);
    cr_assert_eq(errno, EAGAIN);
    struct err err = {0};
    cr_assert_eq(fd_set_nonblock(-1, &err), -1);
    cr_assert_eq(err.code, EBADF);
}

static int open_descriptors(void) {
    AUTO_DIR DIR *dir = opendir("/proc/self/fd");
    int count = 0;
    while (dir && readdir(dir))
        count++;
    return count;
}

/* The caller's descriptor stays open and where it was, and none is left over, also on failure. */
Test(fdutil, entries_of_an_open_directory) {
    cr_assert_eq(mkdirat(at, "one", 0700), 0);
    int before = open_descriptors();
    for (int turn = 0; turn < 2; turn++) {
        AUTO_DIR DIR *dir = dir_open(at);
        cr_assert_not_null(dir);
        bool seen = false;
        for (const struct dirent *e; (e = readdir(dir));)
            seen |= strcmp(e->d_name, "one") == 0;
        cr_assert(seen, "turn %d", turn);
    }
    cr_assert(exists("one"));
    cr_assert_null(dir_open(-1));
    cr_assert_eq(open_descriptors(), before);
}
