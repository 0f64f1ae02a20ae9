#include "orchestrator/db/claim.h"

#include <string.h>

#include "orchestrator/db/claim_private.h"

int claim_exec(struct db *db, const struct ctx *ctx, const struct claim *claim, PGresult **ret_result,
               struct err *err) {
    return db_exec(db, ctx, claim->sql, claim->params, claim->count, ret_result, err);
}

int claim_send(struct db_pool *pool, const struct claim *claim, db_done *done, void *arg, struct err *err) {
    return db_async(pool, claim->sql, claim->params, claim->count, done, arg, err) < 0 ? -1 : 0;
}

void claim_begin(struct claim *c, const char *sql) {
    c->sql = sql;
    c->count = 0;
}

void claim_add_text(struct claim *c, const char *text) {
    c->params[c->count++] = text ? DB_TEXT(text) : DB_NULL;
}

void claim_add_int(struct claim *c, int64_t n) {
    const char *text = db_int_text(c->numbers[c->count], n);
    c->params[c->count++] = DB_TEXT(text);
}

/* --- the lease --- */

/* The names of dead ones: no instance can be called so (settings.c). */
#define GHOST_ "o.name || '~' || right(o.state_id::text, 12)"
#define IS_OVER_ "o.heartbeat_at + o.lease < now()"
#define IS_FREE_ "(" IS_OVER_ " and coalesce(o.detached_until, '-infinity') < now())"

/* Locks in the order of everybody else: orchestrator, attempt, job. A copy of our directory that has left in
 * good order, or before it knew of homes, is the directory itself on its way. */
void claim_register(struct claim *c, const struct claim_self *self, int64_t slots, int64_t lease_ms) {
    claim_begin(
        c,
        "with o as materialized ("
        "  select *, " GHOST_ " as ghost from berth.orchestrators o"
        "  where name = $1 and state_id <> $2::uuid and " IS_FREE_ " for update),"
        " theirs as materialized ("
        "  select a.id, a.job_id, a.number, o.name, o.ghost from o join berth.attempts a"
        "    on a.orchestrator = o.name and a.finished_at is null for update of a),"
        " dead as ("
        "  insert into berth.orchestrators"
        "    (name, state_id, version, slots, started_at, heartbeat_at, lease, lost_after)"
        "  select ghost, state_id, version, slots, started_at, heartbeat_at, lease, lost_after from o"
        "  where exists (select from theirs) on conflict (name) do nothing),"
        " attempts as ("
        "  update berth.attempts a set orchestrator = t.ghost from theirs t where a.id = t.id),"
        " jobs as ("
        "  update berth.jobs j set orchestrator = t.ghost from theirs t"
        "  where j.id = t.job_id and j.attempt = t.number and j.orchestrator = t.name),"
        " buried as ("
        "  delete from berth.orchestrators g where starts_with(g.name, $1 || '~')"
        "  and not exists (select from o where o.ghost = g.name)" /* it gets some by this very statement */
        "  and not exists (select from berth.attempts a where a.orchestrator = g.name"
        "    and a.finished_at is null)),"
        " mine as ("
        "  insert into berth.orchestrators as o (name, state_id, version, slots, lease, life, home)"
        "  select $1, $2::uuid, $3, $4::integer, $5::bigint * interval '1 millisecond', $6::uuid, $7"
        "  from (select count(*) from theirs) seen" /* before the row is changed: then o would not see it */
        "  on conflict (name) do update set state_id = excluded.state_id, version = excluded.version,"
        "    slots = excluded.slots, lease = excluded.lease, life = excluded.life, home = excluded.home,"
        "    used = 0, started_at = now(), heartbeat_at = now(), detached_until = null"
        "  where case when o.state_id = excluded.state_id"
        "    then o.home is null or o.home = excluded.home or o.detached_until is not null or " IS_OVER_
        "    else " IS_FREE_ " end"
        "  returning 1)"
        " select exists (select from mine), extract(epoch from now() - h.heartbeat_at)::bigint,"
        "   (extract(epoch from h.heartbeat_at) * 1000000)::bigint,"
        "   (extract(epoch from h.heartbeat_at + h.lease - now()) * 1000)::bigint,"
        "   coalesce(h.state_id = $2::uuid, false)"
        " from (select) one left join berth.orchestrators h on h.name = $1");
    claim_add_text(c, self->name);
    claim_add_text(c, self->state_id);
    claim_add_text(c, BERTH_VERSION);
    claim_add_int(c, slots);
    claim_add_int(c, lease_ms);
    claim_add_text(c, self->life);
    claim_add_text(c, self->home);
}

bool claim_registered(const PGresult *r, struct claim_holder *ret_holder) {
    *ret_holder = (struct claim_holder){
        .age_s = db_get_int_or(r, 0, 1, 0),
        .heartbeat_us = db_get_int_or(r, 0, 2, 0),
        .left_ms = db_get_int_or(r, 0, 3, 0),
        .copy = db_get_bool(r, 0, 4),
    };
    return db_get_bool(r, 0, 0);
}

/* Of what was taken for lost, the attempts that nobody has ended meanwhile are ours again. */
void claim_heartbeat(struct claim *c, const struct claim_self *self, const struct claim_beat *beat) {
    claim_begin(
        c,
        "with me as ("
        "  update berth.orchestrators set heartbeat_at = now(), detached_until = null,"
        "    slots = $3::integer, used = $4::integer, memory_bytes = $5::bigint, memory_used = $6::bigint,"
        "    cpus_milli = nullif($7::bigint, 0), cpus_used = $8::bigint,"
        "    lost_after = $9::bigint * interval '1 millisecond'"
        "  where name = $1 and life = $2::uuid returning name, draining),"
        " back as ("
        "  update berth.jobs j set status = case when j.cancel > 0 then 'canceling'"
        "      when a.started_at is null then 'preparing' else 'running' end,"
        "    reason = case when j.cancel > 0 then coalesce(j.cancel_reason, 'requested') end,"
        "    message = case when j.cancel > 0 then 'asked to be canceled; its container is being stopped' end"
        "  from me, berth.attempts a where j.orchestrator = me.name and j.status = 'lost'"
        "    and a.job_id = j.id and a.number = j.attempt and a.finished_at is null returning 1)"
        " select draining, (select count(*) from back) from me");
    claim_add_text(c, self->name);
    claim_add_text(c, self->life);
    claim_add_int(c, beat->slots);
    claim_add_int(c, beat->used);
    claim_add_int(c, beat->memory_bytes);
    claim_add_int(c, beat->memory_used);
    claim_add_int(c, beat->cpus_milli);
    claim_add_int(c, beat->cpus_used);
    claim_add_int(c, beat->lost_after_ms);
}

bool claim_draining(const PGresult *r) {
    return PQntuples(r) > 0 && db_get_bool(r, 0, 0);
}

int64_t claim_come_back(const PGresult *r) {
    return PQntuples(r) > 0 ? db_get_int(r, 0, 1) : 0;
}

void claim_leave(struct claim *c, const struct claim_self *self, int64_t detach_ms) {
    claim_begin(
        c, "update berth.orchestrators set"
           " heartbeat_at = case when $3::bigint > 0 then now() else now() - lease end,"
           " detached_until = case when $3::bigint > 0 then now() + $3::bigint * interval '1 millisecond'"
           "   else now() - lease end"
           " where name = $1 and life = $2::uuid");
    claim_add_text(c, self->name);
    claim_add_text(c, self->life);
    claim_add_int(c, detach_ms);
}
