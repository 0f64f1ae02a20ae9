/* What load balancers, orchestrators of containers and people at night ask. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "orchestrator/db/trouble.h"
#include "orchestrator/gateway/handlers.h"

enum { HEALTH_WAIT_MS = 2000 }; /* for the database: whoever asks for health does not want to wait */

static json_t *stamped(const char *status) {
    char now[CLOCK_RFC3339_MAX];
    return json_pack("{s:s, s:s}", "status", status, "timestamp", clock_format_rfc3339(clock_real_us(), now));
}

void health_process(struct request *request) {
    http_respond_json(request, 200, stamped("ok"));
}

static json_t *check(const char *state, const char *detail) {
    return json_pack("{s:s, s:s?}", "state", state, "detail", detail);
}

static json_t *host_check(const struct health *health) {
    if (!health->known)
        return check("unknown", "it has not been looked at yet");
    return check(health->ok ? "ok" : "away", *health->detail ? health->detail : NULL);
}

/* Adds what this host has; returns whether all of it is there. */
static bool host_checks(const struct gateway *gateway, json_t *checks) {
    bool all = true;
    for (unsigned i = 0; i < HEALTH_PART_COUNT; i++) {
        json_object_set_new(checks, health_part_word((enum health_part)i), host_check(&gateway->health[i]));
        all = all && gateway->health[i].known && gateway->health[i].ok;
    }
    return all;
}

static json_t *orchestrator_check(const struct api_health *health) {
    json_t *view = json_pack("{s:s, s:I}", "state", health->orchestrator_alive ? "ok" : "away", "known",
                             (json_int_t)health->orchestrators);
    if (health->heartbeat_age_ms != API_NONE)
        json_object_set_new(view, "heartbeat_age_seconds",
                            json_real((double)health->heartbeat_age_ms / MS_PER_S));
    return view;
}

static void answer(struct request *request, bool ready, json_t *database, json_t *schema,
                   json_t *orchestrator) {
    json_t *checks = json_object();
    json_object_set_new(checks, "database", database);
    json_object_set_new(checks, "schema", schema);
    json_object_set_new(checks, "orchestrator", orchestrator);
    ready = host_checks(request->gateway, checks) && ready;
    json_t *doc = stamped(ready ? "ready" : "not ready");
    json_object_set_new(doc, "checks", checks);
    if (!ready)
        http_add_header(request, "Retry-After", "2");
    AUTO_FREE char *text = json_dumps(doc, JSON_COMPACT);
    json_decref(doc);
    http_respond(request, ready ? 200 : 503, "application/json", text, strlen(text));
}

/* libpq's words without the server's address: this page is open to all. */
static const char *without_address(const char *error) {
    static const char failed[] = " failed: ";
    const char *end = NULL;
    for (const char *at = error; (at = strstr(at, failed)); at += sizeof failed - 1)
        end = at + sizeof failed - 1;
    return end ? end : error;
}

static void answer_away(struct request *request, const char *why) {
    answer(request, false, check("away", *why ? why : "it does not answer"), check("unknown", NULL),
           check("unknown", NULL));
}

/* A server with a full disk answers questions all the same, this one too; what it has refused to others
 * tells. NULL: nothing. */
static const struct trouble *lasting_trouble(const struct gateway *gateway) {
    const struct trouble *t = gateway->trouble;
    return t && clock_boot_ms() - gateway->trouble_ms < t->lasts_ms ? t : NULL;
}

static void on_health(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    const struct trouble *trouble = err ? trouble_find(err) : NULL;
    struct api_health health;
    request->ticket = 0;
    if (trouble && strcmp(trouble->state, "missing") == 0) {
        answer(request, false, check("ok", NULL), check(trouble->state, trouble->text),
               check("unknown", NULL));
    } else if (trouble) {
        answer(request, false, check(trouble->state, trouble->text), check("unknown", NULL),
               check("unknown", NULL));
    } else if (err && err->kind == ERR_DB) {
        log_error("the database refused the question about health", LS("request", request->request_id),
                  LERR(err));
        answer(request, false,
               check("error", "it refuses to answer; the log says why, under this request id"),
               check("unknown", NULL), check("unknown", NULL));
    } else if (err) {
        answer_away(request, without_address(err->text));
    } else {
        api_read_health(result, &health);
        trouble = lasting_trouble(request->gateway);
        answer(request, health.orchestrator_alive && !trouble,
               trouble ? check(trouble->state, trouble->text) : check("ok", NULL),
               json_pack("{s:s, s:I}", "state", "ok", "version", (json_int_t)health.schema_version),
               orchestrator_check(&health));
    }
}

/* Whoever asks for health does not want to wait for it. */
static int on_too_late(sd_event_source *source, uint64_t us, void *arg) {
    struct request *request = arg;
    struct err err = {0};
    db_done *done = request->on_silence;
    (void)source, (void)us;
    request->timer = sd_event_source_disable_unref(request->timer);
    if (!request->ticket) /* it was answered in this very turn of the loop */
        return 0;
    db_async_forget(request->gateway->db, request->ticket);
    err_set(&err, ERR_AWAY, 0, "it has not answered within %d ms", HEALTH_WAIT_MS);
    done(request, NULL, &err);
    return 0;
}

static void ask(struct request *request, db_done *done) {
    struct err err = {0};
    struct gateway *gateway = request->gateway;
    if (!db_pool_is_up(gateway->db)) {
        err_set(&err, ERR_AWAY, 0, "%s", db_pool_error(gateway->db));
        done(request, NULL, &err);
        return;
    }
    request->on_silence = done;
    request->ticket = api_health(gateway->db, done, request, &err);
    if (request->ticket < 0) {
        request->ticket = 0;
        done(request, NULL, &err);
    } else {
        sd_event_add_time_relative(gateway->loop, &request->timer, CLOCK_BOOTTIME, HEALTH_WAIT_MS * US_PER_MS,
                                   US_PER_MS, on_too_late, request);
    }
}

void health_ready(struct request *request) {
    ask(request, on_health);
}

static void on_database(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    (void)result;
    request->ticket = 0;
    if (err && (err->kind != ERR_DB || trouble_find(err)))
        http_problem_db(request, err);
    else
        http_respond_json(request, 200, stamped("connected"));
}

void health_database(struct request *request) {
    ask(request, on_database);
}

void health_docker(struct request *request) {
    const struct health *engine = &request->gateway->health[HEALTH_ENGINE];
    if (engine->known && engine->ok) {
        http_respond_json(request, 200, stamped("connected"));
        return;
    }
    http_add_header(request, "Retry-After", "2");
    http_problem(request, 503, "the engine cannot be used: %s",
                 engine->known ? engine->detail : "it has not been looked at yet");
}
