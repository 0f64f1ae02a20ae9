/* What time and people do to jobs. */
#include "orchestrator/db/claim_private.h"

/* One that is to supersede others when it is queued needs its key's lock, for which nobody may wait with the
 * row locked (an insertion under that lock may want the row): who has it now is met again by the next sweep.
 */
void claim_sweep(struct claim *c) {
    claim_begin(
        c, "with due as ("
           "  select id from berth.jobs where status = 'scheduled' and run_at <= now()"
           "    and case when status = 'scheduled' and run_at <= now() and on_conflict = 'cancel_running'"
           "        and concurrency_key is not null"
           "      then pg_try_advisory_xact_lock(berth.key_lock(tenant, concurrency_key)) else true end"
           "  limit $1::bigint for update skip locked),"
           " late as ("
           "  select id from berth.jobs where status in ('queued', 'retrying') and queue_deadline_at <= now()"
           "  limit $1::bigint for update skip locked),"
           " queued as ("
           "  update berth.jobs j set status = 'queued', reason = null, message = null"
           "  from due where j.id = due.id returning 1),"
           " ended as ("
           "  update berth.jobs j set status = 'timed_out', reason = 'queue_deadline',"
           "    message = '" CLAIM_LATE_MESSAGE "', finished_at = now()"
           "  from late where j.id = late.id returning j.id)"
           " select (select count(*) from queued), (select count(*) from ended),"
           "  (select ceil(extract(epoch from least("
           "     (select min(retry_at) from berth.jobs where status = 'retrying' and retry_at > now()),"
           "     (select min(run_at) from berth.jobs where status = 'scheduled' and run_at > now()))"
           "     - now()) * 1000)::bigint),"
           "  (" CLAIM_TELL_("ended") ")");
    claim_add_int(c, CLAIM_SWEEP_MAX);
}

struct claim_swept claim_swept(const PGresult *r) {
    return (struct claim_swept){
        .queued = db_get_int(r, 0, 0),
        .ended = db_get_int(r, 0, 1),
        .next_ms = db_get_int_or(r, 0, 2, -1),
    };
}

void claim_orders(struct claim *c, const char *name) {
    claim_begin(c, "select j.id, j.attempt, j.cancel, coalesce(j.cancel_reason, ''), a.run_extra_ms,"
                   "   coalesce((extract(epoch from now() - a.deadline_at) * 1000)::bigint - a.grace_ms, 0)"
                   " from berth.jobs j join berth.attempts a on a.job_id = j.id and a.number = j.attempt"
                   " where j.orchestrator = $1 and j.status in " CLAIM_ACTIVE_ " and a.finished_at is null"
                   "   and (j.cancel > 0 or a.run_extra_ms > 0 or (a.exited_at is null"
                   "     and a.deadline_at + (a.grace_ms + $3::bigint) * interval '1 millisecond' < now()))"
                   " limit $2::bigint");
    claim_add_text(c, name);
    claim_add_int(c, CLAIM_OWNED_MAX);
    claim_add_int(c, CLAIM_OVERDUE_MS);
}

struct claim_order claim_order_row(const PGresult *r, int row) {
    int64_t late_ms = db_get_int(r, row, 5);
    return (struct claim_order){
        .job = db_get_text(r, row, 0),
        .number = db_get_int(r, row, 1),
        .cancel = db_get_int(r, row, 2) > 0,
        .force = db_get_int(r, row, 2) > 1,
        .reason = db_get_text(r, row, 3),
        .run_extra_ms = db_get_int(r, row, 4),
        .overdue_ms = late_ms >= CLAIM_OVERDUE_MS ? late_ms : 0,
    };
}

/* A lost one stays lost, see cancel_sql in api_change.c. */
void claim_shut_down(struct claim *c, const struct claim_self *self) {
    claim_begin(c,
                "with j as (update berth.jobs j set cancel = 1, cancel_reason = 'shutdown',"
                "   status = case j.status when 'lost' then 'lost' else 'canceling' end,"
                "   reason = case j.status when 'lost' then j.reason else 'shutdown' end,"
                "   message = case j.status when 'lost' then j.message else 'The job is being stopped.' end"
                " from berth.orchestrators o where o.name = $1 and o.life = $2::uuid"
                "   and j.orchestrator = o.name and j.status in " CLAIM_ACTIVE_ " and j.cancel = 0"
                " returning j.id)"
                " " CLAIM_TELL_("j"));
    claim_add_text(c, self->name);
    claim_add_text(c, self->life);
}

/* Against a judge whoever locks the attempt first is right: it is licensed and can only be lost, or it has
 * ended and cannot be licensed. */
void claim_license(struct claim *c, const struct claim_self *self, const char *wanted) {
    claim_begin(c, "update berth.attempts a set licensed_at = coalesce(a.licensed_at, now())"
                   " from berth.orchestrators o,"
                   "   jsonb_to_recordset($3::jsonb) as w(job uuid, number integer)"
                   " where o.name = $1 and o.life = $2::uuid and a.orchestrator = o.name"
                   "   and a.job_id = w.job and a.number = w.number and a.finished_at is null"
                   " returning a.job_id, a.number, a.id");
    claim_add_text(c, self->name);
    claim_add_text(c, self->life);
    claim_add_text(c, wanted);
}
