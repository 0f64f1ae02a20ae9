/* POST /v1/jobs/{id}/extend: a running job gets more time. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/units.h"
#include "orchestrator/gateway/asking.h"
#include "orchestrator/gateway/body.h"
#include "orchestrator/gateway/handlers.h"
#include "orchestrator/gateway/job_view.h"

enum { EXTEND_MAX_S = 365 * 86400 }; /* no run deadline is longer (settings.def) */

struct extension {
    int64_t more_ms;
    bool tried; /* the job has changed between two statements once */
};

/* A duration as in a spec. False: answered already. */
static bool read_duration(struct request *request, const json_t *value, int64_t *ret_ms) {
    struct err err;
    int64_t ms = 0;
    if (json_is_number(value)) {
        double seconds = json_number_value(value);
        if (seconds > 0 && seconds <= EXTEND_MAX_S)
            ms = (int64_t)(seconds * MS_PER_S + 0.5);
    } else if (!json_is_string(value)) {
        body_fault(request, "/run", "is to be a duration such as \"10m\", or a number of seconds");
        return false;
    } else if (json_string_length(value) != strlen(json_string_value(value)) ||
               units_parse_duration_ms(json_string_value(value), &ms, &err) < 0) {
        body_fault(request, "/run", "is no duration; write one like \"10m\", \"1h30m\", \"90s\"");
        return false;
    }
    if (ms <= 0 || ms > (int64_t)EXTEND_MAX_S * MS_PER_S) {
        body_fault(request, "/run", "has to be longer than 0 and at most %dd", EXTEND_MAX_S / 86400);
        return false;
    }
    *ret_ms = ms;
    return true;
}

/* {"run": "10m"}. False: answered already. */
static bool read_extension(struct request *request, int64_t *ret_ms) {
    AUTO_JSON json_t *doc = body_read(request);
    if (!doc)
        return false;
    const json_t *run = json_object_get(doc, "run");
    if (!json_is_object(doc)) {
        body_fault(request, "", "is to be an object such as {\"run\": \"10m\"}");
        return false;
    }
    if (!run) {
        body_fault(request, "/run", "is missing; say how much longer the job may run, such as \"10m\"");
        return false;
    }
    if (json_object_size(doc) > 1) {
        body_fault(request, "", "has fields besides run; there are no others");
        return false;
    }
    return read_duration(request, run, ret_ms);
}

/* How far the deadline may be moved in all; 0 where even the spec is at the ceiling. */
static int64_t most_extra_ms(const struct request *request, const struct spec *spec) {
    int64_t ceiling_ms = request->gateway->policy.max_run_ms;
    int64_t most = ceiling_ms ? ceiling_ms - spec->deadlines.run_ms : INT64_MAX / 4;
    return most > 0 ? most : 0;
}

static void refuse_more(struct request *request, const struct spec *spec, const struct api_job *job) {
    char ceiling[UNITS_TEXT_MAX], now[UNITS_TEXT_MAX], left[UNITS_TEXT_MAX];
    int64_t left_ms = most_extra_ms(request, spec) - job->run_extra_ms;
    body_fault(request, "/run",
               "is too much: a job may run for %s in all (BERTH_MAX_RUN), this one has %s already, so %s at "
               "most can be added",
               units_format_duration(request->gateway->policy.max_run_ms, ceiling),
               units_format_duration(spec->deadlines.run_ms + job->run_extra_ms, now),
               units_format_duration(left_ms > 0 ? left_ms : 0, left));
}

static void ask_for_job(struct request *request);

static void on_extended(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    struct extension *extension = request->state;
    struct api_job job;
    if (asking_failed(request, err))
        return;
    if (PQntuples(result) > 0) {
        gateway_hint_cancel(request->gateway); /* orders of every kind are asked for on it */
        api_read_job(result, 0, &job);
        http_respond_json(request, 200, job_view(&job));
        return;
    }
    if (extension->tried) {
        http_add_header(request, "Retry-After", "1");
        http_problem(request, 409, "the job changes at this very moment; try again");
        return;
    }
    extension->tried = true;
    ask_for_job(request);
}

static void extend(struct request *request, const struct api_job *job) {
    const struct extension *extension = request->state;
    const struct spec_policy unlimited = spec_policy_unlimited();
    AUTO_SPEC struct spec *spec = NULL;
    AUTO_FAULTS struct spec_faults faults = {0};
    struct err err;
    if (!job->spec || spec_parse_text(job->spec, strlen(job->spec), &unlimited, &spec, &faults) < 0) {
        http_problem(request, 409, "the spec of the job cannot be read, so its deadline is not known");
        return;
    }
    int64_t most = most_extra_ms(request, spec);
    if (extension->more_ms > most - job->run_extra_ms) {
        refuse_more(request, spec, job);
        return;
    }
    asking_change(request,
                  api_extend_job(request->gateway->db, AUTH_TENANT, request->id, extension->more_ms, most,
                                 on_extended, request, &err),
                  &err);
}

static void on_job(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    struct api_job job;
    enum status status;
    if (!asking_found(request, request->id, result, err, &job))
        return;
    if (!status_parse(job.status, &status) || status != STATUS_RUNNING)
        http_problem(request, 409, "the job is %s; only one that runs can be given more time", job.status);
    else if (job.exited_us != API_NONE)
        http_problem(request, 409, "the command of the job has ended; more time would change nothing");
    else
        extend(request, &job);
}

static void ask_for_job(struct request *request) {
    struct err err;
    asking_sent(request, api_get_job(request->gateway->db, AUTH_TENANT, request->id, on_job, request, &err),
                &err);
}

void jobs_extend(struct request *request) {
    struct extension *extension = mem_alloc(sizeof *extension);
    struct err err;
    request->state = extension;
    if (query_none(&request->query, &err) < 0) {
        http_problem(request, 400, "%s", err.text);
        return;
    }
    if (read_extension(request, &extension->more_ms))
        ask_for_job(request);
}
