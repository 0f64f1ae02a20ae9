/* A new job: from a spec, or from the spec of one that has ended. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "orchestrator/gateway/asking.h"
#include "orchestrator/gateway/body.h"
#include "orchestrator/gateway/creation.h"
#include "orchestrator/gateway/handlers.h"

void jobs_create(struct request *request) {
    struct err err;
    if (query_wait(&request->query, &request->wait_ms, &err) < 0) {
        http_problem(request, 400, "%s", err.text);
        return;
    }
    AUTO_JSON json_t *doc = body_read(request);
    if (!doc)
        return;
    AUTO_SPEC struct spec *spec = NULL;
    AUTO_FAULTS struct spec_faults faults = {0};
    if (spec_parse(doc, &request->gateway->policy, &spec, &faults) < 0)
        http_problem_faults(request, &faults);
    else if (creation_fits(request, spec))
        creation_begin(request, spec, NULL, doc);
}

/* The spec was complete when the job was put in, but what the operator allows may have changed since. */
static void repeat(struct request *request, const struct api_job *job) {
    AUTO_SPEC struct spec *spec = NULL;
    AUTO_FAULTS struct spec_faults faults = {0};
    if (!job->spec) {
        http_problem(request, 422, "the spec of job %s is longer than any that can be run", job->id);
        return;
    }
    if (spec_parse_text(job->spec, strlen(job->spec), &request->gateway->policy, &spec, &faults) < 0) {
        http_problem_faults(request, &faults);
        return;
    }
    if (spec->run_at_us <= clock_real_us())
        spec->run_at_us = 0;
    AUTO_JSON json_t *asked = json_pack("{s:s}", "retry_of", job->id);
    if (creation_fits(request, spec))
        creation_begin(request, spec, job->id, asked);
}

static void on_ended(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    struct api_job job;
    enum status status;
    if (!asking_found(request, request->id, result, err, &job))
        return;
    if (status_parse(job.status, &status) && status_is_terminal(status))
        repeat(request, &job);
    else
        http_problem(request, 409, "the job is %s; only one that has ended can be made anew", job.status);
}

void jobs_retry(struct request *request) {
    struct err err;
    if (query_wait(&request->query, &request->wait_ms, &err) < 0) {
        http_problem(request, 400, "%s", err.text);
        return;
    }
    if (request->body.len > 0) {
        AUTO_JSON json_t *doc = body_read(request);
        if (doc && (!json_is_object(doc) || json_object_size(doc) > 0))
            body_fault(request, "", "is to be empty: the spec is that of the job");
        if (request->status)
            return;
    }
    asking_sent(request, api_get_job(request->gateway->db, AUTH_TENANT, request->id, on_ended, request, &err),
                &err);
}
