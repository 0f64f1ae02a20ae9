/*
 * ctx - a deadline and a cancellation, passed down to every call that can block.
 *
 * A context ends when it is canceled, when its deadline passes, or when its parent ends. Whoever blocks does
 * so through ctx_poll() (or polls ctx_wake_fd() beside its own descriptors and calls ctx_pump() when that is
 * readable): the process's source of orders (its parent's socket, its signals) is hung into the context with
 * a ctx_watch, is read while waiting, and may cancel any context there is. Cleaning up after a job uses a
 * fresh context made with ctx_root() and the same watch, never the one that was canceled.
 *
 * Contexts are plain structs owned by their scope; a parent must outlive its children. One thread only.
 */
#ifndef BERTH_BASE_CTX_H
#define BERTH_BASE_CTX_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define CTX_NEVER INT64_MAX

enum ctx_state { CTX_LIVE, CTX_CANCELED, CTX_EXPIRED };

struct ctx_watch {
    int fd;                      /* polled for POLLIN; -1: none */
    void (*on_ready)(void *arg); /* must consume what made fd readable */
    void *arg;
};

struct ctx {
    const struct ctx *parent;
    struct ctx_watch *watch; /* inherited from the parent; may be NULL */
    int64_t deadline_ns;     /* CLOCK_BOOTTIME, or CTX_NEVER */
    bool canceled;
};

struct ctx ctx_root(struct ctx_watch *watch);
struct ctx ctx_child(const struct ctx *parent);
/* The nearer of the deadline that is there and this one. */
void ctx_deadline_at(struct ctx *ctx, int64_t boot_ns);
void ctx_deadline_in(struct ctx *ctx, int64_t ms); /* from now; a negative one is now */
void ctx_cancel(struct ctx *ctx);

enum ctx_state ctx_state(const struct ctx *ctx);
/* -1 with ERR_CANCELED or ERR_DEADLINE ("<what>: canceled") when ended, else 0. */
int ctx_check(const struct ctx *ctx, const char *what, struct err *err);
/* err comes from a call that had a deadline of its own, beside this context or below it. Where only that has
 * passed, whoever was asked did not answer: ERR_AWAY. Where this one has ended, err says so. Any other error
 * stays. */
void ctx_own_deadline(const struct ctx *ctx, const char *what, struct err *err);
/* Milliseconds until the nearest deadline in the chain, rounded up, at most INT_MAX; -1: none. For poll(2).
 */
int ctx_remaining_ms(const struct ctx *ctx);
/* The nearest deadline in the chain, CLOCK_BOOTTIME, or CTX_NEVER. */
int64_t ctx_deadline_ns(const struct ctx *ctx);

int ctx_wake_fd(const struct ctx *ctx); /* -1: none */
void ctx_pump(const struct ctx *ctx);   /* runs on_ready if the wake fd is readable; never blocks */

/* poll(2) on `fds` under the context. Returns the number of ready descriptors (> 0), or -1 when the context
 * ended first (ERR_CANCELED, ERR_DEADLINE) or poll failed. With n = 0 it waits for the context's end. */
int ctx_poll(const struct ctx *ctx, struct pollfd *fds, unsigned n, const char *what, struct err *err);

#endif
