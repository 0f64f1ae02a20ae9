/* claim_private - how the statements of claim.h are put together. */
#ifndef BERTH_DB_CLAIM_PRIVATE_H
#define BERTH_DB_CLAIM_PRIVATE_H

#include "orchestrator/db/claim.h"

void claim_begin(struct claim *c, const char *sql);
void claim_add_text(struct claim *c, const char *text); /* NULL: SQL null */
void claim_add_int(struct claim *c, int64_t n);

/* Statuses of jobs that an orchestrator has. */
#define CLAIM_ACTIVE_ "('preparing', 'running', 'canceling', 'lost')"

#endif
