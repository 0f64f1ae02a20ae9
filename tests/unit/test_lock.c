#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/lock.h"
#include <fcntl.h>

/* Two open files of one name, whose locks exclude each other. */
static void open_two(int fd[2]) {
    char path[] = "/tmp/test-lock-XXXXXX";
    fd[0] = mkostemp(path, O_CLOEXEC);
    fd[1] = open(path, O_RDWR | O_CLOEXEC);
    cr_assert(fd[0] >= 0 && fd[1] >= 0);
    unlink(path);
}

static void let_go(void *arg) {
    int *fd = arg;
    flock(fd[0], LOCK_UN);
    char byte;
    cr_assert_eq(read(fd[2], &byte, 1), 1);
}

Test(lock, the_pause_grows_to_its_bound_and_stays_there) {
    int64_t pause_ms = LOCK_PAUSE_FIRST_MS;
    for (int i = 0; i < 1000; i++) {
        int64_t next_ms = lock_next_pause_ms(pause_ms);
        cr_assert(next_ms >= pause_ms && next_ms <= LOCK_PAUSE_MAX_MS, "%lld", (long long)next_ms);
        pause_ms = next_ms;
    }
    cr_expect_eq(pause_ms, LOCK_PAUSE_MAX_MS);
}

Test(lock, is_waited_for_until_the_context_ends) {
    int fd[2];
    struct err err = {0};
    open_two(fd);
    struct ctx ctx = ctx_root(NULL);
    cr_assert_eq(lock_wait(fd[0], &ctx, "take the first", &err), 0);
    ctx_deadline_in(&ctx, 20);
    cr_expect_eq(lock_wait(fd[1], &ctx, "take the second", &err), -1);
    cr_expect_eq(err.kind, ERR_DEADLINE);
    cr_expect(strstr(err.text, "take the second"), "%s", err.text);
    close(fd[0]);
    close(fd[1]);
}

/* What the context watches is served while waiting; here it lets the lock go. */
Test(lock, is_taken_as_soon_as_it_is_free) {
    int fd[3], ends[2];
    struct err err = {0};
    open_two(fd);
    cr_assert_eq(pipe(ends), 0);
    fd[2] = ends[0];
    struct ctx_watch watch = {.fd = ends[0], .on_ready = let_go, .arg = fd};
    struct ctx ctx = ctx_root(&watch);
    cr_assert_eq(flock(fd[0], LOCK_EX), 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_expect_eq(lock_wait(fd[1], &ctx, "take it", &err), 0, "%s", err.text);
    cr_expect_neq(flock(fd[0], LOCK_EX | LOCK_NB), 0, "it is held now");
}
