#include "orchestrator/gateway/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "orchestrator/gateway/asking.h"
#include "orchestrator/gateway/job_view.h"

static void on_job(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    struct api_job job;
    if (!asking_found(request, request->job_id, result, err, &job))
        return;
    http_respond_json(request, request->code_after_wait, job_view(&job));
}

void job_answer(struct request *request, const char *job, int status) {
    struct err err;
    if (job != request->job_id)
        snprintf(request->job_id, sizeof request->job_id, "%s", job);
    request->code_after_wait = status;
    asking_sent(request,
                api_get_job(request->gateway->db, AUTH_TENANT, request->job_id, on_job, request, &err), &err);
}

static int on_timer(sd_event_source *source, uint64_t us, void *arg) {
    struct request *request = arg;
    (void)source;
    (void)us;
    wait_done(request);
    job_answer(request, request->job_id, request->code_after_wait);
    return 0;
}

/* The hub is in the midst of its list: the answer is given from the loop. */
static void on_wake(void *arg) {
    struct request *request = arg;
    struct hub_log *log = request->waiter.log;
    if (log->missing || hub_head_final(&log->head))
        sd_event_source_set_time(request->timer, 0);
}

void wait_for_job(struct request *request, const char *job, int status) {
    struct hub_head head = {.number = 1};
    struct err err;
    snprintf(head.job, sizeof head.job, "%s", job);
    snprintf(request->job_id, sizeof request->job_id, "%s", job);
    request->code_after_wait = status;
    request->waiter = (struct hub_member){.wake = on_wake, .arg = request};
    int r =
        sd_event_add_time_relative(request->gateway->loop, &request->timer, CLOCK_BOOTTIME,
                                   (uint64_t)(request->wait_ms * US_PER_MS), US_PER_MS, on_timer, request);
    if (r < 0 || hub_watch(request->gateway->hub, &head, &request->waiter, &err) < 0) {
        request->timer = sd_event_source_disable_unref(request->timer);
        job_answer(request, job, status); /* no room to wait in: the answer is allowed to come early */
        return;
    }
    on_wake(request);
}

void wait_done(struct request *request) {
    hub_unwatch(&request->waiter);
    request->timer = sd_event_source_disable_unref(request->timer);
}
