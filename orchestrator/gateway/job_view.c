#include "orchestrator/gateway/job_view.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

static json_t *text_or_null(const char *text) {
    return text ? json_string(text) : json_null();
}

static json_t *int_or_null(int64_t n) {
    return n == API_NONE ? json_null() : json_integer(n);
}

static json_t *time_or_null(int64_t us) {
    char text[CLOCK_RFC3339_MAX];
    return us == API_NONE ? json_null() : json_string(clock_format_rfc3339(us, text));
}

/* What does not parse (a row put in by SQL that was not checked yet) is shown as the text that it is. */
static json_t *document_or_null(const char *text) {
    if (!text)
        return json_null();
    json_t *doc = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    return doc ? doc : json_string(text);
}

static json_t *log_view(const struct api_job *job) {
    json_t *log = json_object();
    json_object_set_new(log, "bytes", json_integer(job->log_bytes));
    json_object_set_new(log, "stored_bytes", json_integer(job->stored_bytes));
    json_object_set_new(log, "complete", json_boolean(job->log_complete));
    json_object_set_new(log, "truncated",
                        json_boolean(job->log_limit != API_NONE && job->log_bytes > job->log_limit));
    json_object_set_new(log, "sha256", text_or_null(job->sha256));
    return log;
}

static json_t *timeline_view(const struct api_job *job) {
    json_t *timeline = json_object();
    json_object_set_new(timeline, "queued", time_or_null(job->created_us));
    json_object_set_new(timeline, "claimed", time_or_null(job->claimed_us));
    json_object_set_new(timeline, "pulled", time_or_null(job->pulled_us));
    json_object_set_new(timeline, "created", time_or_null(job->container_us));
    json_object_set_new(timeline, "started", time_or_null(job->attempt_started_us));
    json_object_set_new(timeline, "exited", time_or_null(job->exited_us));
    json_object_set_new(timeline, "cleaned", time_or_null(job->cleaned_us));
    return timeline;
}

static json_t *links_view(const struct api_job *job) {
    static const char *const always[] = {"logs", "stream", "explain"};
    json_t *links = json_object();
    enum status status = STATUS_COUNT;
    bool known = status_parse(job->status, &status), ended = known && status_is_terminal(status);
    json_object_set_new(links, "self", json_sprintf("/v1/jobs/%s", job->id));
    for (size_t i = 0; i < ARRAY_LEN(always); i++)
        json_object_set_new(links, always[i], json_sprintf("/v1/jobs/%s/%s", job->id, always[i]));
    if (!ended)
        json_object_set_new(links, "cancel", json_sprintf("/v1/jobs/%s/cancel", job->id));
    if (known && status == STATUS_RUNNING)
        json_object_set_new(links, "extend", json_sprintf("/v1/jobs/%s/extend", job->id));
    if (ended)
        json_object_set_new(links, "retry", json_sprintf("/v1/jobs/%s/retry", job->id));
    if (job->retry_of)
        json_object_set_new(links, "retry_of", json_sprintf("/v1/jobs/%s", job->retry_of));
    return links;
}

/* What has no words in its row, since nothing but its status says it. */
static char *phase_message(const struct api_job *job) {
    const char *where = job->orchestrator ? job->orchestrator : "an orchestrator";
    if (job->container_us != API_NONE)
        return mem_printf(
            "Its container is made; %s starts it as soon as its services, if it has any, are ready.", where);
    if (job->pulled_us != API_NONE)
        return mem_printf("The image is there; %s is making its containers ready.", where);
    return mem_printf("%s is looking for its image, and pulls it where it has to.", where);
}

static char *retry_message(const struct api_job *job) {
    char at[CLOCK_RFC3339_MAX];
    bool told = job->retry_at_us != API_NONE;
    return mem_printf("Attempt %" PRId64 " ended as %s%s%s. The next one begins %s%s.", job->attempt,
                      job->attempt_status ? job->attempt_status : "not known", job->reason ? "/" : "",
                      job->reason ? job->reason : "", told ? "from " : "soon",
                      told ? clock_format_rfc3339(job->retry_at_us, at) : "");
}

char *job_message(const struct api_job *job) {
    char at[CLOCK_RFC3339_MAX];
    enum status status;
    if (job->message || !status_parse(job->status, &status))
        return mem_strdup(job->message);
    switch ((int)status) {
    case STATUS_SCHEDULED:
        return job->run_at_us == API_NONE
                   ? mem_strdup("It waits for its time.")
                   : mem_printf("It waits for its time, %s.", clock_format_rfc3339(job->run_at_us, at));
    case STATUS_PREPARING:
        return phase_message(job);
    case STATUS_RETRYING:
        return retry_message(job);
    case STATUS_CANCELING:
        return mem_strdup("The job is being stopped.");
    case STATUS_LOST:
        return mem_printf("Its orchestrator %s cannot be reached; the job may go on there.",
                          job->orchestrator ? job->orchestrator : "");
    case STATUS_SUCCEEDED:
        return mem_strdup("The command ended with exit code 0.");
    default:
        return NULL; /* queued, running; an end that was recorded without words */
    }
}

json_t *job_view(const struct api_job *job) {
    AUTO_FREE char *message = job_message(job);
    json_t *view = json_object();
    json_object_set_new(view, "id", json_string(job->id));
    json_object_set_new(view, "name", text_or_null(job->name));
    json_object_set_new(view, "tenant", json_string(job->tenant));
    json_object_set_new(view, "status", json_string(job->status));
    json_object_set_new(view, "reason", text_or_null(job->reason));
    json_object_set_new(view, "message", text_or_null(message));
    json_object_set_new(view, "exit_code", int_or_null(job->exit_code));
    json_object_set_new(view, "signal", int_or_null(job->signal));
    json_object_set_new(view, "attempt", json_integer(job->attempt));
    json_object_set_new(view, "earlier_attempts",
                        job->earlier ? document_or_null(job->earlier) : json_array());
    json_object_set_new(view, "created_at", time_or_null(job->created_us));
    json_object_set_new(view, "started_at", time_or_null(job->started_us));
    json_object_set_new(view, "finished_at", time_or_null(job->finished_us));
    json_object_set_new(view, "orchestrator", text_or_null(job->orchestrator));
    json_object_set_new(view, "image_digest", text_or_null(job->image_digest));
    json_object_set_new(view, "deadline_at", time_or_null(job->deadline_us));
    json_object_set_new(view, "log", log_view(job));
    json_object_set_new(view, "usage", document_or_null(job->usage));
    json_object_set_new(view, "timeline", timeline_view(job));
    json_object_set_new(view, "spec", document_or_null(job->spec));
    json_object_set_new(view, "labels", document_or_null(job->labels));
    json_object_set_new(view, "links", links_view(job));
    return view;
}
