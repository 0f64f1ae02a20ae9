/* handlers - what answers the routes (routes.c). Each runs once, when the request's body is there. */
#ifndef BERTH_GATEWAY_HANDLERS_H
#define BERTH_GATEWAY_HANDLERS_H

#include "orchestrator/gateway/http.h"

void jobs_create(struct request *request);
void jobs_list(struct request *request);
void jobs_get(struct request *request);
void jobs_explain(struct request *request);
void jobs_retry(struct request *request);
void jobs_extend(struct request *request);
void jobs_cancel(struct request *request);
void jobs_delete(struct request *request);
void fleet_list(struct request *request);
void fleet_drain(struct request *request);
void fleet_undrain(struct request *request);
void logs_get(struct request *request);
void stream_get(struct request *request); /* a WebSocket path asked for without an upgrade */
void health_process(struct request *request);
void health_ready(struct request *request);
void health_database(struct request *request);
void health_docker(struct request *request);

#endif
