/*
 * lock - waits for a lock that several processes share, under a context: flock(2) alone would wait for ever
 * and serve nothing meanwhile.
 */
#ifndef BERTH_BASE_LOCK_H
#define BERTH_BASE_LOCK_H

#include <stdint.h>

#include "base/ctx.h"

/* Between two looks at the lock: the first pause, doubled up to the last. */
enum { LOCK_PAUSE_FIRST_MS = 5, LOCK_PAUSE_MAX_MS = 100 };

int64_t lock_next_pause_ms(int64_t pause_ms);

/* Takes the exclusive lock of an open file or directory; it lasts until that is closed. `what` is waited for,
 * as ctx_check() wants it. ERR_CANCELED, ERR_DEADLINE, ERR_SYS. */
int lock_wait(int fd, const struct ctx *ctx, const char *what, struct err *err);
/* Likewise the lock that several may have together. */
int lock_wait_shared(int fd, const struct ctx *ctx, const char *what, struct err *err);

#endif
