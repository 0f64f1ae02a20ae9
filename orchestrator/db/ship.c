#include "orchestrator/db/ship.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum {
    SHIP_FIRST_CHUNKS = 5,
    SHIP_MORE_CHUNKS = 7,
    SHIP_CHUNK_PARAMS = 4,
    SHA256_BYTES = 32,
    NUMBERS_TEXT_MAX = SHIP_SOURCES_MAX * 21 + 3,
};

/* PostgreSQL, appendix A: 22 data exception, 23 integrity constraint, P0 raised, BE our trigger, 54 limit
 * exceeded. */
bool ship_is_refusal(const struct err *err) {
    static const char *const classes[] = {"22", "23", "P0", "BE", "54"};
    for (size_t i = 0; err->kind == ERR_DB && i < ARRAY_LEN(classes); i++)
        if (db_sqlstate_is(err->code, classes[i]))
            return true;
    return false;
}

/* --- arrays of numbers: "{1,0,7}" --- */

/* Zeros at the end are left out, so that equal positions are equal arrays. */
static const char *numbers_text(const int64_t numbers[SHIP_SOURCES_MAX], char out[NUMBERS_TEXT_MAX]) {
    size_t count = SHIP_SOURCES_MAX, len = 1;
    while (count > 0 && numbers[count - 1] == 0)
        count--;
    out[0] = '{';
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(out + len, NUMBERS_TEXT_MAX - len, "%s%lld", i ? "," : "",
                                (long long)numbers[i]);
    snprintf(out + len, NUMBERS_TEXT_MAX - len, "}");
    return out;
}

static int read_numbers(const char *text, int64_t ret[SHIP_SOURCES_MAX], struct err *err) {
    int64_t numbers[SHIP_SOURCES_MAX] = {0};
    const char *p = text;
    bool more = *p == '{' && p[1] != '}';
    for (size_t i = 0; more; i++) {
        char *end;
        long long n = strtoll(p + 1, &end, 10);
        if (i == SHIP_SOURCES_MAX || end == p + 1 || (*end != ',' && *end != '}') || n < 0)
            return err_set(err, ERR_INVALID, 0, "'%.80s' are no positions in at most %d spools", text,
                           SHIP_SOURCES_MAX);
        numbers[i] = n;
        more = *end == ',';
        p = end;
    }
    memcpy(ret, numbers, sizeof numbers);
    return 0;
}

int ship_load(struct db *db, const struct ctx *ctx, struct ship_key *key, struct ship_attempt *ret,
              struct err *err) {
    AUTO_RESULT PGresult *r = NULL;
    if (DB_EXEC(db, ctx,
                "select finished_at is not null, log_limit, raw_pos, log_bytes, lost_bytes, log_sha_state,"
                " (claimed_at at time zone 'UTC')::date, source_bytes, log_unhashed,"
                " (select count(*) from berth.attempts f where f.job_id = $3 and f.number < $4 and f.freed)"
                " from berth.attempts where id = $1 and token = $2 and job_id = $3 and number = $4",
                &r, err, DB_INT(key->id), DB_INT(key->token), DB_TEXT(key->job), DB_INT(key->number)) < 0)
        return err_wrap(err, "reading attempt %lld", (long long)key->id);
    struct ship_attempt a = {.ours = PQntuples(r) == 1};
    if (!a.ours) {
        *ret = a;
        return 0;
    }
    a.finished = db_get_bool(r, 0, 0);
    a.log_limit = db_get_int(r, 0, 1);
    a.freed = db_get_int(r, 0, 9);
    if (read_numbers(db_get_text(r, 0, 2), a.at.raw_pos, err) < 0 ||
        read_numbers(db_get_text(r, 0, 7), a.at.source_bytes, err) < 0)
        return err_wrap(err, "attempt %lld", (long long)key->id);
    a.at.log_bytes = db_get_int(r, 0, 3);
    a.at.lost_bytes = db_get_int(r, 0, 4);
    a.at.unhashed = db_get_bool(r, 0, 8);
    AUTO_FREE unsigned char *state = NULL;
    if (db_get_bytes(r, 0, 5, &state, &a.at.sha_len, err) < 0)
        return -1;
    if (a.at.sha_len > sizeof a.at.sha_state)
        return err_set(err, ERR_INVALID, 0, "attempt %lld: log_sha_state has %zu bytes", (long long)key->id,
                       a.at.sha_len);
    if (state)
        memcpy(a.at.sha_state, state, a.at.sha_len);
    snprintf(key->day, sizeof key->day, "%.11s", db_get_text(r, 0, 6));
    *ret = a;
    return 0;
}

/* --- log bytes --- */

struct chunk_params {
    struct db_param params[DB_PARAMS_MAX];
    char numbers[DB_PARAMS_MAX][24];
    size_t count;
};

static void add(struct chunk_params *p, struct db_param param) {
    p->params[p->count++] = param;
}

static void add_int(struct chunk_params *p, int64_t n) {
    const char *text = db_int_text(p->numbers[p->count], n);
    add(p, DB_TEXT(text));
}

static void add_chunk(struct chunk_params *p, const struct ship_chunk *chunk) {
    if (!chunk) {
        for (int i = 0; i < SHIP_CHUNK_PARAMS; i++)
            add(p, DB_NULL);
        return;
    }
    bool gap = chunk->gap_bytes > 0;
    add_int(p, chunk->log_offset);
    add(p, gap ? DB_NULL : DB_BYTES(chunk->bytes, chunk->len));
    add(p, gap ? DB_NULL : DB_BYTES(chunk->segments, chunk->segments_len));
    if (gap)
        add_int(p, chunk->gap_bytes);
    else
        add(p, DB_NULL);
}

#define INTO_CHUNKS_                                                                                         \
    "insert into berth.log_chunks"                                                                           \
    " (attempt_id, created_on, log_offset, bytes, segments, gap_bytes, gap_cause) select "
#define SLOT_COLUMNS_ "c.o, c.b, c.s, c.g, case when c.g is not null then 'lost' end from "
#define SLOT_NAMES_ "c(o, b, s, g) where c.o is not null"

static int insert_more(struct db *db, const struct ctx *ctx, const struct ship_key *key,
                       const struct ship_chunk *chunks, size_t count, struct err *err) {
    struct chunk_params p = {.count = 0};
    add_int(&p, key->id);
    add(&p, DB_TEXT(key->day));
    for (size_t i = 0; i < SHIP_MORE_CHUNKS; i++)
        add_chunk(&p, i < count ? &chunks[i] : NULL);
    return db_exec(db, ctx,
                   INTO_CHUNKS_
                   "$1::bigint, $2::date, " SLOT_COLUMNS_
                   " (values ($3::bigint, $4::bytea, $5::bytea, $6::bigint), ($7, $8, $9, $10),"
                   " ($11, $12, $13, $14), ($15, $16, $17, $18), ($19, $20, $21, $22), ($23, $24, $25, $26),"
                   " ($27, $28, $29, $30)) " SLOT_NAMES_,
                   p.params, p.count, NULL, err);
}

static int64_t sum_bytes(const struct ship_chunk *chunks, size_t count) {
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += chunks[i].gap_bytes > 0 ? 0 : (int64_t)chunks[i].len;
    return sum;
}

/* Moves the position and stores the first chunks in one statement: most batches have no more. */
static int move_and_insert(struct db *db, const struct ctx *ctx, const struct ship_key *key,
                           const int64_t *from_raw, const struct ship_position *to,
                           const struct ship_chunk *chunks, size_t count, struct err *err) {
    struct chunk_params p = {.count = 0};
    char from[NUMBERS_TEXT_MAX], raw[NUMBERS_TEXT_MAX], bytes[NUMBERS_TEXT_MAX];
    add_int(&p, key->id);
    add_int(&p, key->token);
    add(&p, DB_TEXT(numbers_text(from_raw, from)));
    add(&p, DB_TEXT(numbers_text(to->raw_pos, raw)));
    add_int(&p, to->log_bytes);
    add_int(&p, to->lost_bytes);
    add_int(&p, sum_bytes(chunks, count));
    add(&p, DB_BYTES(to->sha_state, to->sha_len));
    add(&p, DB_TEXT(key->day));
    add(&p, DB_TEXT(numbers_text(to->source_bytes, bytes)));
    add(&p, DB_TEXT(to->unhashed ? "true" : "false"));
    add(&p, DB_TEXT(key->services));
    for (size_t i = 0; i < SHIP_FIRST_CHUNKS; i++)
        add_chunk(&p, i < count ? &chunks[i] : NULL);
    AUTO_RESULT PGresult *r = NULL;
    if (db_exec(
            db, ctx,
            "with a as (update berth.attempts set raw_pos = $4, log_bytes = $5, lost_bytes = $6,"
            "   stored_bytes = stored_bytes + $7, log_sha_state = $8, source_bytes = $10, log_unhashed = $11,"
            "   services = $12"
            "   where id = $1 and token = $2 and raw_pos = $3 and finished_at is null returning id),"
            " i as (" INTO_CHUNKS_ "a.id, $9::date, " SLOT_COLUMNS_
            " a, (values ($13::bigint, $14::bytea, $15::bytea, $16::bigint), ($17, $18, $19, $20),"
            " ($21, $22, $23, $24), ($25, $26, $27, $28), ($29, $30, $31, $32)) " SLOT_NAMES_
            ") select count(*) from a",
            p.params, p.count, &r, err) < 0)
        return -1;
    return db_get_int(r, 0, 0) == 1;
}

int ship_log(struct db *db, const struct ctx *ctx, const struct ship_key *key,
             const int64_t from_raw[SHIP_SOURCES_MAX], const struct ship_position *to,
             const struct ship_chunk *chunks, size_t count, struct err *err) {
    int moved = move_and_insert(db, ctx, key, from_raw, to, chunks, count, err);
    if (moved < 0)
        return err_wrap(err, "storing the log of job %s", key->job);
    for (size_t done = SHIP_FIRST_CHUNKS; moved && done < count; done += SHIP_MORE_CHUNKS)
        if (insert_more(db, ctx, key, chunks + done, count - done, err) < 0)
            return err_wrap(err, "storing the log of job %s", key->job);
    return moved;
}

int ship_slide(struct db *db, const struct ctx *ctx, const struct ship_key *key, int64_t head_end,
               int64_t tail_begin, struct err *err) {
    if (DB_EXEC(db, ctx,
                "with d as (delete from berth.log_chunks where attempt_id = $1 and created_on = $5::date"
                " and log_offset >= $3 and log_offset + coalesce(octet_length(bytes), gap_bytes) <= $4"
                " returning octet_length(bytes) as n)"
                " update berth.attempts set stored_bytes = stored_bytes - (select coalesce(sum(n), 0) from d)"
                " where id = $1 and token = $2",
                NULL, err, DB_INT(key->id), DB_INT(key->token), DB_INT(head_end), DB_INT(tail_begin),
                DB_TEXT(key->day)) < 0)
        return err_wrap(err, "moving the tail of the log of job %s", key->job);
    return 0;
}

int ship_edge(struct db *db, const struct ctx *ctx, const struct ship_key *key, int64_t head_end,
              int64_t tail_begin, struct ship_edge *ret, struct err *err) {
    AUTO_RESULT PGresult *r = NULL;
    if (DB_EXEC(db, ctx,
                "select log_offset, coalesce(octet_length(bytes), gap_bytes), segments from berth.log_chunks"
                " where attempt_id = $1 and created_on = $4::date and log_offset >= $2 and log_offset < $3"
                " and log_offset + coalesce(octet_length(bytes), gap_bytes) > $3",
                &r, err, DB_INT(key->id), DB_INT(head_end), DB_INT(tail_begin), DB_TEXT(key->day)) < 0)
        return err_wrap(err, "looking for the tail of the log of job %s", key->job);
    if (PQntuples(r) == 0)
        return 0;
    struct ship_edge edge = {.log_offset = db_get_int(r, 0, 0), .len = db_get_int(r, 0, 1)};
    if (db_get_bytes(r, 0, 2, &edge.segments, &edge.segments_len, err) < 0)
        return -1;
    *ret = edge;
    return 1;
}

int ship_cut(struct db *db, const struct ctx *ctx, const struct ship_key *key, const struct ship_edge *edge,
             int64_t tail_begin, const void *segments, size_t segments_len, struct err *err) {
    if (DB_EXEC(db, ctx,
                "with c as (update berth.log_chunks set log_offset = $4, segments = $5,"
                "   bytes = substring(bytes from least($4 - $3 + 1, 2147483647)::integer),"
                "   gap_bytes = gap_bytes - ($4 - $3)"
                "   where attempt_id = $1 and created_on = $6::date and log_offset = $3"
                "   returning bytes is null as gap)"
                " update berth.attempts set stored_bytes = stored_bytes - ($4 - $3) from c"
                " where id = $1 and token = $2 and not c.gap",
                NULL, err, DB_INT(key->id), DB_INT(key->token), DB_INT(edge->log_offset), DB_INT(tail_begin),
                edge->segments ? DB_BYTES(segments, segments_len) : DB_NULL, DB_TEXT(key->day)) < 0)
        return err_wrap(err, "trimming the tail of the log of job %s", key->job);
    return 0;
}

/* --- steps and ends --- */

/* One that was canceled while it was lost. */
#define STOPS_ "j.status = 'lost' and j.cancel > 0 and $10 = 'running'"

int ship_steps(struct db *db, const struct ctx *ctx, const struct ship_key *key,
               const struct journal *journal, const int64_t *deadline_in_ms, struct err *err) {
    bool canceling = reason_status(journal->stopping) == STATUS_CANCELED && journal->stopping != REASON_NONE;
    int64_t started_us = journal->time_us[JOURNAL_STARTED];
    const char *status = canceling ? "canceling" : started_us ? "running" : "";
    /* A time of 0 and the empty text stand for null. */
    if (DB_EXEC(db, ctx,
                "with a as (update berth.attempts set pulled_at = coalesce(pulled_at, berth.from_us($3)),"
                "   container_at = coalesce(container_at, berth.from_us($4)),"
                "   started_at = coalesce(started_at, berth.from_us($5)),"
                "   exited_at = coalesce(exited_at, berth.from_us($6)),"
                "   cleaned_at = coalesce(cleaned_at, berth.from_us($7)),"
                "   deadline_at = greatest(deadline_at, now() + $8::bigint * interval '1 millisecond'),"
                "   image_digest = coalesce(nullif($9, ''), image_digest)"
                "   where id = $1 and token = $2 and finished_at is null"
                "   returning job_id, number, started_at)"
                " update berth.jobs j set"
                "   status = case when " STOPS_ " then 'canceling' else $10 end,"
                "   reason = case when " STOPS_ " then coalesce(j.cancel_reason, 'requested')"
                "     else nullif($11, '') end,"
                "   message = case when " STOPS_ " then 'The job is being stopped.' else nullif($12, '') end,"
                "   started_at = coalesce(j.started_at, a.started_at) from a"
                " where j.id = a.job_id and j.attempt = a.number"
                "   and ((j.status in ('preparing', 'lost') and $10 <> '')"
                "     or (j.status = 'running' and $10 = 'canceling'))",
                NULL, err, DB_INT(key->id), DB_INT(key->token), DB_INT(journal->time_us[JOURNAL_PULLED]),
                DB_INT(journal->time_us[JOURNAL_CREATED]), DB_INT(started_us),
                DB_INT(journal->time_us[JOURNAL_EXITED]), DB_INT(journal->time_us[JOURNAL_CLEANED]),
                deadline_in_ms ? DB_INT(*deadline_in_ms) : DB_NULL, DB_TEXT(journal->digest), DB_TEXT(status),
                DB_TEXT(canceling ? reason_name(journal->stopping) : ""),
                DB_TEXT(canceling ? "The job is being stopped." : "")) < 0)
        return err_wrap(err, "recording the steps of job %s", key->job);
    return 0;
}
#undef STOPS_

/* What follows is judged on the job's row as it is when its lock is held: an update that had to wait for
 * another computes its columns anew. */
#define AGAIN_ "($13::bigint >= 0 and j.cancel = 0 and j.status <> 'canceling')"
/* Canceled, and only the attempt ended otherwise: without the cancel there would be another one. */
#define DROPPED_ "($13::bigint >= 0 and not " AGAIN_ ")"
#define NEXT_AT_ "(now() + $13::bigint * interval '1 millisecond')"
static const char end_sql[] =
    "with a as (update berth.attempts set finished_at = berth.from_us($4), status = $5, reason = $6,"
    "   message = nullif($7, ''), exit_code = $8::integer, signal = $9::integer,"
    "   usage = $10::jsonb, log_complete = $11::boolean, log_sha256 = $12, log_sha_state = null,"
    "   services = $16"
    "   where id = $1 and token = $2 and ($3::bigint[] is null or raw_pos = $3::bigint[])"
    "   and finished_at is null returning job_id, number, started_at),"
    " j as (update berth.jobs j set"
    "   status = case when " AGAIN_ " then 'retrying' when " DROPPED_ " then 'canceled' else $5 end,"
    "   reason = case when " DROPPED_ " then coalesce(j.cancel_reason, 'requested') else $6 end,"
    "   message = case when " AGAIN_ " then $14 || to_char(" NEXT_AT_
    "    at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z.\"')"
    "    when " DROPPED_
    " then 'The job was canceled, and no other attempt follows. This one had ended by itself: ' || $7"
    "    else nullif($7, '') end,"
    "   exit_code = case when not " AGAIN_ " then $8::integer end,"
    "   signal = case when not " AGAIN_ " then $9::integer end,"
    "   finished_at = case when not " AGAIN_ " then berth.from_us($4) end,"
    "   retry_at = case when " AGAIN_ " then " NEXT_AT_ " end,"
    "   queue_deadline_at = case when not " AGAIN_ " then j.queue_deadline_at"
    "    when $15::bigint > 0 then " NEXT_AT_ " + $15::bigint * interval '1 millisecond' end,"
    "   started_at = coalesce(j.started_at, a.started_at) from a"
    "   where j.id = a.job_id and j.attempt = a.number"
    "   and j.status in ('preparing', 'running', 'canceling', 'lost'))"
    " select count(*) from a";

int ship_end(struct db *db, const struct ctx *ctx, const struct ship_key *key, const struct ship_end *end,
             struct err *err) {
    const struct verdict *v = end->verdict;
    const char *reason = reason_name(v->reason);
    const char *message = end->message ? end->message : v->message;
    char raw[NUMBERS_TEXT_MAX];
    AUTO_JSON json_t *usage = usage_to_json(&v->usage);
    AUTO_FREE char *usage_text = usage ? json_dumps(usage, JSON_COMPACT) : NULL;
    AUTO_RESULT PGresult *r = NULL;
    if (DB_EXEC(db, ctx, end_sql, &r, err, DB_INT(key->id), DB_INT(key->token),
                end->raw_pos ? DB_TEXT(numbers_text(end->raw_pos, raw)) : DB_NULL, DB_INT(end->finished_us),
                DB_TEXT(status_name(v->status)), DB_TEXT(reason), DB_TEXT(message),
                v->exit_code < 0 ? DB_NULL : DB_INT(v->exit_code), v->signal ? DB_INT(v->signal) : DB_NULL,
                DB_TEXT(usage_text), DB_TEXT(end->log_complete ? "true" : "false"),
                end->sha256 ? DB_BYTES(end->sha256, SHA256_BYTES) : DB_NULL, DB_INT(end->retry_ms),
                DB_TEXT(end->retry_message), DB_INT(end->queue_ms), DB_TEXT(key->services)) < 0)
        return err_wrap(err, "recording the end of job %s", key->job);
    return db_get_int(r, 0, 0) == 1;
}

int ship_give_up(struct db *db, const struct ctx *ctx, const struct ship_key *key, struct err *err) {
    return DB_EXEC(db, ctx,
                   "update berth.jobs j set cancel = greatest(j.cancel, 1) from berth.attempts a"
                   " where a.id = $1 and a.token = $2 and j.id = a.job_id and j.attempt = a.number"
                   " and a.finished_at is null and j.cancel = 0",
                   NULL, err, DB_INT(key->id), DB_INT(key->token));
}

int ship_notify(struct db *db, const struct ctx *ctx, const char *payload, struct err *err) {
    return DB_EXEC(db, ctx, "select pg_notify('" SHIP_CHANNEL "', $1)", NULL, err, DB_TEXT(payload));
}
