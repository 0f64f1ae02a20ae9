/*
 * asking - what is the same about every question that a handler asks the database for its request: it may not
 * be taken, it may fail, the job may not be there. Each of these is then answered here.
 */
#ifndef BERTH_GATEWAY_ASKING_H
#define BERTH_GATEWAY_ASKING_H

#include "orchestrator/gateway/http.h"

/* ticket: what db_async() returned, with its error. */
void asking_sent(struct request *request, int64_t ticket, const struct err *err);

/* Likewise of a statement that changes something: if its answer does not come, the client hears that it may
 * have been done. */
void asking_change(struct request *request, int64_t ticket, const struct err *err);

/* At the beginning of a callback. True: the statement failed, and that has been answered. */
bool asking_failed(struct request *request, const struct err *err);

/* Likewise for a question about one job. True: *ret_job is what the first row tells, borrowed from the
 * result. */
bool asking_found(struct request *request, const char *job, const PGresult *result, const struct err *err,
                  struct api_job *ret_job);

#endif
