#include "base/lock.h"

#include <errno.h>
#include <stddef.h>
#include <sys/file.h>

int64_t lock_next_pause_ms(int64_t pause_ms) {
    return 2 * pause_ms < LOCK_PAUSE_MAX_MS ? 2 * pause_ms : LOCK_PAUSE_MAX_MS;
}

static int wait_for(int fd, int operation, const struct ctx *ctx, const char *what, struct err *err) {
    for (int64_t pause_ms = LOCK_PAUSE_FIRST_MS; flock(fd, operation | LOCK_NB) < 0;
         pause_ms = lock_next_pause_ms(pause_ms)) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_sys(err, "%s: lock", what);
        struct ctx pause = ctx_child(ctx);
        ctx_deadline_in(&pause, pause_ms);
        ctx_poll(&pause, NULL, 0, what, NULL);
        if (ctx_check(ctx, what, err) < 0)
            return -1;
    }
    return 0;
}

int lock_wait(int fd, const struct ctx *ctx, const char *what, struct err *err) {
    return wait_for(fd, LOCK_EX, ctx, what, err);
}

int lock_wait_shared(int fd, const struct ctx *ctx, const char *what, struct err *err) {
    return wait_for(fd, LOCK_SH, ctx, what, err);
}
