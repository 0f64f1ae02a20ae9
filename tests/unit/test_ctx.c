#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ctx.h"

struct orders {
    int fd;
    int count;
    struct ctx *cancels;
};

static void take_order(void *arg) {
    struct orders *orders = arg;
    char byte;
    cr_assert_eq(read(orders->fd, &byte, 1), 1);
    orders->count++;
    if (orders->cancels)
        ctx_cancel(orders->cancels);
}

Test(ctx, a_root_lives_without_deadline) {
    struct ctx ctx = ctx_root(NULL);
    cr_assert_eq(ctx_state(&ctx), CTX_LIVE);
    cr_assert_eq(ctx_remaining_ms(&ctx), -1);
    cr_assert_eq(ctx_deadline_ns(&ctx), CTX_NEVER);
    cr_assert_eq(ctx_wake_fd(&ctx), -1);
    cr_assert_eq(ctx_check(&ctx, "x", NULL), 0);
}

Test(ctx, cancel_reaches_the_child_and_not_the_parent) {
    struct ctx parent = ctx_root(NULL);
    struct ctx child = ctx_child(&parent);
    struct ctx grandchild = ctx_child(&child);
    struct err err = {0};
    ctx_cancel(&child);
    cr_assert_eq(ctx_state(&parent), CTX_LIVE);
    cr_assert_eq(ctx_state(&grandchild), CTX_CANCELED);
    cr_assert_eq(ctx_check(&grandchild, "pull", &err), -1);
    cr_assert_eq(err.kind, ERR_CANCELED);
    cr_assert_str_eq(err.text, "pull: canceled");
}

Test(ctx, a_passed_deadline_expires) {
    struct ctx parent = ctx_root(NULL);
    struct ctx child = ctx_child(&parent);
    struct err err = {0};
    ctx_deadline_in(&parent, 0);
    cr_assert_eq(ctx_state(&child), CTX_EXPIRED);
    cr_assert_eq(ctx_remaining_ms(&child), 0);
    cr_assert_eq(ctx_check(&child, "pull", &err), -1);
    cr_assert_eq(err.kind, ERR_DEADLINE);
    ctx_cancel(&child);
    cr_assert_eq(ctx_state(&child), CTX_CANCELED, "an order counts more than the clock");
}

Test(ctx, the_nearest_deadline_counts) {
    struct ctx parent = ctx_root(NULL);
    struct ctx child = ctx_child(&parent);
    ctx_deadline_at(&parent, clock_boot_ns() + 100 * NS_PER_S);
    ctx_deadline_at(&child, CTX_NEVER - 1);
    cr_assert_eq(ctx_deadline_ns(&child), parent.deadline_ns);
    ctx_deadline_in(&child, 50000);
    cr_assert_eq(ctx_deadline_ns(&child), child.deadline_ns);
    cr_assert_lt(child.deadline_ns, parent.deadline_ns);
    ctx_deadline_in(&child, 90000);
    cr_assert_leq(ctx_remaining_ms(&child), 50000, "a deadline is not moved away");
    cr_assert_gt(ctx_remaining_ms(&child), 40000);
}

Test(ctx, a_deadline_of_its_own_is_the_fault_of_who_was_asked) {
    struct ctx ctx = ctx_root(NULL);
    struct err own = {.kind = ERR_DEADLINE, .text = "GET /x"}, other = {.kind = ERR_ENGINE};
    ctx_own_deadline(&ctx, "x", &own);
    cr_expect_eq(own.kind, ERR_AWAY);
    cr_expect_str_eq(own.text, "GET /x");
    ctx_own_deadline(&ctx, "x", &other);
    cr_expect_eq(other.kind, ERR_ENGINE);
    own.kind = ERR_DEADLINE;
    ctx_deadline_in(&ctx, 0);
    ctx_own_deadline(&ctx, "x", &own);
    cr_expect_eq(own.kind, ERR_DEADLINE);
    ctx_cancel(&ctx);
    ctx_own_deadline(&ctx, "x", &own);
    cr_expect_eq(own.kind, ERR_CANCELED);
}

Test(ctx, extreme_deadlines_do_not_run_over) {
    struct ctx ctx = ctx_root(NULL);
    ctx_deadline_in(&ctx, INT64_MAX);
    cr_assert_eq(ctx.deadline_ns, CTX_NEVER);
    ctx_deadline_at(&ctx, CTX_NEVER - 1);
    cr_assert_eq(ctx_remaining_ms(&ctx), INT_MAX);
    ctx_deadline_in(&ctx, INT64_MIN);
    cr_assert_eq(ctx_state(&ctx), CTX_EXPIRED);
}

Test(ctx, remaining_is_rounded_up) {
    struct ctx ctx = ctx_root(NULL);
    int64_t now = clock_boot_ns();
    ctx_deadline_at(&ctx, now + 3600 * NS_PER_S + 1);
    int ms = ctx_remaining_ms(&ctx);
    int64_t passed_ns = clock_boot_ns() - now;
    cr_assert_geq(ms * NS_PER_MS, 3600 * NS_PER_S + 1 - passed_ns, "poll would wake before the deadline");
    cr_assert_leq(ms, 3600 * 1000 + 1);
}

Test(ctx, poll_returns_what_is_ready) {
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    struct ctx ctx = ctx_root(NULL);
    struct pollfd p[2] = {{.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLOUT}};
    cr_assert_eq(ctx_poll(&ctx, p, 2, "wait", NULL), 1);
    cr_assert_eq(p[0].revents, 0);
    cr_assert_eq(p[1].revents, POLLOUT);
}

Test(ctx, poll_ends_at_the_deadline) {
    struct ctx ctx = ctx_root(NULL);
    struct err err = {0};
    int64_t begin = clock_boot_ns();
    ctx_deadline_in(&ctx, 20);
    cr_assert_eq(ctx_poll(&ctx, NULL, 0, "wait", &err), -1);
    cr_assert_eq(err.kind, ERR_DEADLINE);
    cr_assert_geq(clock_boot_ns() - begin, 20 * NS_PER_MS);
}

Test(ctx, the_watch_is_read_while_polling_and_may_cancel) {
    int order[2], data[2];
    cr_assert_eq(pipe(order), 0);
    cr_assert_eq(pipe(data), 0);
    struct orders orders = {.fd = order[0]};
    struct ctx_watch watch = {.fd = order[0], .on_ready = take_order, .arg = &orders};
    struct ctx root = ctx_root(&watch);
    struct ctx child = ctx_child(&root);
    struct err err = {0};
    orders.cancels = &root;
    cr_assert_eq(write(order[1], "c", 1), 1);
    struct pollfd p = {.fd = data[0], .events = POLLIN};
    cr_assert_eq(ctx_poll(&child, &p, 1, "copy", &err), -1);
    cr_assert_eq(err.kind, ERR_CANCELED);
    cr_assert_eq(orders.count, 1);
}

Test(ctx, an_order_that_cancels_nothing_lets_the_wait_go_on) {
    int order[2], data[2];
    cr_assert_eq(pipe(order), 0);
    cr_assert_eq(pipe(data), 0);
    struct orders orders = {.fd = order[0]};
    struct ctx_watch watch = {.fd = order[0], .on_ready = take_order, .arg = &orders};
    struct ctx ctx = ctx_root(&watch);
    cr_assert_eq(write(order[1], "ab", 2), 2);
    cr_assert_eq(write(data[1], "x", 1), 1);
    struct pollfd p = {.fd = data[0], .events = POLLIN};
    cr_assert_eq(ctx_poll(&ctx, &p, 1, "copy", NULL), 1, "only the caller's descriptors are counted");
    cr_assert_eq(p.revents, POLLIN);
    cr_assert_eq(orders.count, 1);
    ctx_deadline_in(&ctx, 5);
    cr_assert_eq(ctx_poll(&ctx, NULL, 0, "wait", NULL), -1);
    cr_assert_eq(orders.count, 2);
}

Test(ctx, pump_reads_without_blocking) {
    int order[2];
    cr_assert_eq(pipe(order), 0);
    struct orders orders = {.fd = order[0]};
    struct ctx_watch watch = {.fd = order[0], .on_ready = take_order, .arg = &orders};
    struct ctx ctx = ctx_root(&watch);
    ctx_pump(&ctx);
    cr_assert_eq(orders.count, 0);
    cr_assert_eq(write(order[1], "x", 1), 1);
    ctx_pump(&ctx);
    cr_assert_eq(orders.count, 1);
}

Test(ctx, too_many_descriptors_are_refused) {
    struct ctx ctx = ctx_root(NULL);
    struct pollfd p[16];
    for (int i = 0; i < 16; i++)
        p[i] = (struct pollfd){.fd = -1};
    struct err err = {0};
    cr_assert_eq(ctx_poll(&ctx, p, 16, "wait", &err), -1);
    cr_assert_eq(err.kind, ERR_BUG);
}
