/* Why a job is where it is, in one statement. Only a job that waits has others counted before it. */
#include "orchestrator/db/api_private.h"

/* What is in use comes from the jobs' rows: an orchestrator tells it with its heartbeat only. Order: as the
 * claim takes them (claim.c), without those that could not be taken now: put off, or held by their key, if it
 * is not this job's as well. */
#define UNDER_WAY_ " in ('preparing', 'running', 'canceling', 'lost')"
#define HEARTBEAT_US_ API_US("o.heartbeat_at")
#define GIVEN_UP_US_ API_US("greatest(o.heartbeat_at + o.lease, o.detached_until) + o.lost_after")
#define EXPLAIN_TABLE(X)                                                                                     \
    X(NOW, API_US("now()"))                                                                                  \
    X(QUEUE_DEADLINE, API_US("j.queue_deadline_at"))                                                         \
    X(MEMORY, "j.memory_bytes")                                                                              \
    X(CPUS, "j.cpus_milli")                                                                                  \
    X(CANCEL, "j.cancel")                                                                                    \
    X(AHEAD, "case when j.status in ('queued', 'retrying') then (select count(*) from"                       \
             " (select from berth.jobs o where o.status in ('queued', 'retrying') and o.cancel = 0"          \
             "   and coalesce(o.run_at, o.created_at) <= now()"                                              \
             "   and (o.status = 'queued' or coalesce(o.retry_at, now()) <= now())"                          \
             "   and (o.priority > j.priority"                                                               \
             "     or (o.priority = j.priority and (o.created_at, o.id) < (j.created_at, j.id)))"            \
             "   and (o.concurrency_key is null"                                                             \
             "     or (o.tenant, o.concurrency_key) = (j.tenant, j.concurrency_key)"                         \
             "     or o.concurrency_max >"                                                                   \
             "     (select count(*) from berth.jobs h where h.tenant = o.tenant"                             \
             "      and h.concurrency_key = o.concurrency_key and h.status" UNDER_WAY_ "))"                  \
             "   limit 10001) t) else 0 end")                                                                \
    X(KEY, "j.concurrency_key")                                                                              \
    X(KEY_MAX, "j.concurrency_max")                                                                          \
    X(KEY_COUNT, "k.count")                                                                                  \
    X(KEY_HOLDERS, "coalesce(to_json(k.ids), '[]')")                                                         \
    X(HOSTS, "coalesce((select json_agg(json_build_object('name', o.name,"                                   \
             "  'alive', o.heartbeat_at + o.lease > now() and o.detached_until is null,"                     \
             "  'draining', o.draining, 'heartbeat_us', " HEARTBEAT_US_ ", 'given_up_us', " GIVEN_UP_US_ "," \
             "  'slots', o.slots, 'used', u.used, 'memory_bytes', o.memory_bytes,"                           \
             "  'memory_used', u.memory, 'cpus_milli', o.cpus_milli, 'cpus_used', u.cpus)"                   \
             "  order by o.name) from"                                                                       \
             "  (select * from berth.orchestrators order by heartbeat_at desc limit 64) o,"                  \
             "  lateral (select count(*) as used, coalesce(sum(h.memory_bytes), 0) as memory,"               \
             "    coalesce(sum(h.cpus_milli), 0) as cpus from berth.jobs h"                                  \
             "    where h.orchestrator = o.name and h.status" UNDER_WAY_ ") u), '[]')")
_Static_assert(API_AHEAD_MAX == 10000, "the limit of AHEAD is one more");
_Static_assert(API_HOSTS_MAX == 64, "the limit of HOSTS");
_Static_assert(API_KEYS_MAX == 16, "the slice of the key's holders");

enum explain_column {
    EXPLAIN_BEFORE = JOB_COLUMNS_END - 1,
#define X(symbol, sql) EXPLAIN_##symbol,
    EXPLAIN_TABLE(X)
#undef X
};

static const char explain_sql[] =
#define X(symbol, sql) ", " sql
    "select " JOB_COLUMNS JOB_SPEC_UP_TO("$3") EXPLAIN_TABLE(X)
#undef X
        JOB_WITH_ATTEMPT
    " left join lateral (select count(*), (array_agg(h.id order by h.created_at, h.id))[1:16] as ids"
    "  from berth.jobs h where h.tenant = j.tenant and h.concurrency_key = j.concurrency_key"
    "  and h.status" UNDER_WAY_ ") k on true"
    " where j.tenant = $1 and j.id = $2::uuid";

int64_t api_explain_job(struct db_pool *pool, const char *tenant, const char *id, db_done *done, void *arg,
                        struct err *err) {
    return DB_ASYNC(pool, explain_sql, done, arg, err, DB_TEXT(tenant), DB_TEXT(id),
                    DB_INT(API_SPEC_MAX_BYTES));
}

void api_read_explain(const PGresult *r, struct api_explain *ret) {
    *ret = (struct api_explain){
        .now_us = db_get_int(r, 0, EXPLAIN_NOW),
        .queue_deadline_us = db_get_int_or(r, 0, EXPLAIN_QUEUE_DEADLINE, API_NONE),
        .memory_bytes = db_get_int_or(r, 0, EXPLAIN_MEMORY, API_NONE),
        .cpus_milli = db_get_int(r, 0, EXPLAIN_CPUS),
        .cancel = db_get_int(r, 0, EXPLAIN_CANCEL),
        .ahead = db_get_int(r, 0, EXPLAIN_AHEAD),
        .concurrency_key = db_get_text_or_null(r, 0, EXPLAIN_KEY),
        .concurrency_max = db_get_int(r, 0, EXPLAIN_KEY_MAX),
        .key_count = db_get_int(r, 0, EXPLAIN_KEY_COUNT),
        .key_holders = db_get_text(r, 0, EXPLAIN_KEY_HOLDERS),
        .hosts = db_get_text(r, 0, EXPLAIN_HOSTS),
    };
    api_read_job(r, 0, &ret->job);
}
