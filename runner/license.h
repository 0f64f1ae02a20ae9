/*
 * license - whether a command may be begun: only while the orchestrator's lease surely holds. Behind it
 * others may have been given the job, because nothing of it had begun here (docs/adr/0012).
 */
#ifndef BERTH_RUNNER_LICENSE_H
#define BERTH_RUNNER_LICENSE_H

#include "base/ctx.h"

enum {
    LICENSE_LOOK_MS = 1000, /* a look at the file, should its notification be lost */
    LICENSE_ORDERS_MAX = 16 /* of the parent, read before the command is begun */
};

/* Waits until the lease in this file holds; *ret_waited_ns: for how long. What the parent has ordered before
 * it renewed the lease has been read then. path NULL, or no such file: there is no lease to wait for. Fails
 * with what has ended the context. */
int license_await(const char *path, const struct ctx *ctx, int64_t *ret_waited_ns, struct err *err);

#endif
