#include "orchestrator/db/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* The columns of a job, in the order of the enum; `j` is the job, `a` its newest attempt. */
#define US(column) "(extract(epoch from " column ") * 1000000)::bigint"
#define JOB_COLUMNS_TABLE(X)                                                                                 \
    X(ID, "j.id")                                                                                            \
    X(NAME, "j.name")                                                                                        \
    X(TENANT, "j.tenant")                                                                                    \
    X(STATUS, "j.status")                                                                                    \
    X(REASON, "j.reason")                                                                                    \
    X(MESSAGE, "j.message")                                                                                  \
    X(ORCHESTRATOR, "j.orchestrator")                                                                        \
    X(IMAGE_DIGEST, "a.image_digest")                                                                        \
    X(SHA256, "encode(a.log_sha256, 'hex')")                                                                 \
    X(USAGE, "a.usage")                                                                                      \
    X(LABELS, "j.labels")                                                                                    \
    X(RETRY_OF, "j.retry_of")                                                                                \
    X(EXIT_CODE, "j.exit_code")                                                                              \
    X(SIGNAL, "j.signal")                                                                                    \
    X(ATTEMPT, "j.attempt")                                                                                  \
    X(CREATED, US("j.created_at"))                                                                           \
    X(STARTED, US("j.started_at"))                                                                           \
    X(FINISHED, US("j.finished_at"))                                                                         \
    X(DEADLINE, US("a.deadline_at"))                                                                         \
    X(CLAIMED, US("a.claimed_at"))                                                                           \
    X(PULLED, US("a.pulled_at"))                                                                             \
    X(CONTAINER, US("a.container_at"))                                                                       \
    X(ATTEMPT_STARTED, US("a.started_at"))                                                                   \
    X(EXITED, US("a.exited_at"))                                                                             \
    X(CLEANED, US("a.cleaned_at"))                                                                           \
    X(LOG_BYTES, "coalesce(a.log_bytes, 0)")                                                                 \
    X(STORED_BYTES, "coalesce(a.stored_bytes, 0)")                                                           \
    X(LOG_LIMIT, "a.log_limit")                                                                              \
    X(LOG_COMPLETE, "coalesce(a.log_complete, a.id is null and j.finished_at is not null)")

enum job_column {
#define X(symbol, sql) JOB_##symbol,
    JOB_COLUMNS_TABLE(X)
#undef X
        JOB_SPEC,
    JOB_HASH, /* of api_job_by_key alone */
};
#define X(symbol, sql) sql ", "
static const char insert_sql[] =
    "with j as (insert into berth.jobs (id, tenant, name, status, priority, run_at, queue_deadline_at, "
    "cpus_milli,"
    "  memory_bytes, spec, labels, idempotency_key, idempotency_hash)"
    " select $1::uuid, $2, $3, case when at > now() then 'scheduled' else 'queued' end, $4::integer,"
    "  case when $5::bigint > 0 then at end,"
    "  case when $6::bigint > 0 then greatest(at, clock_timestamp()) + $6::bigint * interval '1 millisecond' "
    "end,"
    "  $7::bigint, $8::bigint, $9, $10::jsonb, $11, $12::bytea"
    " from (select 'epoch'::timestamptz + $5::bigint * interval '1 microsecond' as at) t"
    " on conflict (tenant, idempotency_key) do nothing returning *)"
    " select " JOB_COLUMNS_TABLE(X) "j.spec from j left join berth.attempts a on false";
static const char by_key_sql[] = "select " JOB_COLUMNS_TABLE(
    X) "case when octet_length(j.spec) <= $3::integer then j.spec end, j.idempotency_hash"
       " from berth.jobs j left join berth.attempts a on a.job_id = j.id and a.number = j.attempt"
       " where j.tenant = $1 and j.idempotency_key = $2";
static const char get_sql[] = "select " JOB_COLUMNS_TABLE(
    X) "case when octet_length(j.spec) <= $3::integer then j.spec end"
       " from berth.jobs j left join berth.attempts a on a.job_id = j.id and a.number = j.attempt"
       " where j.tenant = $1 and j.id = $2::uuid";
static const char list_sql[] = "select " JOB_COLUMNS_TABLE(
    X) "case when octet_length(j.spec) <= $8::integer then j.spec end"
       " from berth.jobs j left join berth.attempts a on a.job_id = j.id and a.number = j.attempt"
       " where j.tenant = $1"
       "  and ($2::text is null or j.status = any (string_to_array($2::text, ',')))"
       "  and ($3::jsonb is null or j.labels @> $3::jsonb)"
       "  and ($4::text is null or j.name = $4::text)"
       "  and ($6::uuid is null or (j.created_at, j.id) <"
       "       ('epoch'::timestamptz + $5::bigint * interval '1 microsecond', $6::uuid))"
       " order by j.created_at desc, j.id desc limit $7::integer";
/* The status is judged on the row as it is when its lock is held, so a claim that came first is seen. */
static const char cancel_sql[] =
    "with j as (update berth.jobs set"
    "  finished_at = case when status in ('queued', 'scheduled', 'retrying') then clock_timestamp() end,"
    "  message = case when status in ('queued', 'scheduled', 'retrying') then 'canceled while it waited to "
    "be run'"
    "            else 'asked to be canceled; its container is being stopped' end,"
    "  status = case when status in ('queued', 'scheduled', 'retrying') then 'canceled' else 'canceling' end,"
    "  reason = coalesce(cancel_reason, 'requested'), cancel_reason = coalesce(cancel_reason, 'requested'),"
    "  cancel = greatest(cancel, $3::smallint)"
    " where tenant = $1 and id = $2::uuid and status = any (array(select name from berth.statuses where not "
    "terminal))"
    " returning *)"
    " select " JOB_COLUMNS_TABLE(
        X) "case when octet_length(j.spec) <= $4::integer then j.spec end"
           " from j left join berth.attempts a on a.job_id = j.id and a.number = j.attempt";
#undef X

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
    return DB_ASYNC(pool, insert_sql, done, arg, err, DB_TEXT(job->id), DB_TEXT(job->tenant),
                    DB_TEXT(job->name), DB_INT(job->priority), DB_INT(job->run_at_us), DB_INT(job->queue_ms),
                    DB_INT(job->cpus_milli), DB_INT(job->memory_bytes), DB_TEXT(job->spec),
                    DB_TEXT(job->labels), DB_TEXT(job->idempotency_key), hash);
}

int64_t api_job_by_key(struct db_pool *pool, const char *tenant, const char *key, db_done *done, void *arg,
                       struct err *err) {
    return DB_ASYNC(pool, by_key_sql, done, arg, err, DB_TEXT(tenant), DB_TEXT(key),
                    DB_INT(API_SPEC_MAX_BYTES));
}

int64_t api_get_job(struct db_pool *pool, const char *tenant, const char *id, db_done *done, void *arg,
                    struct err *err) {
    return DB_ASYNC(pool, get_sql, done, arg, err, DB_TEXT(tenant), DB_TEXT(id), DB_INT(API_SPEC_MAX_BYTES));
}

int64_t api_list_jobs(struct db_pool *pool, const struct api_list *list, db_done *done, void *arg,
                      struct err *err) {
    return DB_ASYNC(pool, list_sql, done, arg, err, DB_TEXT(list->tenant), DB_TEXT(list->statuses),
                    DB_TEXT(list->labels), DB_TEXT(list->name), DB_INT(list->before_us),
                    DB_TEXT(list->before_id), DB_INT(list->limit), DB_INT(API_LIST_SPEC_MAX_BYTES));
}

int64_t api_cancel_job(struct db_pool *pool, const char *tenant, const char *id, bool force, db_done *done,
                       void *arg, struct err *err) {
    return DB_ASYNC(pool, cancel_sql, done, arg, err, DB_TEXT(tenant), DB_TEXT(id), DB_INT(force ? 2 : 1),
                    DB_INT(API_SPEC_MAX_BYTES));
}

int64_t api_delete_job(struct db_pool *pool, const char *tenant, const char *id, db_done *done, void *arg,
                       struct err *err) {
    return DB_ASYNC(pool, delete_sql, done, arg, err, DB_TEXT(tenant), DB_TEXT(id));
}

int64_t api_hint_work(struct db_pool *pool, const char *payload, db_done *done, void *arg, struct err *err) {
    return DB_ASYNC(pool, "select pg_notify('berth_work', $1)", done, arg, err, DB_TEXT(payload));
}

void api_read_job(const PGresult *r, int row, struct api_job *ret) {
    *ret = (struct api_job){
        .id = db_get_text_or_null(r, row, JOB_ID),
        .name = db_get_text_or_null(r, row, JOB_NAME),
        .tenant = db_get_text_or_null(r, row, JOB_TENANT),
        .status = db_get_text_or_null(r, row, JOB_STATUS),
        .reason = db_get_text_or_null(r, row, JOB_REASON),
        .message = db_get_text_or_null(r, row, JOB_MESSAGE),
        .orchestrator = db_get_text_or_null(r, row, JOB_ORCHESTRATOR),
        .image_digest = db_get_text_or_null(r, row, JOB_IMAGE_DIGEST),
        .sha256 = db_get_text_or_null(r, row, JOB_SHA256),
        .usage = db_get_text_or_null(r, row, JOB_USAGE),
        .spec = db_get_text_or_null(r, row, JOB_SPEC),
        .labels = db_get_text_or_null(r, row, JOB_LABELS),
        .retry_of = db_get_text_or_null(r, row, JOB_RETRY_OF),
        .exit_code = db_get_int_or(r, row, JOB_EXIT_CODE, API_NONE),
        .signal = db_get_int_or(r, row, JOB_SIGNAL, API_NONE),
        .attempt = db_get_int(r, row, JOB_ATTEMPT),
        .created_us = db_get_int_or(r, row, JOB_CREATED, API_NONE),
        .started_us = db_get_int_or(r, row, JOB_STARTED, API_NONE),
        .finished_us = db_get_int_or(r, row, JOB_FINISHED, API_NONE),
        .deadline_us = db_get_int_or(r, row, JOB_DEADLINE, API_NONE),
        .claimed_us = db_get_int_or(r, row, JOB_CLAIMED, API_NONE),
        .pulled_us = db_get_int_or(r, row, JOB_PULLED, API_NONE),
        .container_us = db_get_int_or(r, row, JOB_CONTAINER, API_NONE),
        .attempt_started_us = db_get_int_or(r, row, JOB_ATTEMPT_STARTED, API_NONE),
        .exited_us = db_get_int_or(r, row, JOB_EXITED, API_NONE),
        .cleaned_us = db_get_int_or(r, row, JOB_CLEANED, API_NONE),
        .log_bytes = db_get_int(r, row, JOB_LOG_BYTES),
        .stored_bytes = db_get_int(r, row, JOB_STORED_BYTES),
        .log_limit = db_get_int_or(r, row, JOB_LOG_LIMIT, API_NONE),
        .log_complete = db_get_bool(r, row, JOB_LOG_COMPLETE),
    };
}

int api_read_hash(const PGresult *result, int row, unsigned char **ret, size_t *ret_len, struct err *err) {
    return db_get_bytes(result, row, JOB_HASH, ret, ret_len, err);
}

int64_t api_health(struct db_pool *pool, db_done *done, void *arg, struct err *err) {
    return DB_ASYNC(pool,
                    "select (select coalesce(max(version), 0) from berth.schema_migrations), count(*),"
                    " (extract(epoch from now() - max(heartbeat_at)) * 1000)::bigint,"
                    " coalesce(bool_or(heartbeat_at + lease > now()), false) from berth.orchestrators",
                    done, arg, err);
}

void api_read_health(const PGresult *result, struct api_health *ret) {
    *ret = (struct api_health){
        .schema_version = db_get_int(result, 0, 0),
        .orchestrators = db_get_int(result, 0, 1),
        .heartbeat_age_ms = db_get_int_or(result, 0, 2, API_NONE),
        .orchestrator_alive = db_get_bool(result, 0, 3),
    };
}
