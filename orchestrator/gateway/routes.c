#include "orchestrator/gateway/routes.h"

#include "orchestrator/gateway/handlers.h"

enum { SMALL_BODY_MAX = 4096 };

const struct route routes[] = {
    {ROUTE_POST, "/v1/jobs", jobs_create, HTTP_BODY_MAX, false, false},
    {ROUTE_GET, "/v1/jobs", jobs_list, 0, false, false},
    {ROUTE_GET, "/v1/jobs/{id}", jobs_get, 0, false, false},
    {ROUTE_DELETE, "/v1/jobs/{id}", jobs_delete, 0, false, false},
    {ROUTE_POST, "/v1/jobs/{id}/cancel", jobs_cancel, SMALL_BODY_MAX, false, false},
    {ROUTE_POST, "/v1/jobs/{id}/extend", jobs_extend, SMALL_BODY_MAX, false, false},
    {ROUTE_POST, "/v1/jobs/{id}/retry", jobs_retry, SMALL_BODY_MAX, false, false},
    {ROUTE_GET, "/v1/jobs/{id}/explain", jobs_explain, 0, false, false},
    {ROUTE_GET, "/v1/jobs/{id}/logs", logs_get, 0, false, false},
    {ROUTE_GET, "/v1/jobs/{id}/stream", stream_get, 0, false, false},
    {ROUTE_GET, "/v1/orchestrators", fleet_list, 0, false, false},
    {ROUTE_POST, "/v1/orchestrators/{name}/drain", fleet_drain, SMALL_BODY_MAX, false, false},
    {ROUTE_POST, "/v1/orchestrators/{name}/undrain", fleet_undrain, SMALL_BODY_MAX, false, false},
    {ROUTE_GET, "/healthz", health_process, 0, true, true},
    {ROUTE_GET, "/health", health_process, 0, true, true},
    {ROUTE_GET, "/health/db", health_database, 0, true, true},
    {ROUTE_GET, "/health/docker", health_docker, 0, true, true},
    {ROUTE_GET, "/readyz", health_ready, 0, true, true},
    {0},
};
