/* Why a job is where it is: each status, each limit, with its figures. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "orchestrator/gateway/explain.h"

#define MIB (INT64_C(1) << 20)
#define NOW_US (INT64_C(1700000000) * US_PER_S)
#define S US_PER_S

static struct api_explain explain(const char *status) {
    return (struct api_explain){
        .job = {.id = "0198e5a0-0000-7000-8000-000000000000",
                .status = status,
                .orchestrator = "host-a",
                .exit_code = API_NONE,
                .signal = API_NONE,
                .run_at_us = API_NONE,
                .retry_at_us = API_NONE,
                .created_us = NOW_US - 60 * S,
                .started_us = API_NONE,
                .finished_us = API_NONE,
                .deadline_us = API_NONE,
                .claimed_us = API_NONE,
                .pulled_us = API_NONE,
                .container_us = API_NONE,
                .attempt_started_us = API_NONE,
                .exited_us = API_NONE,
                .cleaned_us = API_NONE,
                .log_limit = API_NONE},
        .now_us = NOW_US,
        .queue_deadline_us = API_NONE,
        .memory_bytes = 512 * MIB,
        .cpus_milli = 1500,
        .key_holders = "[]",
        .hosts = "[]",
    };
}

/* One orchestrator with 4 slots, 2 GiB and 4 CPUs. */
static char *host(char out[512], const char *name, int used, int64_t memory_used, int cpus_used, bool alive,
                  bool draining) {
    snprintf(out, 512,
             "{\"name\":\"%s\",\"alive\":%s,\"draining\":%s,\"heartbeat_us\":%" PRId64
             ",\"given_up_us\":%" PRId64 ",\"slots\":4,\"used\":%d,\"memory_bytes\":%" PRId64
             ",\"memory_used\":%" PRId64 ",\"cpus_milli\":4000,\"cpus_used\":%d}",
             name, alive ? "true" : "false", draining ? "true" : "false", NOW_US - 90 * S, NOW_US + 210 * S,
             used, 2048 * MIB, memory_used, cpus_used);
    return out;
}

static void expect_words(const char *where, const char *text, const char *words) {
    cr_expect(text && strstr(text, words), "%s: \"%s\" is not in \"%s\"", where, words, text ? text : "");
}

/* "slots concurrency" */
static const char *limits(const json_t *doc) {
    static char out[256];
    size_t i;
    const json_t *wait;
    out[0] = '\0';
    json_array_foreach(json_object_get(doc, "waiting_for"), i, wait) {
        size_t n = strlen(out);
        snprintf(out + n, sizeof out - n, "%s%s", i ? " " : "", json_get_string(wait, "limit"));
    }
    return out;
}

static void expect_wait(const json_t *doc, const char *limit, const char *words) {
    size_t i;
    const json_t *wait;
    json_array_foreach(json_object_get(doc, "waiting_for"), i, wait) {
        if (strcmp(json_get_string(wait, "limit"), limit) == 0) {
            expect_words(limit, json_get_string(wait, "detail"), words);
            return;
        }
    }
    cr_expect_fail("%s is not among: %s", limit, limits(doc));
}

Test(explain, a_queue_with_room_waits_for_nothing) {
    struct api_explain e = explain("queued");
    char a[512], b[512], hosts[1100];
    snprintf(hosts, sizeof hosts, "[%s,%s]", host(a, "full", 4, 0, 0, true, false),
             host(b, "free", 3, 1536 * MIB, 2500, true, false));
    e.hosts = hosts;
    AUTO_JSON json_t *doc = explain_job(&e);
    cr_expect_str_eq(limits(doc), "");
    cr_expect_eq(json_get_int(doc, "position", 0), 1);
    expect_words("next", json_get_string(doc, "next"), "next look");
    cr_expect(json_is_null(json_object_get(doc, "message")));
    cr_expect(json_is_null(json_object_get(doc, "reason")));
}

Test(explain, each_limit_of_each_host_is_told_with_its_figures) {
    struct api_explain e = explain("queued");
    char a[512], b[512], c[512], hosts[1600];
    snprintf(hosts, sizeof hosts, "[%s,%s,%s]", host(a, "alpha", 4, 0, 0, true, false),
             host(b, "beta", 1, 1537 * MIB, 0, true, false), host(c, "gamma", 0, 0, 2501, true, false));
    e.hosts = hosts;
    e.queue_deadline_us = NOW_US + 3600 * S;
    AUTO_JSON json_t *doc = explain_job(&e);
    cr_expect_str_eq(limits(doc), "slots memory cpus");
    expect_wait(doc, "slots", "alpha: 4 of 4 slots");
    expect_wait(doc, "memory", "beta: the job needs 512m, 511m of 2g are free");
    expect_wait(doc, "cpus", "gamma: the job needs 1.5 CPUs, 1.499 of 4 are free");
    expect_words("next", json_get_string(doc, "next"), "(in 1h), it ends as timed_out/queue_deadline");
    e.memory_bytes = 4096 * MIB;
    e.cpus_milli = 8000;
    AUTO_JSON json_t *never = explain_job(&e);
    expect_wait(never, "memory", "the job needs 4g, there are 2g for all jobs");
    expect_wait(never, "cpus", "the job needs 8 CPUs, there are 4 for all jobs");
    e.memory_bytes = API_NONE;
    e.cpus_milli = 0;
    AUTO_JSON json_t *bare = explain_job(&e);
    cr_expect_str_eq(limits(bare), "", "what is not known yet holds nobody");
}

Test(explain, nobody_there) {
    struct api_explain e = explain("queued");
    char a[512], b[512], hosts[1100];
    AUTO_JSON json_t *never = explain_job(&e);
    expect_wait(never, "no_orchestrator", "ever");
    snprintf(hosts, sizeof hosts, "[%s]", host(a, "alpha", 0, 0, 0, false, false));
    e.hosts = hosts;
    AUTO_JSON json_t *away = explain_job(&e);
    cr_expect_str_eq(limits(away), "no_orchestrator");
    expect_wait(away, "no_orchestrator", "alpha, 2023-11-14T22:11:50.000000Z (1m30s ago)");
    snprintf(hosts, sizeof hosts, "[%s,%s]", host(a, "alpha", 0, 0, 0, true, true),
             host(b, "beta", 0, 0, 0, false, false));
    AUTO_JSON json_t *draining = explain_job(&e);
    cr_expect_str_eq(limits(draining), "draining");
    expect_wait(draining, "draining", "takes up no more jobs: alpha");
    cr_expect(strstr(json_get_string(draining, "next"), "berth undrain NAME"));
}

Test(explain, order_and_key) {
    struct api_explain e = explain("queued");
    char a[512], hosts[600];
    snprintf(hosts, sizeof hosts, "[%s]", host(a, "alpha", 0, 0, 0, true, false));
    e.hosts = hosts;
    e.ahead = 1;
    e.concurrency_key = "deploy";
    e.concurrency_max = 2;
    e.key_count = 2;
    e.key_holders = "[\"id-1\", \"id-2\"]";
    AUTO_JSON json_t *doc = explain_job(&e);
    cr_expect_str_eq(limits(doc), "concurrency queue_order");
    cr_expect_eq(json_get_int(doc, "position", 0), 2);
    expect_wait(doc, "concurrency", "of the key \"deploy\" 2 may be under way at once; 2 are: id-1, id-2");
    expect_wait(doc, "queue_order", "1 job is before it");
    e.key_count = 1;
    e.ahead = API_AHEAD_MAX + 1;
    AUTO_JSON json_t *far = explain_job(&e);
    cr_expect_str_eq(limits(far), "queue_order");
    expect_wait(far, "queue_order", "more than 10000 jobs are before it");
}

Test(explain, what_waits_for_its_time) {
    struct api_explain e = explain("scheduled");
    e.job.run_at_us = NOW_US + 7260 * S;
    AUTO_JSON json_t *scheduled = explain_job(&e);
    cr_expect_str_eq(limits(scheduled), "run_at");
    cr_expect(json_is_null(json_object_get(scheduled, "position")));
    expect_wait(scheduled, "run_at", "(in 2h1m)");
    expect_words("message", json_get_string(scheduled, "message"), "2023-11-15T00:14:20");
    e = explain("retrying");
    e.job.retry_at_us = NOW_US + 5 * S;
    e.job.attempt = 1;
    e.job.attempt_status = "failed";
    e.job.reason = "exit_code";
    e.job.spec = "{\"retry\":{\"max\":2}}";
    AUTO_JSON json_t *retrying = explain_job(&e);
    cr_expect_str_eq(limits(retrying), "retry_at");
    expect_wait(retrying, "retry_at", "attempt 2 of at most 3");
    expect_words("message", json_get_string(retrying, "message"), "Attempt 1 ended as failed/exit_code");
    cr_expect_str_eq(json_get_string(retrying, "reason"), "exit_code");
    e.job.retry_at_us = NOW_US - 1;
    AUTO_JSON json_t *due = explain_job(&e);
    cr_expect_str_eq(limits(due), "no_orchestrator", "it is in the queue again");
    cr_expect_eq(json_get_int(due, "position", 0), 1);
}

Test(explain, phases_of_preparing) {
    struct api_explain e = explain("preparing");
    e.job.claimed_us = NOW_US - 10 * S;
    e.job.spec = "{\"image\":\"busybox\",\"deadlines\":{\"pull\":\"5m\",\"start\":\"1m\"}}";
    AUTO_JSON json_t *pulling = explain_job(&e);
    cr_expect_str_eq(limits(pulling), "image");
    expect_wait(pulling, "image", "host-a has had it since 2023-11-14T22:13:10.000000Z (10s ago)");
    expect_words("next", json_get_string(pulling, "next"),
                 "(in 4m50s) at the latest it ends as timed_out/pull_deadline");
    e.job.pulled_us = NOW_US - 2 * S;
    AUTO_JSON json_t *making = explain_job(&e);
    expect_wait(making, "container", "host-a is making its container");
    expect_words("next", json_get_string(making, "next"),
                 "(in 58s) at the latest it ends as timed_out/start_deadline");
    e.job.container_us = NOW_US - 1 * S;
    AUTO_JSON json_t *starting = explain_job(&e);
    expect_wait(starting, "container", "starting");
    e.job.spec = "{\"image\":\"b\",\"services\":[{\"name\":\"db\",\"deadline\":\"30s\"},{\"name\":\"mq\"}]}";
    AUTO_JSON json_t *services = explain_job(&e);
    expect_wait(services, "services", "db (within 30s), mq");
}

Test(explain, under_way_and_after) {
    struct api_explain e = explain("running");
    e.job.deadline_us = NOW_US + 600 * S;
    e.job.spec = "{\"deadlines\":{\"idle\":\"5m\"},\"stop\":{\"signal\":\"SIGINT\",\"grace\":\"3s\"}}";
    AUTO_JSON json_t *running = explain_job(&e);
    cr_expect_str_eq(limits(running), "");
    expect_words("next", json_get_string(running, "next"),
                 "(in 10m) it is to be stopped as timed_out/run_deadline");
    expect_words("next", json_get_string(running, "next"), "after 5m without output");
    e.job.deadline_us = NOW_US + S / 2;
    e.job.spec = "{\"deadlines\":{\"idle\":\"0s\"},\"stop\":{\"signal\":\"SIGINT\",\"grace\":\"3s\"}}";
    AUTO_JSON json_t *silent = explain_job(&e);
    expect_words("next", json_get_string(silent, "next"), "(now) it is to be stopped");
    cr_expect_null(strstr(json_get_string(silent, "next"), "without output"),
                   "an idle deadline of 0 is none");
    e.job.exited_us = NOW_US - S;
    AUTO_JSON json_t *exited = explain_job(&e);
    cr_expect_str_eq(limits(exited), "log");
    e.job.exited_us = API_NONE;
    e.job.status = "canceling";
    e.cancel = 1;
    AUTO_JSON json_t *canceling = explain_job(&e);
    expect_wait(canceling, "stop", "with SIGINT and to kill it after 3s");
    e.cancel = 2;
    AUTO_JSON json_t *forced = explain_job(&e);
    expect_wait(forced, "stop", "without grace");
    char a[512], hosts[600];
    snprintf(hosts, sizeof hosts, "[%s]", host(a, "host-a", 0, 0, 0, false, false));
    e.hosts = hosts;
    AUTO_JSON json_t *unheard = explain_job(&e);
    cr_expect_str_eq(limits(unheard), "orchestrator stop");
    expect_wait(unheard, "orchestrator", "(1m30s ago): what runs of the job goes on");
    e.job.status = "lost";
    AUTO_JSON json_t *lost = explain_job(&e);
    expect_wait(lost, "orchestrator", "host-a was last heard of at 2023-11-14T22:11:50.000000Z (1m30s ago)");
    expect_words("next", json_get_string(lost, "next"),
                 "(in 3m30s) on this attempt counts as errored/orchestrator_lost");
    e.job.status = "failed";
    e.job.finished_us = NOW_US - 3 * S;
    e.job.message = "The command ended with exit code 3.";
    AUTO_JSON json_t *failed = explain_job(&e);
    cr_expect_str_eq(limits(failed), "");
    cr_expect_str_eq(json_get_string(failed, "message"), e.job.message);
    expect_words("next", json_get_string(failed, "next"), "(3s ago)");
}
