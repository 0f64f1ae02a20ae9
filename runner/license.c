#include "runner/license.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "proto/lease.h"

static void drain(int fd) {
    char events[4096];
    while (fd >= 0 && read(fd, events, sizeof events) > 0)
        ;
}

/* Until the file has changed, or for LICENSE_LOOK_MS. -1: the context has ended. */
static int await_change(int notify_fd, const struct ctx *ctx, struct err *err) {
    struct ctx look = ctx_child(ctx);
    struct pollfd changed = {.fd = notify_fd, .events = POLLIN};
    ctx_deadline_in(&look, LICENSE_LOOK_MS);
    ctx_poll(&look, &changed, notify_fd >= 0, "wait for the lease", NULL);
    drain(notify_fd);
    return ctx_check(ctx, "wait for the orchestrator's lease", err);
}

int license_await(const char *path, const struct ctx *ctx, int64_t *ret_waited_ns, struct err *err) {
    char boot_id[CLOCK_BOOT_ID_MAX];
    int64_t begun_ns = clock_boot_ns();
    *ret_waited_ns = 0;
    if (!path)
        return 0;
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return err_sys(err, "open %s", path);
    if (clock_boot_id(boot_id, err) < 0)
        return -1;
    AUTO_FD int notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (notify_fd >= 0)
        inotify_add_watch(notify_fd, path, IN_MODIFY);
    for (bool told = false; lease_read(fd, boot_id) <= clock_boot_ms(); told = true) {
        if (!told)
            log_warn("the orchestrator's lease is over, the command is not begun before it holds again");
        if (await_change(notify_fd, ctx, err) < 0)
            return -1;
    }
    *ret_waited_ns = clock_boot_ns() - begun_ns;
    for (int i = 0; i < LICENSE_ORDERS_MAX; i++)
        ctx_pump(ctx);
    return ctx_check(ctx, "begin the command", err);
}
