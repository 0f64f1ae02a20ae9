/*
 * wait - answers a request when its job has ended, or when its time is over. For ?wait= on the calls of jobs.
 */
#ifndef BERTH_GATEWAY_WAIT_H
#define BERTH_GATEWAY_WAIT_H

#include "orchestrator/gateway/http.h"

/* Answers with the job as it is then, and this status. The request's time is request->wait_ms. */
void wait_for_job(struct request *request, const char *job, int status);
void wait_done(struct request *request); /* of http_free */

/* Reads the job and answers with it, or with 404. */
void job_answer(struct request *request, const char *job, int status);

#endif
