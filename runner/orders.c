#include "runner/orders.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "proto/child.h"
#include "proto/control.h"

void orders_init(struct orders *orders, struct ctx_watch watch) {
    *orders = (struct orders){.watch = watch, .first = watch, .both_fd = -1};
    orders->live = ctx_root(&orders->watch);
    orders->patience = ctx_root(&orders->watch);
    orders->calm = ctx_child(&orders->live);
}

void orders_stir(struct orders *orders) {
    ctx_cancel(&orders->calm);
}

void orders_calm(struct orders *orders) {
    orders->calm = ctx_child(&orders->live);
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

static void extend(struct orders *orders, int64_t run_ms) {
    if (run_ms == orders->extend_ms)
        return; /* told again, to be sure */
    orders->extend_ms = run_ms;
    orders_stir(orders);
}

static void begin(struct orders *orders) {
    orders->may_begin = true;
    orders_stir(orders);
}

static void on_control(void *arg) {
    struct orders *orders = arg;
    struct control message = {0};
    struct err err = {0};
    int got = control_recv(orders->first.fd, &message, &err);
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
    else if (message.type == CONTROL_EXTEND)
        extend(orders, message.run_ms);
    else if (message.type == CONTROL_BEGIN)
        begin(orders);
    else if (message.type == CONTROL_ALIVE)
        control_answer_alive(orders->first.fd, &message);
    else
        log_warn("unexpected message from the parent", LI("type", message.type));
    control_done(&message);
}

void orders_init_child(struct orders *orders, int control_fd) {
    orders_init(orders, (struct ctx_watch){.fd = control_fd, .on_ready = on_control});
    orders->watch.arg = orders->first.arg = orders;
}

static void on_both(void *arg) {
    const struct orders *orders = arg;
    struct epoll_event events[2];
    int count = epoll_wait(orders->both_fd, events, ARRAY_LEN(events), 0);
    for (int i = 0; i < count; i++) {
        const struct ctx_watch *ready = events[i].data.u32 == 0 ? &orders->first : &orders->second;
        ready->on_ready(ready->arg);
    }
}

int orders_watch_also(struct orders *orders, struct ctx_watch second, struct err *err) {
    const int fds[] = {orders->first.fd, second.fd};
    AUTO_FD int both_fd = epoll_create1(EPOLL_CLOEXEC);
    if (both_fd < 0)
        return err_sys(err, "epoll_create1");
    for (uint32_t i = 0; i < ARRAY_LEN(fds); i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (fds[i] >= 0 && epoll_ctl(both_fd, EPOLL_CTL_ADD, fds[i], &event) < 0)
            return err_sys(err, "epoll_ctl");
    }
    orders->second = second;
    orders->both_fd = STEAL_FD(both_fd);
    orders->watch = (struct ctx_watch){.fd = orders->both_fd, .on_ready = on_both, .arg = orders};
    return 0;
}

void orders_watch_end(struct orders *orders) {
    if (orders->both_fd < 0)
        return;
    close(orders->both_fd);
    orders->both_fd = -1;
    orders->watch = orders->first;
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
