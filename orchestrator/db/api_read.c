/* Jobs shown: one, by its key, in lists; and what /readyz asks. */
#include "orchestrator/db/api_private.h"

enum { JOB_HASH = JOB_COLUMNS_END }; /* of api_job_by_key alone */

static const char by_key_sql[] =
    "select " JOB_COLUMNS JOB_SPEC_UP_TO("$3") ", j.idempotency_hash" JOB_WITH_ATTEMPT
                                               " where j.tenant = $1 and j.idempotency_key = $2";
static const char get_sql[] =
    "select " JOB_COLUMNS JOB_SPEC_UP_TO("$3") JOB_WITH_ATTEMPT " where j.tenant = $1 and j.id = $2::uuid";
static const char list_sql[] = "select " JOB_COLUMNS JOB_SPEC_UP_TO("$8") JOB_WITH_ATTEMPT
    " where j.tenant = $1"
    "  and ($2::text is null or j.status = any (string_to_array($2::text, ',')))"
    "  and ($3::jsonb is null or j.labels @> $3::jsonb)"
    "  and ($4::text is null or j.name = $4::text)"
    "  and ($6::uuid is null or (j.created_at, j.id) <"
    "       ('epoch'::timestamptz + $5::bigint * interval '1 microsecond', $6::uuid))"
    " order by j.created_at desc, j.id desc limit $7::integer";

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
        .earlier = db_get_text_or_null(r, row, JOB_EARLIER),
        .exit_code = db_get_int_or(r, row, JOB_EXIT_CODE, API_NONE),
        .signal = db_get_int_or(r, row, JOB_SIGNAL, API_NONE),
        .attempt = db_get_int(r, row, JOB_ATTEMPT),
        .attempt_status = db_get_text_or_null(r, row, JOB_ATTEMPT_STATUS),
        .attempt_message = db_get_text_or_null(r, row, JOB_ATTEMPT_MESSAGE),
        .created_us = db_get_int_or(r, row, JOB_CREATED, API_NONE),
        .started_us = db_get_int_or(r, row, JOB_STARTED, API_NONE),
        .finished_us = db_get_int_or(r, row, JOB_FINISHED, API_NONE),
        .run_at_us = db_get_int_or(r, row, JOB_RUN_AT, API_NONE),
        .retry_at_us = db_get_int_or(r, row, JOB_RETRY_AT, API_NONE),
        .deadline_us = db_get_int_or(r, row, JOB_DEADLINE, API_NONE),
        .claimed_us = db_get_int_or(r, row, JOB_CLAIMED, API_NONE),
        .pulled_us = db_get_int_or(r, row, JOB_PULLED, API_NONE),
        .container_us = db_get_int_or(r, row, JOB_CONTAINER, API_NONE),
        .attempt_started_us = db_get_int_or(r, row, JOB_ATTEMPT_STARTED, API_NONE),
        .exited_us = db_get_int_or(r, row, JOB_EXITED, API_NONE),
        .cleaned_us = db_get_int_or(r, row, JOB_CLEANED, API_NONE),
        .run_extra_ms = db_get_int(r, row, JOB_RUN_EXTRA),
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
