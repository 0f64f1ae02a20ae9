/* What becomes of a job that was taken. */
#include <stdio.h>
#include <string.h>

#include "orchestrator/db/claim_private.h"
#include "orchestrator/db/ship.h"

/* $1 job, $2 attempt's key, $3 token. */
static void add_job(struct claim *c, const struct claim_job *job) {
    claim_add_text(c, job->job);
    claim_add_int(c, job->attempt_id);
    claim_add_int(c, job->token);
}

/* Only a bare row takes the facts: what the API has written was checked. $8 is the priority, $9 when it may
 * run, $10 for how many milliseconds it may wait. */
#define IS_BARE_ " j.memory_bytes is null"
#define IF_BARE_(value, column) " case when" IS_BARE_ " then " value " else j." column " end"
#define RUN_AT_ " case when" IS_BARE_ " and $9::bigint > 0 then berth.from_us($9::bigint) else j.run_at end"
#define QUEUE_DEADLINE_                                                                                      \
    " case when" IS_BARE_ " and $10::bigint > 0"                                                             \
    "   then greatest(j.created_at," RUN_AT_ ") + $10::bigint * interval '1 millisecond'"                    \
    "   else j.queue_deadline_at end"

/* Whoever has read the row before the lock on its key was ours sees it as one that holds it, or we see him.
 */
void claim_describe(struct claim *c, const struct claim_job *job, const struct claim_facts *facts) {
    /* A row with a key of its own was taken under the key's lock already. To wait for that lock with the row
     * locked would be a deadlock with an insertion that holds it and supersedes this very job. */
    const char *key = job->bare ? facts->key : NULL;
    claim_begin(
        c,
        "with a as (update berth.attempts set log_limit = $14::bigint, grace_ms = $15::bigint"
        "   where id = $2::bigint and token = $3::bigint returning job_id, number)"
        " update berth.jobs j set"
        " name =" IF_BARE_("coalesce($4::text, j.name)", "name") ", labels =" IF_BARE_(
            "coalesce($5::jsonb, j.labels)",
            "labels") ", cpus_milli =" IF_BARE_("$7::bigint",
                                                "cpus_milli") ", priority =" IF_BARE_("$8::integer",
                                                                                      "priority") ", run_at "
                                                                                                  "=" RUN_AT_
                                                                                                  ", "
                                                                                                  "queue_"
                                                                                                  "deadline_"
                                                                                                  "at "
                                                                                                  "=" QUEUE_DEADLINE_
                                                                                                  ", "
                                                                                                  "concurrenc"
                                                                                                  "y_key "
                                                                                                  "=" IF_BARE_("$11::text", "concurrency_key") ", concurrency_max =" IF_BARE_(
                                                                                                      "$12::"
                                                                                                      "intege"
                                                                                                      "r",
                                                                                                      "concur"
                                                                                                      "rency_"
                                                                                                      "max") ", on_conflict =" IF_BARE_("$13::text",
                                                                                                                                        "on_conflict") ", memory_bytes = coalesce(j.memory_bytes, $6::bigint)"
                                                                                                                                                       " from a where j.id = $1::uuid and a.job_id = j.id and a.number = j.attempt"
                                                                                                                                                       " returning coalesce(j.run_at > now(), false) or coalesce(j.queue_deadline_at <= now(), false)"
                                                                                                                                                       "   or berth.key_is_taken(j.id, j.tenant, $11::text, $12::integer)");
    add_job(c, job);
    claim_add_text(c, facts->name);
    claim_add_text(c, facts->labels);
    claim_add_int(c, facts->memory_bytes);
    claim_add_int(c, facts->cpus_milli);
    claim_add_int(c, facts->priority);
    claim_add_int(c, facts->run_at_us);
    claim_add_int(c, facts->queue_ms);
    claim_add_text(c, key);
    if (key)
        claim_add_int(c, facts->key_max);
    else
        claim_add_text(c, NULL);
    claim_add_text(c, key ? facts->on_conflict : NULL);
    claim_add_int(c, facts->log_bytes);
    claim_add_int(c, facts->grace_ms);
}

bool claim_not_now(const PGresult *r) {
    return PQntuples(r) > 0 && db_get_bool(r, 0, 0);
}

bool claim_key_refused(const struct err *err, char *ret_message, size_t size) {
    if (err->kind != ERR_DB || err->code != db_sqlstate("BE002"))
        return false;
    const char *begin = strstr(err->text, "job ");
    if (!begin)
        begin = err->text;
    const char *end = strstr(begin, " (SQLSTATE");
    int len = (int)(end ? (size_t)(end - begin) : strlen(begin));
    snprintf(ret_message, size, "%.*s", len, begin);
    return true;
}

/* Judged on the row as it is when its lock is held, so a cancel that came first is seen. */
#define RELEASED_(canceled, timed_out, scheduled, queued)                                                    \
    " case when j.cancel > 0 then " canceled " when j.queue_deadline_at <= now() then " timed_out            \
    " when j.run_at > now() then " scheduled " else " queued " end"
#define CANCELED_MESSAGE_ "'canceled before it had started'"
#define LATE_MESSAGE_ "'" CLAIM_LATE_MESSAGE "'"

void claim_release(struct claim *c, const struct claim_job *job) {
    claim_begin(
        c,
        "with a as (delete from berth.attempts a using berth.jobs j"
        "   where a.id = $2::bigint and a.token = $3::bigint and a.finished_at is null"
        "     and j.id = a.job_id and j.attempt = a.number and j.status in ('preparing', 'canceling')"
        "   returning a.job_id)"
        " update berth.jobs j set"
        " status =" RELEASED_("'canceled'", "'timed_out'", "'scheduled'", "'queued'") ", reason =" RELEASED_(
            "coalesce(cancel_reason, 'requested')", "'queue_deadline'", "null",
            "null") ", message =" RELEASED_(CANCELED_MESSAGE_, LATE_MESSAGE_, "null",
                                            "null") ", finished_at =" RELEASED_("now()", "now()", "null",
                                                                                "null") ", orchestrator = "
                                                                                        "null, attempt = "
                                                                                        "j.attempt - 1"
                                                                                        " from a where j.id "
                                                                                        "= $1::uuid and "
                                                                                        "a.job_id = j.id"
                                                                                        " returning case "
                                                                                        "when j.finished_at "
                                                                                        "is not null"
                                                                                        "   then "
                                                                                        "pg_notify("
                                                                                        "'" SHIP_CHANNEL "', "
                                                                                        "j.id::text)::text "
                                                                                        "end");
    add_job(c, job);
}

void claim_refuse(struct claim *c, const struct claim_job *job, enum reason reason, const char *message) {
    claim_begin(
        c, "with a as (update berth.attempts set status = $6, reason = $4, message = $5,"
           "     finished_at = now(), cleaned_at = now(), log_complete = true"
           "   where id = $2::bigint and token = $3::bigint and finished_at is null returning job_id, number)"
           " update berth.jobs j set status = $6, reason = $4, message = $5, finished_at = now()"
           " from a where j.id = $1::uuid and a.job_id = j.id and a.number = j.attempt"
           "   and j.status in " CLAIM_ACTIVE_ " returning pg_notify('" SHIP_CHANNEL "', j.id::text)");
    add_job(c, job);
    claim_add_text(c, reason_name(reason));
    claim_add_text(c, message);
    claim_add_text(c, status_name(reason_status(reason)));
}
