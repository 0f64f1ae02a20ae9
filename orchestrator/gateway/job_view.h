/*
 * job_view - a job as every call shows it (contract.md, section 2). Pure.
 */
#ifndef BERTH_GATEWAY_JOB_VIEW_H
#define BERTH_GATEWAY_JOB_VIEW_H

#include <jansson.h>

#include "orchestrator/db/api.h"

json_t *job_view(const struct api_job *job); /* owned by the caller */

/* Why it is where it is, in a sentence: the row's own, or what follows from its status. NULL: there is
 * nothing to say. Owned by the caller. */
char *job_message(const struct api_job *job);

#endif
