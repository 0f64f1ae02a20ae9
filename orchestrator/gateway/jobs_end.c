#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "orchestrator/gateway/asking.h"
#include "orchestrator/gateway/body.h"
#include "orchestrator/gateway/handlers.h"
#include "orchestrator/gateway/job_view.h"

/* A statement found no job in a state that it could change: is there none, or is it in another state? */
static void on_why(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    struct api_job job;
    if (!asking_found(request, request->id, result, err, &job))
        return;
    if (request->method == ROUTE_DELETE)
        http_problem(request, 409, "the job is %s; cancel it and remove it when it has ended", job.status);
    else
        http_problem(request, 409, "the job has ended already: it is %s", job.status);
}

static void ask_why(struct request *request) {
    struct err err;
    asking_sent(request, api_get_job(request->gateway->db, AUTH_TENANT, request->id, on_why, request, &err),
                &err);
}

static void on_canceled(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    struct api_job job;
    if (asking_failed(request, err))
        return;
    if (PQntuples(result) == 0) {
        ask_why(request);
        return;
    }
    gateway_hint_cancel(request->gateway);
    hub_hint(request->gateway->hub, request->id);
    api_read_job(result, 0, &job);
    http_respond_json(request, 202, job_view(&job));
}

/* {"force": bool} or nothing. False: answered already. */
static bool read_force(struct request *request, bool *ret) {
    if (request->body.len == 0)
        return true;
    AUTO_JSON json_t *doc = body_read(request);
    if (!doc)
        return false;
    const json_t *force = json_object_get(doc, "force");
    bool wrong = force && !json_is_boolean(force);
    if (wrong || !json_is_object(doc) || json_object_size(doc) != (force ? 1 : 0)) {
        body_fault(request, wrong ? "/force" : "",
                   "is to be {\"force\": true} or {\"force\": false} or empty");
        return false;
    }
    *ret = json_is_true(force);
    return true;
}

void jobs_cancel(struct request *request) {
    struct err err;
    bool force = false;
    if (query_none(&request->query, &err) < 0) {
        http_problem(request, 400, "%s", err.text);
        return;
    }
    if (!read_force(request, &force))
        return;
    asking_change(
        request,
        api_cancel_job(request->gateway->db, AUTH_TENANT, request->id, force, on_canceled, request, &err),
        &err);
}

static void on_deleted(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    request->ticket = 0;
    if (err)
        http_problem_db(request, err);
    else if (PQntuples(result) == 0)
        ask_why(request);
    else
        http_respond(request, 204, NULL, "", 0);
}

void jobs_delete(struct request *request) {
    struct err err;
    if (query_none(&request->query, &err) < 0) {
        http_problem(request, 400, "%s", err.text);
        return;
    }
    asking_change(request,
                  api_delete_job(request->gateway->db, AUTH_TENANT, request->id, on_deleted, request, &err),
                  &err);
}
