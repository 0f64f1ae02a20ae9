#include "orchestrator/gateway/asking.h"
#include "orchestrator/gateway/explain.h"
#include "orchestrator/gateway/handlers.h"

static void on_explained(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    struct api_explain explain;
    struct api_job job;
    if (!asking_found(request, request->id, result, err, &job))
        return;
    api_read_explain(result, &explain);
    http_respond_json(request, 200, explain_job(&explain));
}

void jobs_explain(struct request *request) {
    struct err err;
    if (query_none(&request->query, &err) < 0) {
        http_problem(request, 400, "%s", err.text);
        return;
    }
    asking_sent(request,
                api_explain_job(request->gateway->db, AUTH_TENANT, request->id, on_explained, request, &err),
                &err);
}
