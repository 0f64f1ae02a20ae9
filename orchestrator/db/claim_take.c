#include "orchestrator/db/claim_private.h"
#include "proto/spec.h"

/* What claim_row() reads. A spec that is too long is not fetched, only its length. */
#define JOB_COLUMNS_                                                                                         \
    " m.job_id, m.number, m.id, m.token, (extract(epoch from m.claimed_at) * 1000000)::bigint, j.tenant,"    \
    " j.memory_bytes is null, octet_length(j.spec),"                                                         \
    " case when octet_length(j.spec) <= 1048576 then j.spec end"
_Static_assert(SPEC_BYTES_MAX == 1048576, "the bound in JOB_COLUMNS_");

/* Keys: the scan leaves out those that are taken as far as it sees, so that what waits for one does not fill
 * the batch; berth.key_room() then decides, and several of one key in the batch share what room there is by
 * their rank. What is left out here holds nobody back: the sums begin behind it.
 * The lock on our own row: a drain that has been answered is never followed by a claim that did not see it.
 * An empty queue is looked at without it, as it would be written to disk. */
void claim_take(struct claim *c, const struct claim_want *want) {
    claim_begin(
        c, "with me as materialized ("
           "  select from berth.orchestrators where name = $1 and life = $11::uuid and not draining"
           "    and heartbeat_at + lease > now()"
           "    and exists (select from berth.jobs where status in ('queued', 'retrying') and cancel = 0)"
           "  for share),"
           " candidates as materialized ("
           "  select id, attempt, priority, created_at, tenant, concurrency_key as key, concurrency_max,"
           "    coalesce(memory_bytes, $7::bigint) as memory,"
           "    case when memory_bytes is null then $8::bigint else cpus_milli end as cpus"
           "  from berth.jobs q"
           "  where status in ('queued', 'retrying') and cancel = 0"
           "    and exists (select from me)"
           "    and (queue_deadline_at is null or queue_deadline_at > now())"
           "    and (run_at is null or run_at <= now()) and (retry_at is null or retry_at <= now())"
           "    and coalesce(memory_bytes, $7::bigint) <= $4::bigint"
           "    and ($6::bigint = 0 or"
           "         case when memory_bytes is null then $8::bigint else cpus_milli end <= $6::bigint)"
           "    and (concurrency_key is null or concurrency_max > ("
           "         select count(*) from berth.jobs h where h.tenant = q.tenant"
           "         and h.concurrency_key = q.concurrency_key and h.status in " CLAIM_ACTIVE_ "))"
           "  order by priority desc, created_at, id limit $2::bigint for update skip locked),"
           " ranked as materialized ("
           "  select *, row_number() over (partition by tenant, key order by priority desc, created_at, id)"
           "    as key_rank from candidates),"
           " free as materialized ("
           "  select * from ranked where case when key is null then true"
           "    else key_rank <= berth.key_room(tenant, key, concurrency_max) end),"
           " summed as ("
           "  select *, sum(memory) over w as memory_sum, sum(cpus) over w as cpus_sum from free"
           "  window w as (order by priority desc, created_at, id rows unbounded preceding)),"
           " m as ("
           "  insert into berth.attempts (job_id, number, token, orchestrator, log_limit, grace_ms)"
           "  select id, attempt + 1, nextval('berth.tokens'), $1, $9::bigint, $10::bigint from summed"
           "  where memory_sum <= $3::bigint and ($6::bigint = 0 or cpus_sum <= $5::bigint)"
           "  returning job_id, number, id, token, claimed_at),"
           " moved as ("
           "  update berth.jobs j set status = 'preparing', orchestrator = $1, attempt = m.number,"
           "    reason = null, message = null, retry_at = null, exit_code = null, signal = null"
           "  from m where j.id = m.job_id"
           "  returning j.id, j.tenant, j.memory_bytes, j.spec, j.priority, j.created_at)"
           " select" JOB_COLUMNS_ ", false from m join moved j on j.id = m.job_id"
           " order by j.priority desc, j.created_at, j.id");
    claim_add_text(c, want->self.name);
    claim_add_int(c, want->limit);
    claim_add_int(c, want->memory_free);
    claim_add_int(c, want->memory_total);
    claim_add_int(c, want->cpus_free);
    claim_add_int(c, want->cpus_total);
    claim_add_int(c, want->default_memory);
    claim_add_int(c, want->default_cpus_milli);
    claim_add_int(c, want->default_log);
    claim_add_int(c, want->default_grace_ms);
    claim_add_text(c, want->self.life);
}

/* One that had been described and was to be given back when its orchestrator died must not start now. */
void claim_fetch(struct claim *c, const struct claim_self *self, const char *job, int64_t attempt_id) {
    claim_begin(
        c, "select" JOB_COLUMNS_ ", j.status = 'preparing' and m.licensed_at is null"
           "   and (coalesce(j.run_at > now(), false)"
           "     or berth.key_is_taken(j.id, j.tenant, j.concurrency_key, j.concurrency_max))"
           " from berth.attempts m join berth.jobs j on j.id = m.job_id"
           " where m.id = $3::bigint and j.id = $2::uuid and j.orchestrator = $1 and m.number = j.attempt"
           " and m.finished_at is null and j.status in ('preparing', 'running', 'canceling')"
           " and exists (select from berth.orchestrators o where o.name = $1 and o.life = $4::uuid)");
    claim_add_text(c, self->name);
    claim_add_text(c, job);
    claim_add_int(c, attempt_id);
    claim_add_text(c, self->life);
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
        .spec = db_get_text_or_null(r, row, 8),
        .not_now = db_get_bool(r, row, 9),
    };
}

void claim_owned(struct claim *c, const struct claim_self *self) {
    claim_begin(c, "select m.job_id, m.number, m.id from berth.orchestrators o left join ("
                   "  select m.* from berth.jobs j"
                   "  join berth.attempts m on m.job_id = j.id and m.number = j.attempt"
                   "  where j.orchestrator = $1 and j.status in " CLAIM_ACTIVE_
                   "  and m.orchestrator = $1 and m.finished_at is null) m on true"
                   " where o.name = $1 and o.life = $3::uuid limit $2::bigint");
    claim_add_text(c, self->name);
    claim_add_int(c, CLAIM_OWNED_MAX);
    claim_add_text(c, self->life);
}

struct claim_ours claim_owned_row(const PGresult *r, int row) {
    return (struct claim_ours){
        .job = db_get_text_or_null(r, row, 0),
        .number = db_get_int_or(r, row, 1, 0),
        .attempt_id = db_get_int_or(r, row, 2, 0),
    };
}
