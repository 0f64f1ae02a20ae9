/*
 * opening - from what a reader asked for (a job, an attempt, an offset or a number of last lines) to the
 * place where a viewer begins: asks how the log stands and, for `tail`, looks back from its end.
 */
#ifndef BERTH_GATEWAY_OPENING_H
#define BERTH_GATEWAY_OPENING_H

#include "orchestrator/gateway/gateway_private.h"
#include "orchestrator/gateway/hub.h"
#include "orchestrator/gateway/query.h"

struct opening;

/* err set: the database; head NULL without err: there is no such job or attempt. cursor: where to begin. The
 * opening is over when this runs. */
typedef void opening_done(void *arg, const struct err *err, const struct hub_head *head, int64_t cursor);

/* NULL: it cannot be asked now (err says why), and done does not run. */
struct opening *opening_start(struct gateway *gateway, const char *job, const struct logs_query *query,
                              opening_done *done, void *arg, struct err *err);
void opening_cancel(struct opening *opening); /* NULL is fine; done does not run any more */

/* Where the last `lines` lines begin that this stream (STREAM_NONE: all) has in these bytes, counted on from
 * *seen newlines seen behind them; -1 when more of them begin before it. For tests. */
int64_t opening_tail_in(const struct api_chunk *chunk, int stream, int64_t lines, int64_t *seen,
                        bool *at_end);

#endif
