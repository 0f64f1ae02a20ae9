/* Binds as files on this machine; volumes are tried on a real engine (tests/integration). */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "runner/mounts.h"

enum { PATH_LEN = 160 };

/* In place of libc's: the call with this number fails, for want of memory. 0: none does. */
static int fails_at;
static bool fails(void) {
    if (fails_at == 0 || --fails_at > 0)
        return false;
    errno = ENOMEM;
    return true;
}
int stat(const char *path, struct stat *st) {
    return fails() ? -1 : fstatat(AT_FDCWD, path, st, 0);
}
char *realpath(const char *path, char *out) {
    static char *(*real)(const char *path, char *out);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "realpath");
    return fails() ? NULL : real(path, out);
}

static char dir[PATH_LEN] = "/tmp/test_mounts.XXXXXX";
static struct err err;

static const char *below(const char *name) {
    static char path[4][PATH_LEN * 2];
    static unsigned next;
    char *out = path[next++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", dir, name);
    return out;
}

static void begin(void) {
    char real[PATH_MAX];
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_not_null(realpath(dir, real));
    cr_assert_lt(strlen(real), sizeof dir);
    memcpy(dir, real, strlen(real) + 1);
    mkdir(below("root"), 0755);
    mkdir(below("root/data"), 0755);
    mkdir(below("outside"), 0755);
    close(open(below("root/file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    mkfifo(below("root/fifo"), 0644);
    mkdir(below("state"), 0755);
    mkdir(below("state/attempts"), 0755);
    symlink("data", below("root/inside"));
    symlink("../outside", below("root/leaves"));
    symlink(below("root/data"), below("root/absolute"));
    symlink("loop", below("root/loop"));
}

static void end(void) {
    dir_remove_tree(AT_FDCWD, dir, NULL);
}

TestSuite(mounts, .init = begin, .fini = end);

static enum reason resolve(const char *roots, const char *source, struct mounts *ret_mounts) {
    struct spec_mount mount = {
        .type = SPEC_MOUNT_BIND, .source = (char *)source, .target = (char *)"/mnt", .read_only = true};
    struct spec spec = {.mounts = &mount, .mounts_count = 1};
    const struct attempt attempt = {.spec = &spec, .tenant = (char *)"t", .instance = (char *)"i"};
    struct ctx ctx = ctx_root(NULL);
    enum reason reason = REASON_COUNT;
    int got = mounts_resolve(&attempt, roots, below("state"), NULL, &ctx, ret_mounts, &reason, &err);
    cr_assert_eq(got < 0, reason != REASON_NONE, "%s", err.text);
    return reason;
}

static void expect_found(const char *roots, const char *source, const char *path) {
    AUTO_MOUNTS struct mounts mounts = {0};
    struct stat st;
    cr_assert_eq(resolve(roots, source, &mounts), REASON_NONE, "%s: %s", source, err.text);
    cr_assert_eq(mounts.count, 1);
    cr_expect_str_eq(mounts.items[0].source, path);
    cr_expect_str_eq(mounts.items[0].target, "/mnt");
    cr_expect(mounts.items[0].type == CONTAINER_MOUNT_BIND && mounts.items[0].read_only);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect(mounts.files[0].dev == st.st_dev && mounts.files[0].inode == st.st_ino);
}

static void expect_refused(const char *roots, const char *source, const char *word) {
    AUTO_MOUNTS struct mounts mounts = {0};
    cr_expect_eq(resolve(roots, source, &mounts), REASON_SPEC_REFUSED, "%s", source);
    cr_expect(strstr(err.text, word), "%s: %s", source, err.text);
}

Test(mounts, binds_below_a_root) {
    AUTO_FREE char *root = mem_strdup(below("root"));
    expect_found(root, below("root/data"), below("root/data"));
    expect_found(root, below("root/file"), below("root/file"));
    expect_found(root, root, root);
    expect_found(root, below("root/inside"), below("root/data"));
    expect_found("/", below("root/data"), below("root/data"));
    AUTO_FREE char *slash = mem_printf("%s/", root);
    expect_found(slash, below("root/data"), below("root/data"));
}

Test(mounts, one_of_several_roots) {
    AUTO_FREE char *roots = mem_printf("%s:%s:%s", below("absent"), below("outside"), below("root"));
    expect_found(roots, below("root/data"), below("root/data"));
    expect_found(roots, below("outside"), below("outside"));
}

Test(mounts, links_that_leave_the_root) {
    AUTO_FREE char *root = mem_strdup(below("root"));
    expect_refused(root, below("root/leaves"), "symbolic link");
    expect_refused(root, below("root/leaves/x"), "symbolic link");
    expect_refused(root, below("root/absolute"), "symbolic link");
    expect_refused(root, below("root/loop"), "symbolic link");
    expect_refused(root, below("root/../outside"), "symbolic link");
}

Test(mounts, what_is_no_source) {
    AUTO_FREE char *root = mem_strdup(below("root"));
    expect_refused(root, below("root/absent"), "does not exist");
    expect_refused(root, below("root/file/x"), "does not exist");
    expect_refused(root, below("root/fifo"), "neither a directory");
    expect_refused(root, below("root2"), "BERTH_BIND_ROOTS");
    expect_refused(NULL, below("root/data"), "BERTH_BIND_ROOTS");
    expect_refused("", below("root/data"), "BERTH_BIND_ROOTS");
    expect_refused(":", below("root/data"), "BERTH_BIND_ROOTS");
    expect_refused("/proc/self", "/proc/self/fd/0", "BERTH_BIND_ROOTS");
}

Test(mounts, a_root_may_itself_be_a_link) {
    symlink("root", below("alias"));
    expect_found(below("alias"), below("alias/data"), below("root/data"));
}

Test(mounts, what_holds_or_is_the_state_directory_or_holds_the_engines_socket) {
    symlink("state/attempts", below("harmless"));
    AUTO_FREE char *whole = mem_strdup(dir);
    expect_refused(whole, dir, "state directory");
    expect_refused(whole, below("state"), "state directory");
    expect_refused(whole, below("harmless"), "state directory");
    expect_refused(below("harmless"), below("harmless"), "state directory");
    expect_refused("/", "/tmp", "state directory");
    expect_refused("/", "/", "state directory");
    expect_found(whole, below("root/data"), below("root/data"));
    char real[PATH_MAX];
    if (!realpath("/var/run/docker.sock", real))
        return;
    *strrchr(real, '/') = '\0';
    expect_refused("/", real, "engine's socket");
}

Test(mounts, what_cannot_be_looked_at_now_is_not_given) {
    enum { CALLS_MAX = 1000 };
    AUTO_FREE char *state = mem_strdup(below("state"));
    struct spec_mount mount = {
        .type = SPEC_MOUNT_BIND, .source = state, .target = (char *)"/mnt", .read_only = true};
    struct spec spec = {.mounts = &mount, .mounts_count = 1};
    const struct attempt attempt = {.spec = &spec, .tenant = (char *)"t", .instance = (char *)"i"};
    struct ctx ctx = ctx_root(NULL);
    int unsure = 0;
    for (int at = 1; at < CALLS_MAX; at++) {
        AUTO_MOUNTS struct mounts mounts = {0};
        enum reason reason = REASON_COUNT;
        fails_at = at;
        cr_assert_eq(mounts_resolve(&attempt, dir, state, NULL, &ctx, &mounts, &reason, &err), -1, "call %d",
                     at);
        if (fails_at > 0)
            break;
        cr_expect_eq(reason, REASON_NONE, "it may be told the next time: %s", err.text);
        unsure++;
    }
    fails_at = 0;
    cr_expect_geq(unsure, 2);
}

Test(mounts, a_tmpfs_has_its_size) {
    struct spec_mount mount = {.type = SPEC_MOUNT_TMPFS, .target = (char *)"/t", .bytes = 4096};
    struct spec spec = {.mounts = &mount, .mounts_count = 1};
    const struct attempt attempt = {.spec = &spec};
    struct ctx ctx = ctx_root(NULL);
    AUTO_MOUNTS struct mounts mounts = {0};
    enum reason reason;
    cr_assert_eq(mounts_resolve(&attempt, NULL, NULL, NULL, &ctx, &mounts, &reason, &err), 0);
    cr_expect(mounts.items[0].type == CONTAINER_MOUNT_TMPFS && mounts.items[0].tmpfs_bytes == 4096);
    cr_expect(!mounts.items[0].source && !mounts.files[0].dev);
}

Test(mounts, no_two_tenants_share_a_volume) {
    static const struct {
        const char *tenant, *source, *name;
    } rows[] = {{"default", "cache-npm", "berth_default_cache-npm"},
                {"a", "b_c", "berth_a_b_c"},
                {"a_b", "c", "berth_a.5fb_c"},
                {"a.5fb", "c", "berth_a.2e5fb_c"},
                {"gr\xc3\xbc", "x", "berth_gr.c3.bc_x"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *name = mounts_volume_name(rows[i].tenant, rows[i].source);
        cr_expect_str_eq(name, rows[i].name, "%s", name);
    }
}
