/* Orchestrators that are heard of no more, judged by those that are. */
#include "orchestrator/db/claim_private.h"
#include "orchestrator/db/ship.h"

#define UNHEARD_                                                                                             \
    "format('orchestrator %s has not been heard of since %s', t.name,"                                       \
    " to_char(t.heartbeat_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'))"

/* From when on the job has waited for the attempt that is being taken from it: that one has not ended yet. */
#define WAITED_FROM_                                                                                         \
    "greatest(j.created_at, j.run_at,"                                                                       \
    " (select max(p.finished_at) from berth.attempts p where p.job_id = j.id))"

/* Locks in the order of everybody else: orchestrator, attempt, job. The orchestrator's row is locked so that
 * its own heartbeat comes before or after, and so that one judges at a time. */
void claim_judge(struct claim *c, const char *name, int64_t connected_ms) {
    claim_begin(
        c,
        "with dead as materialized ("
        "  select name, heartbeat_at from berth.orchestrators"
        "  where name <> $1 and heartbeat_at + lease < now() and coalesce(detached_until, '-infinity') < "
        "now()"
        "    and lease <= $2::bigint * interval '1 millisecond' for update skip locked),"
        " theirs as materialized ("
        "  select j.id, j.status, a.number, a.id as attempt_id,"
        "    coalesce(a.licensed_at, a.started_at) as licensed_at, t.name, t.heartbeat_at"
        "  from dead t join berth.jobs j on j.orchestrator = t.name"
        "    and j.status in ('preparing', 'running', 'canceling')"
        "  join berth.attempts a on a.job_id = j.id and a.number = j.attempt and a.finished_at is null"
        "  limit $3::bigint for update of a skip locked),"
        " ended as ("
        "  update berth.attempts a set status = 'errored', reason = 'orchestrator_lost', finished_at = now(),"
        "    log_complete = false, freed = true, message = " UNHEARD_
        " || ' and had not started this attempt'"
        "  from theirs t where a.id = t.attempt_id and t.status = 'preparing' and t.licensed_at is null"
        "  returning a.job_id, a.number),"
        " freed as ("
        "  update berth.jobs j set orchestrator = null,"
        "    status = case when j.cancel > 0 then 'canceled' else 'queued' end,"
        "    reason = case when j.cancel > 0 then coalesce(j.cancel_reason, 'requested') end,"
        "    message = case when j.cancel > 0 then 'canceled before it had started' end,"
        "    finished_at = case when j.cancel > 0 then now() end,"
        "    queue_deadline_at = case when j.cancel > 0 then j.queue_deadline_at"
        "      else now() + (j.queue_deadline_at - " WAITED_FROM_ ") end"
        "  from ended e where j.id = e.job_id and j.attempt = e.number"
        "    and j.status in ('preparing', 'canceling') returning j.id, j.finished_at is not null as done),"
        " lost as ("
        "  update berth.jobs j set status = 'lost', reason = 'orchestrator_lost', message = " UNHEARD_
        "    || '; the job may still run there, and ends as errored if it does not come back'"
        "  from theirs t where j.id = t.id and j.attempt = t.number and j.orchestrator = t.name"
        "    and j.status in ('preparing', 'running', 'canceling')"
        "    and t.attempt_id not in (select a.attempt_id from theirs a join ended e on e.job_id = a.id)"
        "  returning j.id)"
        " select (select count(*) from freed where not done), (select count(*) from lost),"
        "  (" CLAIM_TELL_("(select id from lost union all select id from freed) t") ")");
    claim_add_text(c, name);
    claim_add_int(c, connected_ms);
    claim_add_int(c, CLAIM_SWEEP_MAX);
}

struct claim_judged claim_judged(const PGresult *r) {
    return (struct claim_judged){.freed = db_get_int(r, 0, 0), .lost = db_get_int(r, 0, 1)};
}

/* When it became lost is what its last event says; for how long it may be is what its own orchestrator has
 * said. */
void claim_given_up(struct claim *c, const char *name, int64_t lost_after_ms) {
    claim_begin(
        c, "select j.id, a.number, a.id, a.token, j.orchestrator,"
           "   case when octet_length(j.spec) <= 1048576 then j.spec end,"
           "   (select count(*) from berth.attempts f where f.job_id = j.id and f.freed)"
           " from berth.jobs j join berth.attempts a on a.job_id = j.id and a.number = j.attempt"
           " where j.status = 'lost' and j.orchestrator <> $1 and a.finished_at is null"
           "   and (select max(at) from berth.events e where e.job_id = j.id and e.status = 'lost')"
           "     + coalesce((select lost_after from berth.orchestrators o where o.name = j.orchestrator),"
           "       $2::bigint * interval '1 millisecond') < now()"
           " limit $3::bigint");
    claim_add_text(c, name);
    claim_add_int(c, lost_after_ms);
    claim_add_int(c, CLAIM_BATCH_MAX);
}

struct claim_lost claim_lost_row(const PGresult *r, int row) {
    return (struct claim_lost){
        .job = {.job = db_get_text(r, row, 0),
                .number = db_get_int(r, row, 1),
                .attempt_id = db_get_int(r, row, 2),
                .token = db_get_int(r, row, 3),
                .spec = db_get_text_or_null(r, row, 5)},
        .orchestrator = db_get_text(r, row, 4),
        .freed = db_get_int(r, row, 6),
    };
}

/* Attempt and job are locked before either is changed, so that an owner who comes back has both or none. */
void claim_end_lost(struct claim *c, const struct claim_job *job, const char *message, int64_t retry_ms,
                    int64_t queue_ms) {
    claim_begin(
        c, "with a as materialized ("
           "  select id, job_id, number from berth.attempts"
           "  where id = $2::bigint and token = $3::bigint and finished_at is null for update),"
           " l as materialized ("
           "  select j.id, a.id as attempt_id, $5::bigint >= 0 and j.cancel = 0 as again,"
           "    now() + $5::bigint * interval '1 millisecond' as at"
           "  from a join berth.jobs j on j.id = a.job_id and j.attempt = a.number"
           "  where j.id = $1::uuid and j.status = 'lost' for update of j),"
           " ended as ("
           "  update berth.attempts a set status = 'errored', reason = 'orchestrator_lost', message = $4,"
           "    finished_at = now(), log_complete = false from l where a.id = l.attempt_id)"
           " update berth.jobs j set reason = 'orchestrator_lost', message = $4,"
           "   status = case when l.again then 'retrying' else 'errored' end,"
           "   finished_at = case when not l.again then now() end,"
           "   retry_at = case when l.again then l.at end,"
           "   orchestrator = case when l.again then null else j.orchestrator end,"
           "   queue_deadline_at = case when not l.again then j.queue_deadline_at"
           "     when $6::bigint > 0 then l.at + $6::bigint * interval '1 millisecond' end"
           " from l where j.id = l.id"
           " returning pg_notify('" SHIP_CHANNEL "', j.id::text)");
    claim_add_text(c, job->job);
    claim_add_int(c, job->attempt_id);
    claim_add_int(c, job->token);
    claim_add_text(c, message);
    claim_add_int(c, retry_ms);
    claim_add_int(c, queue_ms);
}
