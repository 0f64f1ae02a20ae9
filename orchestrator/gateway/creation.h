/*
 * creation - a checked spec becomes a job, and the answer to who asked for it: for POST /v1/jobs and for
 * retry.
 */
#ifndef BERTH_GATEWAY_CREATION_H
#define BERTH_GATEWAY_CREATION_H

#include "orchestrator/gateway/http.h"

/* Whether the CPUs of all the job's containers together can ever fit. False: answered already. */
bool creation_fits(struct request *request, const struct spec *spec);

/* Puts the job in and answers: 201, or 200 with the first answer where the request's Idempotency-Key came
 * before with the same `asked` (what the client has asked for), or the problem that there is. Waits for the
 * job's end as request->wait_ms says. retry_of: NULL for none. */
void creation_begin(struct request *request, const struct spec *spec, const char *retry_of,
                    const json_t *asked);

#endif
