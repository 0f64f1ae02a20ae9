#include "base/ctx.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/clock.h"

enum { CTX_POLL_MAX = 16 };

struct ctx ctx_root(struct ctx_watch *watch) {
    return (struct ctx){.watch = watch, .deadline_ns = CTX_NEVER};
}

struct ctx ctx_child(const struct ctx *parent) {
    return (struct ctx){.parent = parent, .watch = parent->watch, .deadline_ns = CTX_NEVER};
}

void ctx_deadline_at(struct ctx *ctx, int64_t boot_ns) {
    if (boot_ns < ctx->deadline_ns)
        ctx->deadline_ns = boot_ns;
}

void ctx_deadline_in(struct ctx *ctx, int64_t ms) {
    int64_t now = clock_boot_ns();
    if (ms < 0)
        ms = 0;
    ctx_deadline_at(ctx, ms > (CTX_NEVER - now) / NS_PER_MS ? CTX_NEVER : now + ms * NS_PER_MS);
}

void ctx_cancel(struct ctx *ctx) {
    ctx->canceled = true;
}

int64_t ctx_deadline_ns(const struct ctx *ctx) {
    int64_t nearest = CTX_NEVER;
    for (; ctx; ctx = ctx->parent)
        if (ctx->deadline_ns < nearest)
            nearest = ctx->deadline_ns;
    return nearest;
}

enum ctx_state ctx_state(const struct ctx *ctx) {
    for (const struct ctx *c = ctx; c; c = c->parent)
        if (c->canceled)
            return CTX_CANCELED;
    int64_t deadline = ctx_deadline_ns(ctx);
    return deadline != CTX_NEVER && clock_boot_ns() >= deadline ? CTX_EXPIRED : CTX_LIVE;
}

int ctx_check(const struct ctx *ctx, const char *what, struct err *err) {
    switch (ctx_state(ctx)) {
    case CTX_CANCELED:
        return err_set(err, ERR_CANCELED, 0, "%s: canceled", what);
    case CTX_EXPIRED:
        return err_set(err, ERR_DEADLINE, 0, "%s: not done before its deadline", what);
    case CTX_LIVE:
        break;
    }
    return 0;
}

void ctx_own_deadline(const struct ctx *ctx, const char *what, struct err *err) {
    if (err->kind == ERR_DEADLINE && ctx_check(ctx, what, err) == 0)
        err->kind = ERR_AWAY;
}

int ctx_remaining_ms(const struct ctx *ctx) {
    int64_t deadline = ctx_deadline_ns(ctx);
    if (deadline == CTX_NEVER)
        return -1;
    int64_t left = deadline - clock_boot_ns();
    if (left <= 0)
        return 0;
    int64_t ms = (left - 1) / NS_PER_MS + 1;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

int ctx_wake_fd(const struct ctx *ctx) {
    return ctx->watch ? ctx->watch->fd : -1;
}

void ctx_pump(const struct ctx *ctx) {
    struct pollfd p = {.fd = ctx_wake_fd(ctx), .events = POLLIN};
    if (p.fd >= 0 && poll(&p, 1, 0) > 0)
        ctx->watch->on_ready(ctx->watch->arg);
}

int ctx_poll(const struct ctx *ctx, struct pollfd *fds, unsigned n, const char *what, struct err *err) {
    if (n >= CTX_POLL_MAX)
        return err_set(err, ERR_BUG, 0, "%s: %u descriptors to wait for, at most %d", what, n,
                       CTX_POLL_MAX - 1);
    for (;;) {
        if (ctx_check(ctx, what, err) < 0)
            return -1;
        struct pollfd all[CTX_POLL_MAX];
        if (n)
            memcpy(all, fds, n * sizeof *fds);
        all[n] = (struct pollfd){.fd = ctx_wake_fd(ctx), .events = POLLIN};
        int ready = poll(all, n + 1, ctx_remaining_ms(ctx));
        if (ready < 0 && errno != EINTR)
            return err_sys(err, "%s: poll", what);
        if (ready <= 0)
            continue;
        if (all[n].revents) {
            ctx->watch->on_ready(ctx->watch->arg);
            ready--;
        }
        if (ready > 0) {
            for (unsigned i = 0; i < n; i++)
                fds[i].revents = all[i].revents;
            return ready;
        }
    }
}
