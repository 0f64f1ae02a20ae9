/* api_private - what the statements about jobs share; for the sources api*.c only. */
#ifndef BERTH_DB_API_PRIVATE_H
#define BERTH_DB_API_PRIVATE_H

#include "orchestrator/db/api.h"
#include "proto/status.h"

/* Microseconds since 1970. */
#define API_US(column) "(extract(epoch from " column ") * 1000000)::bigint"

/* RFC 3339. */
#define API_TIME(column) "to_char(" column " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

/* The reason of the job `j` where its status says it all, else null. */
#define API_PLAIN_REASON_(status, word) " when '" status "' then '" word "'"
#define API_PLAIN_REASON "case j.status" PLAIN_REASON_TABLE(API_PLAIN_REASON_) " end"

/* Of the log of attempt `a`; where the job `j` has ended without one, that of nothing. */
#define API_SHA256                                                                                           \
    "case when a.id is null and j.finished_at is not null"                                                   \
    " then 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'"                               \
    " else encode(a.log_sha256, 'hex') end"

#define API_EARLIER_MAX "16"
#define API_EARLIER_TIMES                                                                                    \
    " 'started_at', " API_TIME("e.started_at") ", 'finished_at', " API_TIME("e.finished_at")
/* JSON text: how the attempts before the newest ended, oldest first, the last API_EARLIER_MAX; null: there is
 * none. */
#define API_EARLIER                                                                                          \
    "case when j.attempt > 1 then (select json_agg(json_build_object('attempt', e.number,"                   \
    " 'status', e.status, 'reason', e.reason, 'message', e.message, 'exit_code', e.exit_code,"               \
    " 'signal', e.signal, 'orchestrator', e.orchestrator," API_EARLIER_TIMES ", 'usage', e.usage,"           \
    " 'log', json_build_object('bytes', e.log_bytes, 'stored_bytes', e.stored_bytes,"                        \
    "   'complete', coalesce(e.log_complete, false), 'truncated', e.log_bytes > e.log_limit,"                \
    "   'sha256', encode(e.log_sha256, 'hex'))) order by e.number)"                                          \
    " from berth.attempts e where e.job_id = j.id and e.number < j.attempt"                                  \
    "   and e.number >= j.attempt - " API_EARLIER_MAX ") end"

/* The columns of a job, in the order of the enum; `j` is the job, `a` its newest attempt. */
#define JOB_COLUMNS_TABLE(X)                                                                                 \
    X(ID, "j.id")                                                                                            \
    X(NAME, "j.name")                                                                                        \
    X(TENANT, "j.tenant")                                                                                    \
    X(STATUS, "j.status")                                                                                    \
    X(REASON, "coalesce(j.reason, case j.status when 'retrying' then a.reason"                               \
              " when 'canceling' then j.cancel_reason end, " API_PLAIN_REASON ")")                           \
    X(MESSAGE, "j.message")                                                                                  \
    X(ORCHESTRATOR, "j.orchestrator")                                                                        \
    X(IMAGE_DIGEST, "a.image_digest")                                                                        \
    X(SHA256, API_SHA256)                                                                                    \
    X(USAGE, "a.usage")                                                                                      \
    X(LABELS, "j.labels")                                                                                    \
    X(RETRY_OF, "j.retry_of")                                                                                \
    X(EXIT_CODE, "j.exit_code")                                                                              \
    X(SIGNAL, "j.signal")                                                                                    \
    X(ATTEMPT, "j.attempt")                                                                                  \
    X(CREATED, API_US("j.created_at"))                                                                       \
    X(STARTED, API_US("j.started_at"))                                                                       \
    X(FINISHED, API_US("j.finished_at"))                                                                     \
    X(RUN_AT, API_US("j.run_at"))                                                                            \
    X(RETRY_AT, API_US("j.retry_at"))                                                                        \
    X(DEADLINE, "case when j.status <> 'retrying' then " API_US("a.deadline_at") " end")                     \
    X(CLAIMED, API_US("a.claimed_at"))                                                                       \
    X(PULLED, API_US("a.pulled_at"))                                                                         \
    X(CONTAINER, API_US("a.container_at"))                                                                   \
    X(ATTEMPT_STARTED, API_US("a.started_at"))                                                               \
    X(EXITED, API_US("a.exited_at"))                                                                         \
    X(CLEANED, API_US("a.cleaned_at"))                                                                       \
    X(ATTEMPT_STATUS, "a.status")                                                                            \
    X(ATTEMPT_MESSAGE, "a.message")                                                                          \
    X(RUN_EXTRA, "coalesce(a.run_extra_ms, 0)")                                                              \
    X(LOG_BYTES, "coalesce(a.log_bytes, 0)")                                                                 \
    X(STORED_BYTES, "coalesce(a.stored_bytes, 0)")                                                           \
    X(LOG_LIMIT, "a.log_limit")                                                                              \
    X(EARLIER, API_EARLIER)                                                                                  \
    X(LOG_COMPLETE, "coalesce(a.log_complete, a.id is null and j.finished_at is not null)")

enum job_column {
#define X(symbol, sql) JOB_##symbol,
    JOB_COLUMNS_TABLE(X)
#undef X
        JOB_SPEC, /* what a statement has behind it stands from JOB_COLUMNS_END on */
    JOB_COLUMNS_END,
};

#define JOB_COLUMN_SQL_(symbol, sql) sql ", "
/* All but the spec, with a comma at the end. */
#define JOB_COLUMNS JOB_COLUMNS_TABLE(JOB_COLUMN_SQL_)
/* The spec, or null where it is longer than this parameter says. */
#define JOB_SPEC_UP_TO(parameter) "case when octet_length(j.spec) <= " parameter "::integer then j.spec end"
#define JOB_WITH_ATTEMPT                                                                                     \
    " from berth.jobs j left join berth.attempts a on a.job_id = j.id and a.number = j.attempt"

#endif
