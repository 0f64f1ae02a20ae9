/* The orchestrators as users see them, and whether they take up jobs. */
#include "orchestrator/db/api_private.h"

/* As claim_judge() judges. One that has left with nothing to come back for says so: claim_leave(). */
#define STATE_                                                                                               \
    "case when o.detached_until = o.heartbeat_at then 'left'"                                                \
    " when greatest(o.detached_until, o.heartbeat_at + o.lease) <= now() then 'lost'"                        \
    " when o.detached_until is not null then 'detached'"                                                     \
    " when o.draining then 'draining' else 'live' end"

/* What runs comes from the jobs' rows: an orchestrator tells it with its heartbeat only. */
#define FLEET_TABLE(X)                                                                                       \
    X(NAME, "o.name")                                                                                        \
    X(VERSION, "o.version")                                                                                  \
    X(STATE, STATE_)                                                                                         \
    X(DRAINING, "o.draining")                                                                                \
    X(SLOTS, "o.slots")                                                                                      \
    X(RUNNING, "(select count(*) from berth.jobs h where h.orchestrator = o.name"                            \
               " and h.status in ('preparing', 'running', 'canceling', 'lost'))")                            \
    X(STARTED, API_US("o.started_at"))                                                                       \
    X(HEARTBEAT, API_US("o.heartbeat_at"))                                                                   \
    X(DETACHED, API_US("case when o.detached_until > o.heartbeat_at then o.detached_until end"))

enum fleet_column {
#define X(symbol, sql) FLEET_##symbol,
    FLEET_TABLE(X)
#undef X
};

#define X(symbol, sql) sql ", "
#define COLUMNS_ FLEET_TABLE(X) /* with a comma at the end */

static const char list_sql[] = "select " COLUMNS_ "null from berth.orchestrators o order by o.name limit $1";

/* The hint makes it take effect at once where it is heard; the claim looks at the row anyway. */
static const char drain_sql[] =
    "with o as (update berth.orchestrators set draining = $2::boolean where name = $1 returning *)"
    " select " COLUMNS_ "pg_notify('berth_work', 'drain') from o";
#undef X

int64_t api_list_fleet(struct db_pool *pool, db_done *done, void *arg, struct err *err) {
    return DB_ASYNC(pool, list_sql, done, arg, err, DB_INT(API_FLEET_MAX));
}

int64_t api_drain(struct db_pool *pool, const char *name, bool drain, db_done *done, void *arg,
                  struct err *err) {
    return DB_ASYNC(pool, drain_sql, done, arg, err, DB_TEXT(name), DB_TEXT(drain ? "true" : "false"));
}

void api_read_orchestrator(const PGresult *r, int row, struct api_orchestrator *ret) {
    *ret = (struct api_orchestrator){
        .name = db_get_text(r, row, FLEET_NAME),
        .version = db_get_text(r, row, FLEET_VERSION),
        .state = db_get_text(r, row, FLEET_STATE),
        .draining = db_get_bool(r, row, FLEET_DRAINING),
        .slots = db_get_int(r, row, FLEET_SLOTS),
        .running = db_get_int(r, row, FLEET_RUNNING),
        .started_us = db_get_int(r, row, FLEET_STARTED),
        .heartbeat_us = db_get_int(r, row, FLEET_HEARTBEAT),
        .detached_us = db_get_int_or(r, row, FLEET_DETACHED, API_NONE),
    };
}
