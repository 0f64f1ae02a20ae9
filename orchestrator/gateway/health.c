#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "orchestrator/gateway/handlers.h"

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
    json_t *doc = stamped(ready ? "ready" : "not ready"), *checks = json_object();
    json_object_set_new(checks, "database", database);
    json_object_set_new(checks, "schema", schema);
    json_object_set_new(checks, "orchestrator", orchestrator);
    json_object_set_new(doc, "checks", checks);
    if (!ready)
        http_add_header(request, "Retry-After", "2");
    AUTO_FREE char *text = json_dumps(doc, JSON_COMPACT);
    json_decref(doc);
    http_respond(request, ready ? 200 : 503, "application/json", text, strlen(text));
}

/* No such schema, table or column: nobody has made them yet, or not all of them. */
static bool lacks_schema(const struct err *err) {
    return err->kind == ERR_DB && (err->code == db_sqlstate("3F000") || err->code == db_sqlstate("42P01") ||
                                   err->code == db_sqlstate("42703"));
}

static void on_health(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    struct api_health health;
    request->ticket = 0;
    if (err && lacks_schema(err)) {
        answer(request, false, check("ok", NULL), check("missing", "run berthd migrate"),
               check("unknown", NULL));
        return;
    }
    if (err && err->kind == ERR_DB) {
        log_error("the database refused the question about health", LS("request", request->request_id),
                  LERR(err));
        answer(request, false,
               check("error", "it refuses to answer; the log says why, under this request id"),
               check("unknown", NULL), check("unknown", NULL));
        return;
    }
    if (err) {
        answer(request, false, check("away", "it does not answer; jobs go on and their logs are kept"),
               check("unknown", NULL), check("unknown", NULL));
        return;
    }
    api_read_health(result, &health);
    answer(request, health.orchestrator_alive, check("ok", NULL),
           json_pack("{s:s, s:I}", "state", "ok", "version", (json_int_t)health.schema_version),
           orchestrator_check(&health));
}

static void ask(struct request *request, db_done *done) {
    struct err err = {.kind = ERR_AWAY};
    if (!db_pool_is_up(request->gateway->db)) { /* whoever asks for health does not want to wait */
        done(request, NULL, &err);
        return;
    }
    request->ticket = api_health(request->gateway->db, done, request, &err);
    if (request->ticket < 0) {
        request->ticket = 0;
        done(request, NULL, &err);
    }
}

void health_ready(struct request *request) {
    ask(request, on_health);
}

static void on_database(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    (void)result;
    request->ticket = 0;
    if (err && err->kind != ERR_DB)
        http_problem_db(request, err);
    else
        http_respond_json(request, 200, stamped("connected"));
}

void health_database(struct request *request) {
    ask(request, on_database);
}
