/* GET /v1/orchestrators, POST /v1/orchestrators/{name}/drain and /undrain: the fleet. */
#include "base/clock.h"
#include "base/json.h"
#include "orchestrator/gateway/asking.h"
#include "orchestrator/gateway/body.h"
#include "orchestrator/gateway/handlers.h"

static json_t *time_or_null(int64_t us) {
    char text[CLOCK_RFC3339_MAX];
    return us == API_NONE ? json_null() : json_string(clock_format_rfc3339(us, text));
}

static json_t *view(const PGresult *result, int row) {
    struct api_orchestrator o;
    api_read_orchestrator(result, row, &o);
    return json_pack("{s:s, s:s, s:s, s:b, s:I, s:I, s:o, s:o, s:o}", "name", o.name, "version", o.version,
                     "state", o.state, "draining", o.draining, "slots", (json_int_t)o.slots, "running",
                     (json_int_t)o.running, "started_at", time_or_null(o.started_us), "heartbeat_at",
                     time_or_null(o.heartbeat_us), "detached_until", time_or_null(o.detached_us));
}

static void on_fleet(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    if (asking_failed(request, err))
        return;
    json_t *items = json_array();
    for (int row = 0; row < PQntuples(result); row++)
        json_array_append_new(items, view(result, row));
    http_respond_json(request, 200, json_pack("{s:o}", "items", items));
}

void fleet_list(struct request *request) {
    struct err err;
    if (query_none(&request->query, &err) < 0) {
        http_problem(request, 400, "%s", err.text);
        return;
    }
    asking_sent(request, api_list_fleet(request->gateway->db, on_fleet, request, &err), &err);
}

static void on_drained(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    if (asking_failed(request, err))
        return;
    if (PQntuples(result) == 0)
        http_problem(request, 404, "there is no orchestrator %s", request->id);
    else
        http_respond_json(request, 200, view(result, 0));
}

/* {} or nothing. False: answered already. */
static bool read_nothing(struct request *request) {
    if (request->body.len == 0)
        return true;
    AUTO_JSON json_t *doc = body_read(request);
    if (doc && (!json_is_object(doc) || json_object_size(doc) > 0)) {
        body_fault(request, "", "is to be {} or empty");
        return false;
    }
    return doc;
}

static void drain(struct request *request, bool on) {
    struct err err;
    if (query_none(&request->query, &err) < 0) {
        http_problem(request, 400, "%s", err.text);
        return;
    }
    if (read_nothing(request))
        asking_change(request, api_drain(request->gateway->db, request->id, on, on_drained, request, &err),
                      &err);
}

void fleet_drain(struct request *request) {
    drain(request, true);
}

void fleet_undrain(struct request *request) {
    drain(request, false);
}
