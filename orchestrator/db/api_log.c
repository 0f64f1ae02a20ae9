#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "orchestrator/db/api_private.h"

enum { API_KEYS_TEXT_MAX = API_HEADS_MAX * 64 };

/* `w` says which attempt of which job is asked about. */
#define HEAD_COLUMNS_TABLE(X)                                                                                \
    X(JOB, "j.id")                                                                                           \
    X(NUMBER, "w.number")                                                                                    \
    X(STATUS, "j.status")                                                                                    \
    X(REASON, "coalesce(j.reason, " API_PLAIN_REASON ")")                                                    \
    X(ATTEMPT, "j.attempt")                                                                                  \
    X(EXIT_CODE, "j.exit_code")                                                                              \
    X(STATUS_US, "(select (extract(epoch from e.at) * 1000000)::bigint from berth.events e"                  \
                 " where e.job_id = j.id order by e.id desc limit 1)")                                       \
    X(ATTEMPT_ID, "coalesce(a.id, 0)")                                                                       \
    X(LOG_BYTES, "coalesce(a.log_bytes, 0)")                                                                 \
    X(STORED_BYTES, "coalesce(a.stored_bytes, 0)")                                                           \
    X(ATTEMPT_STATUS, "a.status")                                                                            \
    X(ATTEMPT_SHA256, API_SHA256)                                                                            \
    X(ATTEMPT_EXIT_CODE, "a.exit_code")                                                                      \
    X(SERVICES, "array_to_string(a.services, ',')")

enum head_column {
#define X(symbol, sql) HEAD_##symbol,
    HEAD_COLUMNS_TABLE(X)
#undef X
        HEAD_CREATED_ON,
};
#define HEAD_REST                                                                                            \
    "(a.claimed_at at time zone 'UTC')::date"                                                                \
    " from w join berth.jobs j on j.id = w.job"                                                              \
    " left join berth.attempts a on a.job_id = j.id and a.number = w.number"
#define X(symbol, sql) sql ", "
static const char open_sql[] =
    "with w as (select id as job, case when $3::integer > 0 then $3::integer else greatest(attempt, 1) end "
    "as number"
    " from berth.jobs where tenant = $1 and id = $2::uuid) select " HEAD_COLUMNS_TABLE(X) HEAD_REST;
static const char heads_sql[] = "with w as (select * from unnest($1::uuid[], $2::integer[]) as t (job, "
                                "number)) select " HEAD_COLUMNS_TABLE(X) HEAD_REST;
#undef X

/* A log that has expired is one gap. */
#define EXPIRED                                                                                              \
    " union all select 0, null, null, log_bytes, 'expired' from berth.attempts"                              \
    " where id = $1::bigint and log_expired and log_bytes > 0"

/* `n`, `total`: a page is bounded by its bytes, but holds two chunks, so that a reader in the midst of the
 * first one sees what comes behind it. */
static const char forwards_sql[] =
    "with c as (select * from berth.log_chunks where attempt_id = $1::bigint and created_on = $2::date"
    "  and log_offset >= coalesce((select max(log_offset) from berth.log_chunks where attempt_id = $1::bigint"
    "   and created_on = $2::date and log_offset <= $3::bigint), 0) order by log_offset limit $5::integer)"
    " select log_offset, bytes, segments, gap_bytes, gap_cause from"
    " (select c.*, row_number() over w as n, sum(coalesce(octet_length(bytes), 0)) over w as total from c"
    "  window w as (order by log_offset)) p where n <= 4 or total <= $4::bigint" EXPIRED
    " order by log_offset";
static const char backwards_sql[] =
    "with c as (select * from berth.log_chunks where attempt_id = $1::bigint and created_on = $2::date"
    "  and log_offset < $3::bigint order by log_offset desc limit $5::integer)"
    " select log_offset, bytes, segments, gap_bytes, gap_cause from"
    " (select c.*, row_number() over w as n, sum(coalesce(octet_length(bytes), 0)) over w as total from c"
    "  window w as (order by log_offset desc)) p where n <= 4 or total <= $4::bigint" EXPIRED
    "   and $3::bigint > 0 order by log_offset desc";

int64_t api_log_open(struct db_pool *pool, const char *tenant, const char *id, int64_t number, db_done *done,
                     void *arg, struct err *err) {
    return DB_ASYNC(pool, open_sql, done, arg, err, DB_TEXT(tenant), DB_TEXT(id), DB_INT(number));
}

int64_t api_log_heads(struct db_pool *pool, const struct api_log_key *keys, size_t count, db_done *done,
                      void *arg, struct err *err) {
    AUTO_BUF struct buf ids = BUF(API_KEYS_TEXT_MAX), numbers = BUF(API_KEYS_TEXT_MAX);
    for (size_t i = 0; i < count; i++) {
        if (buf_addf(&ids, "%s%s", i ? "," : "{", keys[i].job) < 0 ||
            buf_addf(&numbers, "%s%lld", i ? "," : "{", (long long)keys[i].number) < 0)
            return err_set(err, ERR_LIMIT, 0, "more than %d logs in one question", API_HEADS_MAX);
    }
    buf_adds(&ids, count ? "}" : "{}");
    buf_adds(&numbers, count ? "}" : "{}");
    return DB_ASYNC(pool, heads_sql, done, arg, err, DB_TEXT(buf_str(&ids)), DB_TEXT(buf_str(&numbers)));
}

int64_t api_log_chunks(struct db_pool *pool, int64_t attempt_id, const char *created_on, int64_t offset,
                       bool backwards, db_done *done, void *arg, struct err *err) {
    return DB_ASYNC(pool, backwards ? backwards_sql : forwards_sql, done, arg, err, DB_INT(attempt_id),
                    DB_TEXT(created_on), DB_INT(offset), DB_INT(API_CHUNKS_BYTES),
                    DB_INT(API_CHUNKS_ROWS_MAX));
}

void api_read_head(const PGresult *r, int row, struct api_head *ret) {
    *ret = (struct api_head){
        .job = db_get_text(r, row, HEAD_JOB),
        .number = db_get_int(r, row, HEAD_NUMBER),
        .status = db_get_text(r, row, HEAD_STATUS),
        .reason = db_get_text_or_null(r, row, HEAD_REASON),
        .attempt = db_get_int(r, row, HEAD_ATTEMPT),
        .exit_code = db_get_int_or(r, row, HEAD_EXIT_CODE, API_NONE),
        .status_us = db_get_int_or(r, row, HEAD_STATUS_US, API_NONE),
        .attempt_id = db_get_int(r, row, HEAD_ATTEMPT_ID),
        .log_bytes = db_get_int(r, row, HEAD_LOG_BYTES),
        .stored_bytes = db_get_int(r, row, HEAD_STORED_BYTES),
        .attempt_status = db_get_text_or_null(r, row, HEAD_ATTEMPT_STATUS),
        .attempt_sha256 = db_get_text_or_null(r, row, HEAD_ATTEMPT_SHA256),
        .attempt_exit_code = db_get_int_or(r, row, HEAD_ATTEMPT_EXIT_CODE, API_NONE),
        .created_on = db_get_text_or_null(r, row, HEAD_CREATED_ON),
        .services = db_get_text_or_null(r, row, HEAD_SERVICES),
    };
}

int api_read_chunk(const PGresult *r, int row, struct api_chunk *ret, struct err *err) {
    struct api_chunk chunk = {.offset = db_get_int(r, row, 0), .gap_bytes = db_get_int(r, row, 3)};
    snprintf(chunk.gap_cause, sizeof chunk.gap_cause, "%s",
             db_is_null(r, row, 4) ? "lost" : db_get_text(r, row, 4));
    if (db_get_bytes(r, row, 1, &chunk.bytes, &chunk.len, err) < 0 ||
        db_get_bytes(r, row, 2, &chunk.segments, &chunk.segments_len, err) < 0) {
        api_chunk_done(&chunk);
        return -1;
    }
    *ret = chunk;
    return 0;
}

void api_chunk_done(struct api_chunk *chunk) {
    free(chunk->bytes);
    free(chunk->segments);
    *chunk = (struct api_chunk){0};
}
