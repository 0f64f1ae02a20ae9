/*
 * license - leave to begin the command. The database has noted, before it is given, that the attempt may have
 * begun: from then on it is no attempt that others may be given as one that never did (docs/adr/0012).
 */
#ifndef BERTH_RUNNER_LICENSE_H
#define BERTH_RUNNER_LICENSE_H

#include "runner/orders.h"

enum { LICENSE_ASK_AGAIN_MS = 1000 }; /* the parent may have been unable to ask the database */

/* Asks the parent and waits for its word; *ret_waited_ns: for how long. Fails with what has ended
 * orders->live. */
int license_await(struct orders *orders, int64_t *ret_waited_ns, struct err *err);

#endif
