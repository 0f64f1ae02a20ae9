/* claim_private - how the statements of claim.h are put together. */
#ifndef BERTH_DB_CLAIM_PRIVATE_H
#define BERTH_DB_CLAIM_PRIVATE_H

#include "orchestrator/db/claim.h"
#include "orchestrator/db/ship.h"

void claim_begin(struct claim *c, const char *sql);
void claim_add_text(struct claim *c, const char *text); /* NULL: SQL null */
void claim_add_int(struct claim *c, int64_t n);

/* Statuses of jobs that an orchestrator has. */
#define CLAIM_ACTIVE_ "('preparing', 'running', 'canceling', 'lost')"

/* A select that tells viewers of the jobs of `from`, which has a column id: by name up to CLAIM_TOLD_MAX_,
 * which keeps the payload below the 8000 bytes that NOTIFY takes; more are told as "look at all". No row: no
 * job. */
#define CLAIM_TOLD_MAX_ "200"
#define CLAIM_TELL_(from)                                                                                    \
    "select pg_notify('" SHIP_CHANNEL "', case when count(*) > " CLAIM_TOLD_MAX_                             \
    " then '*' else string_agg(id::text, ' ') end)::text from " from " having count(*) > 0"

#endif
