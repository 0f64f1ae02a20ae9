#include "runner/orders.h"

#include <errno.h>
#include <unistd.h>

#include "base/log.h"
#include "proto/child.h"
#include "proto/control.h"

void orders_init(struct orders *orders, struct ctx_watch watch) {
    *orders = (struct orders){.watch = watch};
    orders->live = ctx_root(&orders->watch);
    orders->patience = ctx_root(&orders->watch);
}

void orders_cancel(struct orders *orders, enum reason reason, bool force) {
    if (!orders->canceled)
        orders->reason = reason;
    orders->canceled = true;
    ctx_cancel(&orders->live);
    if (!force)
        return;
    orders->force = true;
    ctx_cancel(&orders->patience);
}

static void on_control(void *arg) {
    struct orders *orders = arg;
    struct control message = {0};
    struct err err = {0};
    int got = control_recv(orders->watch.fd, &message, &err);
    if (got == 0)
        _exit(CHILD_EXIT_DONE);
    if (got < 0) {
        if (!(err.kind == ERR_SYS && err.code == EAGAIN))
            log_error("message from the parent not understood", LERR(&err));
        if (err.kind == ERR_SYS && err.code != EAGAIN)
            _exit(CHILD_EXIT_AGAIN); /* a broken socket would be readable for ever */
        return;
    }
    if (message.type == CONTROL_CANCEL)
        orders_cancel(orders, message.reason, message.force);
    else
        log_warn("unexpected message from the parent", LI("type", message.type));
    control_done(&message);
}

void orders_init_child(struct orders *orders, int control_fd) {
    orders_init(orders, (struct ctx_watch){.fd = control_fd, .on_ready = on_control});
    orders->watch.arg = orders;
}

struct ctx orders_fresh(struct orders *orders, int64_t ms) {
    struct ctx ctx = ctx_root(&orders->watch);
    ctx_deadline_in(&ctx, ms);
    return ctx;
}

void orders_pause(struct orders *orders, const struct ctx *until, int64_t ms) {
    struct ctx root = orders_fresh(orders, ms);
    struct ctx below = until ? ctx_child(until) : root;
    ctx_deadline_in(&below, ms);
    ctx_poll(&below, NULL, 0, "pause", NULL);
}
