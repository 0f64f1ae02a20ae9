#include "orchestrator/gateway/explain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/units.h"
#include "orchestrator/gateway/explain_private.h"
#include "orchestrator/gateway/job_view.h"

void explain_wait(struct explanation *x, const char *limit, const char *fmt, ...) {
    char detail[EXPLAIN_TEXT_MAX + 1];
    va_list args;
    va_start(args, fmt);
    vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    json_array_append_new(x->waiting_for, json_pack("{s:s, s:s}", "limit", limit, "detail", detail));
}

const char *explain_when(const struct explanation *x, int64_t us, char out[EXPLAIN_WHEN_MAX]) {
    char at[CLOCK_RFC3339_MAX], span[UNITS_TEXT_MAX];
    int64_t s = (us - x->e->now_us) / US_PER_S;
    clock_format_rfc3339(us, at);
    units_format_duration((s < 0 ? -s : s) * MS_PER_S, span);
    if (s == 0)
        snprintf(out, EXPLAIN_WHEN_MAX, "%s (now)", at);
    else
        snprintf(out, EXPLAIN_WHEN_MAX, "%s (%s%s%s)", at, s < 0 ? "" : "in ", span, s < 0 ? " ago" : "");
    return out;
}

static const char *spec_text_of(const struct explanation *x, const char *group, const char *field) {
    return json_get_string(json_object_get(x->spec, group), field);
}

/* A duration of the spec, which was filled in when the job was put in; 0: none. */
static int64_t spec_ms(const struct explanation *x, const char *group, const char *field) {
    int64_t ms = 0;
    const char *text = spec_text_of(x, group, field);
    return text && units_parse_duration_ms(text, &ms, NULL) == 0 ? ms : 0;
}

static const char *host_name(const struct explanation *x) {
    return x->e->job.orchestrator ? x->e->job.orchestrator : "its orchestrator";
}

/* Its orchestrator as the database knows it; NULL: not known (any more). */
static const json_t *host_of(const struct explanation *x, const json_t *hosts) {
    size_t i;
    const json_t *host;
    json_array_foreach(hosts, i, host) {
        const char *name = json_get_string(host, "name");
        if (name && strcmp(name, host_name(x)) == 0)
            return host;
    }
    return NULL;
}

static json_t *load_hosts(const struct explanation *x) {
    return json_loads(x->e->hosts ? x->e->hosts : "[]", 0, NULL);
}

/* While nobody else has judged it lost: what is said of the job otherwise would wait for nobody. */
static void tell_silence(struct explanation *x) {
    AUTO_JSON json_t *hosts = load_hosts(x);
    const json_t *host = host_of(x, hosts);
    char last[EXPLAIN_WHEN_MAX];
    if (host && json_is_false(json_object_get(host, "alive")))
        explain_wait(x, "orchestrator",
                     "%s was last heard of at %s: what runs of the job goes on, and all else waits until "
                     "it comes back",
                     host_name(x), explain_when(x, json_get_int(host, "heartbeat_us", 0), last));
}

/* --- Before it is taken up --- */

static void explain_scheduled(struct explanation *x) {
    char when[EXPLAIN_WHEN_MAX];
    int64_t at_us = x->e->job.run_at_us == API_NONE ? x->e->now_us : x->e->job.run_at_us;
    explain_when(x, at_us, when);
    explain_wait(x, "run_at", "it is not to run before %s", when);
    buf_addf(&x->next, "It is put into the queue at %s.", when);
}

static void explain_retrying(struct explanation *x) {
    const struct api_job *job = &x->e->job;
    char when[EXPLAIN_WHEN_MAX];
    int64_t max = json_get_int(json_object_get(x->spec, "retry"), "max", 0);
    if (job->retry_at_us == API_NONE || job->retry_at_us <= x->e->now_us) {
        explain_queue(x);
        return;
    }
    explain_when(x, job->retry_at_us, when);
    explain_wait(x, "retry_at", "attempt %" PRId64 " of at most %" PRId64 " is not to begin before %s",
                 job->attempt + 1, max + 1 > job->attempt ? max + 1 : job->attempt + 1, when);
    buf_addf(&x->next, "It is put into the queue again at %s.", when);
}

/* --- On its way to its command --- */

static void tell_deadline(struct explanation *x, int64_t since_us, int64_t ms, const char *reason) {
    char when[EXPLAIN_WHEN_MAX];
    if (ms > 0)
        buf_addf(&x->next, " At %s at the latest it ends as timed_out/%s.",
                 explain_when(x, since_us + ms * US_PER_MS, when), reason);
}

static void tell_services(struct explanation *x, const json_t *services) {
    AUTO_BUF struct buf text = BUF(EXPLAIN_TEXT_MAX);
    size_t i;
    const json_t *service;
    json_array_foreach(services, i, service) {
        const char *name = json_get_string(service, "name"), *deadline = json_get_string(service, "deadline");
        buf_addf(&text, "%s%s%s%s%s", i ? ", " : "", name ? name : "?", deadline ? " (within " : "",
                 deadline ? deadline : "", deadline ? ")" : "");
    }
    explain_wait(x, "services", "its services have to be ready first: %s", buf_str(&text));
}

static void explain_preparing(struct explanation *x) {
    const struct api_job *job = &x->e->job;
    const json_t *services = json_object_get(x->spec, "services");
    const char *image = json_get_string(x->spec, "image");
    char since[EXPLAIN_WHEN_MAX];
    tell_silence(x);
    if (job->pulled_us == API_NONE && job->claimed_us != API_NONE) {
        explain_wait(x, "image", "%s has had it since %s and looks for the image %s", host_name(x),
                     explain_when(x, job->claimed_us, since), image ? image : "");
        buf_adds(&x->next, "Its containers are made when the image is there.");
        tell_deadline(x, job->claimed_us, spec_ms(x, "deadlines", "pull"), "pull_deadline");
    } else if (json_array_size(services) > 0) {
        tell_services(x, services);
        buf_adds(&x->next, "Its command is started as soon as they are.");
    } else {
        explain_wait(x, "container", "%s is %s its container", host_name(x),
                     job->container_us == API_NONE ? "making" : "starting");
        buf_adds(&x->next, "Its command runs as soon as the engine has started it.");
        if (job->pulled_us != API_NONE)
            tell_deadline(x, job->pulled_us, spec_ms(x, "deadlines", "start"), "start_deadline");
    }
}

/* --- Under way --- */

static void explain_running(struct explanation *x) {
    const struct api_job *job = &x->e->job;
    char when[EXPLAIN_WHEN_MAX];
    bool idle = spec_ms(x, "deadlines", "idle") > 0;
    tell_silence(x);
    if (job->exited_us != API_NONE) {
        explain_wait(x, "log", "its command ended at %s; its containers are removed and its log is stored",
                     explain_when(x, job->exited_us, when));
        buf_adds(&x->next, "Then its end is told.");
        return;
    }
    buf_adds(&x->next, "It ends when its command does");
    if (job->deadline_us != API_NONE)
        buf_addf(&x->next, "; at %s it is to be stopped as timed_out/run_deadline, unless it gets more time",
                 explain_when(x, job->deadline_us, when));
    if (idle)
        buf_addf(&x->next, "; after %s without output it is stopped as timed_out/idle_deadline",
                 spec_text_of(x, "deadlines", "idle"));
    buf_adds(&x->next, ".");
}

static void explain_canceling(struct explanation *x) {
    const char *signal = spec_text_of(x, "stop", "signal"), *grace = spec_text_of(x, "stop", "grace");
    tell_silence(x);
    if (x->e->job.exited_us != API_NONE)
        explain_wait(x, "log", "its command has ended; its containers are removed and its log is stored");
    else if (x->e->cancel > 1)
        explain_wait(x, "stop", "%s is to kill its containers without grace", host_name(x));
    else
        explain_wait(x, "stop", "%s is to end its command with %s and to kill it after %s", host_name(x),
                     signal ? signal : "the image's stop signal", grace ? grace : "its grace");
    buf_adds(&x->next, "Its end is told when none of its containers runs any more and its log is stored.");
}

static void explain_lost(struct explanation *x) {
    AUTO_JSON json_t *hosts = load_hosts(x);
    const json_t *host = host_of(x, hosts);
    char last[EXPLAIN_WHEN_MAX], until[EXPLAIN_WHEN_MAX];
    int64_t heartbeat_us = host ? json_get_int(host, "heartbeat_us", 0) : 0;
    int64_t given_up_us = host ? json_get_int(host, "given_up_us", 0) : 0;
    if (heartbeat_us)
        explain_wait(x, "orchestrator", "%s was last heard of at %s", host_name(x),
                     explain_when(x, heartbeat_us, last));
    else
        explain_wait(x, "orchestrator", "%s is not known any more", host_name(x));
    buf_addf(&x->next, "When %s comes back, the job is shown as it is there", host_name(x));
    if (given_up_us)
        buf_addf(&x->next, "; from %s on this attempt counts as errored/orchestrator_lost",
                 explain_when(x, given_up_us, until));
    buf_adds(&x->next, ".");
}

static void explain_ended(struct explanation *x) {
    char when[EXPLAIN_WHEN_MAX];
    buf_adds(&x->next, "Nothing more happens to it");
    if (x->e->job.finished_us != API_NONE)
        buf_addf(&x->next, "; it ended at %s", explain_when(x, x->e->job.finished_us, when));
    buf_adds(&x->next, ". A retry makes a new job of its spec.");
}

static void (*const by_status[STATUS_COUNT])(struct explanation *x) = {
    [STATUS_SCHEDULED] = explain_scheduled, [STATUS_QUEUED] = explain_queue,
    [STATUS_PREPARING] = explain_preparing, [STATUS_RUNNING] = explain_running,
    [STATUS_RETRYING] = explain_retrying,   [STATUS_CANCELING] = explain_canceling,
    [STATUS_LOST] = explain_lost,
};

static json_t *text_or_null(const char *text) {
    return text ? json_string(text) : json_null();
}

json_t *explain_job(const struct api_explain *e) {
    AUTO_JSON json_t *spec = e->job.spec ? json_loads(e->job.spec, JSON_ALLOW_NUL, NULL) : NULL;
    AUTO_FREE char *message = job_message(&e->job);
    struct explanation x = {.e = e,
                            .spec = spec,
                            .waiting_for = json_array(),
                            .next = BUF(EXPLAIN_TEXT_MAX),
                            .position = API_NONE};
    enum status status = STATUS_COUNT;
    if (status_parse(e->job.status, &status) && by_status[status])
        by_status[status](&x);
    else
        explain_ended(&x);
    json_t *doc = json_object();
    json_object_set_new(doc, "id", json_string(e->job.id));
    json_object_set_new(doc, "status", json_string(e->job.status));
    json_object_set_new(doc, "reason", text_or_null(e->job.reason));
    json_object_set_new(doc, "message", text_or_null(message));
    json_object_set_new(doc, "position", x.position == API_NONE ? json_null() : json_integer(x.position));
    json_object_set_new(doc, "waiting_for", x.waiting_for);
    json_object_set_new(doc, "next", json_string(buf_str(&x.next)));
    buf_done(&x.next);
    return doc;
}
