/* Jobs put in, canceled, extended, removed. */
#include "orchestrator/db/api_private.h"

#include <string.h>

#include "base/mem.h"

static const char insert_sql[] =
    "with j as (insert into berth.jobs (id, tenant, name, status, priority, run_at, queue_deadline_at,"
    "  cpus_milli, memory_bytes, spec, labels, idempotency_key, idempotency_hash,"
    "  concurrency_key, concurrency_max, on_conflict, retry_of)"
    " select $1::uuid, $2, $3, case when at > now() then 'scheduled' else 'queued' end, $4::integer,"
    "  case when $5::bigint > 0 then at end,"
    "  case when $6::bigint > 0"
    "   then greatest(at, clock_timestamp()) + $6::bigint * interval '1 millisecond' end,"
    "  $7::bigint, $8::bigint, $9, $10::jsonb, $11, $12::bytea, $13, $14::integer, $15, $16::uuid"
    " from (select 'epoch'::timestamptz + $5::bigint * interval '1 microsecond' as at) t"
    " on conflict (tenant, idempotency_key) do nothing returning *)"
    " select " JOB_COLUMNS "j.spec from j left join berth.attempts a on false";

/* The status is judged on the row as it is when its lock is held, so a claim that came first is seen. A lost
 * one stays lost, or the time in which its orchestrator can come back would begin anew. */
#define WAITS_ "status in ('queued', 'scheduled', 'retrying')"
static const char cancel_sql[] =
    "with j as (update berth.jobs set"
    "  finished_at = case when " WAITS_ " then clock_timestamp() end,"
    "  message = case when status = 'retrying' then concat_ws(' ',"
    "              'The job was canceled before its next attempt.',"
    "              rtrim(split_part(message, '; the next one begins', 1), '.') || '.')"
    "            when " WAITS_ " then 'The job was canceled while it waited to be run.'"
    "            when status = 'lost' then 'Its orchestrator is not heard of: the job is stopped when that'"
    "             || ' comes back, and ends as errored if it does not.'"
    "            when $3::smallint > 1 or cancel > 1 then 'The job is being killed.'"
    "            else 'The job is being stopped.' end,"
    "  status = case when " WAITS_ " then 'canceled' when status = 'lost' then 'lost'"
    "            else 'canceling' end,"
    "  reason = case when status = 'lost' then reason else coalesce(cancel_reason, 'requested') end,"
    "  cancel_reason = coalesce(cancel_reason, 'requested'),"
    "  cancel = greatest(cancel, $3::smallint)"
    " where tenant = $1 and id = $2::uuid"
    "  and status = any (array(select name from berth.statuses where not terminal))"
    " returning *)"
    " select " JOB_COLUMNS JOB_SPEC_UP_TO(
        "$4") " from j left join berth.attempts a on a.job_id = j.id and a.number = j.attempt";
#undef WAITS_

/* The bound is judged on the attempt as it is when its lock is held: two at once cannot pass it together. */
static const char extend_sql[] =
    "with a as (update berth.attempts a set run_extra_ms = a.run_extra_ms + $3::bigint,"
    "  deadline_at = a.deadline_at + $3::bigint * interval '1 millisecond'"
    " from berth.jobs j where j.tenant = $1 and j.id = $2::uuid and j.status = 'running'"
    "  and a.job_id = j.id and a.number = j.attempt and a.exited_at is null and a.finished_at is null"
    "  and a.run_extra_ms + $3::bigint <= $4::bigint"
    " returning a.*)"
    " select " JOB_COLUMNS JOB_SPEC_UP_TO("$5") " from a join berth.jobs j on j.id = a.job_id";

/* All parts see the same snapshot, so the attempts are still there to tell which chunks go. */
static const char delete_sql[] =
    "with gone as (delete from berth.jobs where tenant = $1 and id = $2::uuid"
    "  and status = any (array(select name from berth.statuses where terminal)) returning id),"
    " log as (delete from berth.log_chunks where attempt_id in"
    "  (select a.id from berth.attempts a join gone on gone.id = a.job_id)),"
    " past as (delete from berth.events where job_id in (select id from gone))"
    " select id from gone";

int64_t api_insert_job(struct db_pool *pool, const struct api_new_job *job, db_done *done, void *arg,
                       struct err *err) {
    struct db_param hash =
        job->idempotency_key ? DB_BYTES(job->idempotency_hash, job->idempotency_hash_len) : DB_NULL;
    struct db_param concurrency_max = job->concurrency_key ? DB_INT(job->concurrency_max) : DB_NULL;
    return DB_ASYNC(pool, insert_sql, done, arg, err, DB_TEXT(job->id), DB_TEXT(job->tenant),
                    DB_TEXT(job->name), DB_INT(job->priority), DB_INT(job->run_at_us), DB_INT(job->queue_ms),
                    DB_INT(job->cpus_milli), DB_INT(job->memory_bytes), DB_TEXT(job->spec),
                    DB_TEXT(job->labels), DB_TEXT(job->idempotency_key), hash, DB_TEXT(job->concurrency_key),
                    concurrency_max, DB_TEXT(job->on_conflict), DB_TEXT(job->retry_of));
}

/* migrations/0002_jobs.sql, berth.enter_key(): "job <id> has not finished …". */
char *api_key_is_taken(const struct err *err) {
    if (err->kind != ERR_DB || err->code != db_sqlstate("BE002"))
        return NULL;
    const char *begin = strstr(err->text, "job ");
    const char *end = strstr(err->text, " (SQLSTATE");
    return begin && end && begin < end ? mem_strndup(begin, (size_t)(end - begin))
                                       : mem_strdup("another job holds the concurrency key");
}

int64_t api_cancel_job(struct db_pool *pool, const char *tenant, const char *id, bool force, db_done *done,
                       void *arg, struct err *err) {
    return DB_ASYNC(pool, cancel_sql, done, arg, err, DB_TEXT(tenant), DB_TEXT(id), DB_INT(force ? 2 : 1),
                    DB_INT(API_SPEC_MAX_BYTES));
}

int64_t api_extend_job(struct db_pool *pool, const char *tenant, const char *id, int64_t more_ms,
                       int64_t most_extra_ms, db_done *done, void *arg, struct err *err) {
    return DB_ASYNC(pool, extend_sql, done, arg, err, DB_TEXT(tenant), DB_TEXT(id), DB_INT(more_ms),
                    DB_INT(most_extra_ms), DB_INT(API_SPEC_MAX_BYTES));
}

int64_t api_delete_job(struct db_pool *pool, const char *tenant, const char *id, db_done *done, void *arg,
                       struct err *err) {
    return DB_ASYNC(pool, delete_sql, done, arg, err, DB_TEXT(tenant), DB_TEXT(id));
}

int64_t api_hint_work(struct db_pool *pool, const char *payload, db_done *done, void *arg, struct err *err) {
    return DB_ASYNC(pool, "select pg_notify('berth_work', $1)", done, arg, err, DB_TEXT(payload));
}
