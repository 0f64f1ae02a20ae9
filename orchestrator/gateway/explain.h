/*
 * explain - why a job is where it is: its place in the queue, the limits that hold it, with figures, and what
 * comes next. Pure.
 */
#ifndef BERTH_GATEWAY_EXPLAIN_H
#define BERTH_GATEWAY_EXPLAIN_H

#include <jansson.h>

#include "orchestrator/db/api.h"

/* {"id", "status", "reason", "message", "position", "waiting_for": [{"limit", "detail"}], "next"}
 * (openapi.yaml, Explanation). Owned by the caller. */
json_t *explain_job(const struct api_explain *e);

#endif
