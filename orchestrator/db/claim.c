#include "orchestrator/db/claim.h"

#include <stdio.h>
#include <string.h>

#include "orchestrator/db/ship.h"
#include "proto/spec.h"

int claim_exec(struct db *db, const struct ctx *ctx, const struct claim *claim, PGresult **ret_result,
               struct err *err) {
    return db_exec(db, ctx, claim->sql, claim->params, claim->count, ret_result, err);
}

int claim_send(struct db_pool *pool, const struct claim *claim, db_done *done, void *arg, struct err *err) {
    return db_async(pool, claim->sql, claim->params, claim->count, done, arg, err) < 0 ? -1 : 0;
}

static void begin(struct claim *c, const char *sql) {
    c->sql = sql;
    c->count = 0;
}

static void add_text(struct claim *c, const char *text) {
    c->params[c->count++] = text ? DB_TEXT(text) : DB_NULL;
}

static void add_int(struct claim *c, int64_t n) {
    const char *text = db_int_text(c->numbers[c->count], n);
    c->params[c->count++] = DB_TEXT(text);
}

/* --- the lease --- */

void claim_register(struct claim *c, const char *name, const char *state_id, int64_t slots,
                    int64_t lease_ms) {
    begin(c, "with mine as ("
             "  insert into berth.orchestrators as o (name, state_id, version, slots, lease)"
             "  values ($1, $2::uuid, $3, $4::integer, $5::bigint * interval '1 millisecond')"
             "  on conflict (name) do update set state_id = excluded.state_id, version = excluded.version,"
             "    slots = excluded.slots, lease = excluded.lease, used = 0, started_at = now(),"
             "    heartbeat_at = now(), detached_until = null"
             "  where o.state_id = excluded.state_id"
             "    or (o.heartbeat_at + o.lease < now() and coalesce(o.detached_until, '-infinity') < now())"
             "  returning 1)"
             " select exists (select from mine),"
             "   (select extract(epoch from now() - heartbeat_at)::bigint"
             "    from berth.orchestrators where name = $1)");
    add_text(c, name);
    add_text(c, state_id);
    add_text(c, BERTH_VERSION);
    add_int(c, slots);
    add_int(c, lease_ms);
}

bool claim_registered(const PGresult *r, int64_t *ret_age_s) {
    *ret_age_s = db_get_int(r, 0, 1);
    return db_get_bool(r, 0, 0);
}

void claim_heartbeat(struct claim *c, const char *name, const char *state_id, int64_t slots, int64_t used) {
    begin(c,
          "update berth.orchestrators set heartbeat_at = now(), detached_until = null, slots = $3::integer,"
          " used = $4::integer where name = $1 and state_id = $2::uuid returning draining");
    add_text(c, name);
    add_text(c, state_id);
    add_int(c, slots);
    add_int(c, used);
}

bool claim_draining(const PGresult *r) {
    return PQntuples(r) > 0 && db_get_bool(r, 0, 0);
}

void claim_leave(struct claim *c, const char *name, const char *state_id, int64_t detach_ms) {
    begin(c,
          "update berth.orchestrators set"
          " heartbeat_at = case when $3::bigint > 0 then now() else now() - lease end,"
          " detached_until = case when $3::bigint > 0 then now() + $3::bigint * interval '1 millisecond' end"
          " where name = $1 and state_id = $2::uuid");
    add_text(c, name);
    add_text(c, state_id);
    add_int(c, detach_ms);
}

/* --- taking jobs --- */

/* What claim_row() reads. A spec that is too long is not fetched, only its length. */
#define JOB_COLUMNS_                                                                                         \
    " m.job_id, m.number, m.id, m.token, (extract(epoch from m.claimed_at) * 1000000)::bigint, j.tenant,"    \
    " j.memory_bytes is null, octet_length(j.spec),"                                                         \
    " case when octet_length(j.spec) <= 1048576 then j.spec end"
_Static_assert(SPEC_BYTES_MAX == 1048576, "the bound in JOB_COLUMNS_");

void claim_take(struct claim *c, const struct claim_want *want) {
    begin(c, "with candidates as materialized ("
             "  select id, attempt, priority, created_at, coalesce(memory_bytes, $7::bigint) as memory,"
             "    case when memory_bytes is null then $8::bigint else cpus_milli end as cpus"
             "  from berth.jobs"
             "  where status = 'queued' and cancel = 0"
             "    and (queue_deadline_at is null or queue_deadline_at > now())"
             "    and (run_at is null or run_at <= now())"
             "    and coalesce(memory_bytes, $7::bigint) <= $4::bigint"
             "    and ($6::bigint = 0 or"
             "         case when memory_bytes is null then $8::bigint else cpus_milli end <= $6::bigint)"
             "  order by priority desc, created_at, id limit $2::bigint for update skip locked),"
             " summed as ("
             "  select *, sum(memory) over w as memory_sum, sum(cpus) over w as cpus_sum from candidates"
             "  window w as (order by priority desc, created_at, id rows unbounded preceding)),"
             " m as ("
             "  insert into berth.attempts (job_id, number, token, orchestrator, log_limit)"
             "  select id, attempt + 1, nextval('berth.tokens'), $1, $9::bigint from summed"
             "  where memory_sum <= $3::bigint and ($6::bigint = 0 or cpus_sum <= $5::bigint)"
             "  returning job_id, number, id, token, claimed_at),"
             " moved as ("
             "  update berth.jobs j set status = 'preparing', orchestrator = $1, attempt = m.number,"
             "    reason = null, message = null"
             "  from m where j.id = m.job_id"
             "  returning j.id, j.tenant, j.memory_bytes, j.spec, j.priority, j.created_at)"
             " select" JOB_COLUMNS_ " from m join moved j on j.id = m.job_id"
             " order by j.priority desc, j.created_at, j.id");
    add_text(c, want->name);
    add_int(c, want->limit);
    add_int(c, want->memory_free);
    add_int(c, want->memory_total);
    add_int(c, want->cpus_free);
    add_int(c, want->cpus_total);
    add_int(c, want->default_memory);
    add_int(c, want->default_cpus_milli);
    add_int(c, want->default_log);
}

void claim_fetch(struct claim *c, const char *name, const char *job, int64_t attempt_id) {
    begin(c, "select" JOB_COLUMNS_ " from berth.attempts m join berth.jobs j on j.id = m.job_id"
             " where m.id = $3::bigint and j.id = $2::uuid and j.orchestrator = $1 and m.number = j.attempt"
             " and m.finished_at is null and j.status in ('preparing', 'running', 'canceling')");
    add_text(c, name);
    add_text(c, job);
    add_int(c, attempt_id);
}

struct claim_job claim_row(const PGresult *r, int row) {
    return (struct claim_job){
        .job = db_get_text(r, row, 0),
        .number = db_get_int(r, row, 1),
        .attempt_id = db_get_int(r, row, 2),
        .token = db_get_int(r, row, 3),
        .claimed_us = db_get_int(r, row, 4),
        .tenant = db_get_text(r, row, 5),
        .bare = db_get_bool(r, row, 6),
        .spec_bytes = db_get_int(r, row, 7),
        .spec = db_is_null(r, row, 8) ? NULL : db_get_text(r, row, 8),
    };
}

/* --- what becomes of a job that was taken --- */

#define CLAIM_LATE_MESSAGE "no orchestrator had room for it before its queue deadline"

/* $1 job, $2 attempt's key, $3 token; then the facts from $4 on, or nulls. */
static void add_job(struct claim *c, const struct claim_job *job) {
    add_text(c, job->job);
    add_int(c, job->attempt_id);
    add_int(c, job->token);
}

enum { FACTS_COUNT = 7 };

static void add_facts(struct claim *c, const struct claim_facts *facts) {
    if (!facts) {
        for (int i = 0; i < FACTS_COUNT; i++)
            add_text(c, NULL);
        return;
    }
    add_text(c, facts->name);
    add_text(c, facts->labels);
    add_int(c, facts->memory_bytes);
    add_int(c, facts->cpus_milli);
    add_int(c, facts->priority);
    add_int(c, facts->run_at_us);
    add_int(c, facts->queue_ms);
}

/* Only a bare row takes the facts: what the API has written was checked. $8 is the priority, $9 when it may
 * run, $10 for how many milliseconds it may wait. */
#define IS_BARE_ " j.memory_bytes is null"
#define RUN_AT_ " case when" IS_BARE_ " and $9::bigint > 0 then berth.from_us($9::bigint) else j.run_at end"
#define QUEUE_DEADLINE_                                                                                      \
    " case when" IS_BARE_ " and $10::bigint > 0"                                                             \
    "   then greatest(j.created_at," RUN_AT_ ") + $10::bigint * interval '1 millisecond'"                    \
    "   else j.queue_deadline_at end"
#define FACTS_                                                                                               \
    " name = case when" IS_BARE_ " then coalesce($4::text, j.name) else j.name end,"                         \
    " labels = case when" IS_BARE_ " then coalesce($5::jsonb, j.labels) else j.labels end,"                  \
    " priority = case when" IS_BARE_ " then coalesce($8::integer, j.priority) else j.priority end,"          \
    " cpus_milli = case when" IS_BARE_ " then coalesce($7::bigint, j.cpus_milli) else j.cpus_milli end,"     \
    " run_at =" RUN_AT_ ", queue_deadline_at =" QUEUE_DEADLINE_ ","                                          \
    " memory_bytes = coalesce(j.memory_bytes, $6::bigint)"

void claim_describe(struct claim *c, const struct claim_job *job, const struct claim_facts *facts) {
    begin(c, "with a as (update berth.attempts set log_limit = $11::bigint"
             "   where id = $2::bigint and token = $3::bigint returning job_id, number)"
             " update berth.jobs j set" FACTS_
             " from a where j.id = $1::uuid and a.job_id = j.id and a.number = j.attempt"
             " returning coalesce(j.run_at > now(), false) or coalesce(j.queue_deadline_at <= now(), false)");
    add_job(c, job);
    add_facts(c, facts);
    add_int(c, facts->log_bytes);
}

bool claim_not_now(const PGresult *r) {
    return PQntuples(r) > 0 && db_get_bool(r, 0, 0);
}

/* Judged on the row as it is when its lock is held, so a cancel that came first is seen. */
#define RELEASED_(canceled, timed_out, scheduled, queued)                                                    \
    " case when j.cancel > 0 then " canceled " when" QUEUE_DEADLINE_ " <= now() then " timed_out             \
    " when" RUN_AT_ " > now() then " scheduled " else " queued " end"

void claim_release(struct claim *c, const struct claim_job *job, const struct claim_facts *facts) {
    begin(c,
          "with a as (delete from berth.attempts a using berth.jobs j"
          "   where a.id = $2::bigint and a.token = $3::bigint and a.finished_at is null"
          "     and j.id = a.job_id and j.attempt = a.number and j.status in ('preparing', 'canceling')"
          "   returning a.job_id)"
          " update berth.jobs j set"
          "   status =" RELEASED_(
              "'canceled'", "'timed_out'", "'scheduled'",
              "'queued'") ","
                          "   reason =" RELEASED_(
                              "coalesce(cancel_reason, 'requested')", "'queue_deadline'", "null",
                              "null") ","
                                      "   message =" RELEASED_(
                                          "'canceled before it had started'", "'" CLAIM_LATE_MESSAGE "'",
                                          "null",
                                          "null") ","
                                                  "   finished_at =" RELEASED_(
                                                      "now()", "now()", "null",
                                                      "null") ","
                                                              "   orchestrator = null, attempt = j.attempt - "
                                                              "1," FACTS_ " from a where j.id = $1::uuid and "
                                                              "a.job_id = j.id"
                                                              " returning case when j.finished_at is not null"
                                                              "   then pg_notify('" SHIP_CHANNEL
                                                              "', j.id::text)::text end");
    add_job(c, job);
    add_facts(c, facts);
}

void claim_refuse(struct claim *c, const struct claim_job *job, const char *reason, const char *message) {
    begin(c,
          "with a as (update berth.attempts set status = 'errored', reason = $4, message = $5,"
          "     finished_at = now(), cleaned_at = now(), log_complete = true"
          "   where id = $2::bigint and token = $3::bigint and finished_at is null returning job_id, number)"
          " update berth.jobs j set status = 'errored', reason = $4, message = $5, finished_at = now()"
          " from a where j.id = $1::uuid and a.job_id = j.id and a.number = j.attempt"
          "   and j.status in ('preparing', 'running', 'canceling', 'lost')"
          " returning pg_notify('" SHIP_CHANNEL "', j.id::text)");
    add_job(c, job);
    add_text(c, reason);
    add_text(c, message);
}

/* --- what time and people do to jobs --- */

void claim_sweep(struct claim *c) {
    begin(c, "with due as ("
             "  select id from berth.jobs where status = 'scheduled' and run_at <= now()"
             "  limit $1::bigint for update skip locked),"
             " late as ("
             "  select id from berth.jobs where status = 'queued' and queue_deadline_at <= now()"
             "  limit $1::bigint for update skip locked),"
             " queued as ("
             "  update berth.jobs j set status = 'queued', reason = null, message = null"
             "  from due where j.id = due.id returning 1),"
             " ended as ("
             "  update berth.jobs j set status = 'timed_out', reason = 'queue_deadline',"
             "    message = '" CLAIM_LATE_MESSAGE "', finished_at = now()"
             "  from late where j.id = late.id returning j.id)"
             " select (select count(*) from queued), (select count(*) from ended),"
             "  (select pg_notify('" SHIP_CHANNEL "', case when count(*) > 200 then '*'"
             "     else string_agg(id::text, ' ') end)::text from ended having count(*) > 0)");
    add_int(c, CLAIM_SWEEP_MAX);
}

void claim_cancels(struct claim *c, const char *name) {
    begin(c, "select id, attempt, cancel, coalesce(cancel_reason, '') from berth.jobs"
             " where orchestrator = $1 and cancel > 0"
             " and status in ('preparing', 'running', 'canceling', 'lost') limit $2::bigint");
    add_text(c, name);
    add_int(c, CLAIM_OWNED_MAX);
}

struct claim_cancel claim_cancel_row(const PGresult *r, int row) {
    return (struct claim_cancel){
        .job = db_get_text(r, row, 0),
        .number = db_get_int(r, row, 1),
        .force = db_get_int(r, row, 2) > 1,
        .reason = db_get_text(r, row, 3),
    };
}

void claim_owned(struct claim *c, const char *name) {
    begin(c, "select j.id, m.number, m.id from berth.jobs j"
             " join berth.attempts m on m.job_id = j.id and m.number = j.attempt"
             " where j.orchestrator = $1 and j.status in ('preparing', 'running', 'canceling')"
             " and m.finished_at is null limit $2::bigint");
    add_text(c, name);
    add_int(c, CLAIM_OWNED_MAX);
}

struct claim_ours claim_owned_row(const PGresult *r, int row) {
    return (struct claim_ours){
        .job = db_get_text(r, row, 0),
        .number = db_get_int(r, row, 1),
        .attempt_id = db_get_int(r, row, 2),
    };
}
