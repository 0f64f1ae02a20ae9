/*
 * claim - all that the parent asks of the database: its name and lease, jobs to run, jobs to cancel.
 *
 * Each function builds one statement into a struct claim; it is then sent through the pool (claim_send) or,
 * at the start and in tests, over a blocking connection (claim_exec). All of them may be repeated: what is
 * changed is guarded by the attempt's token and by the status it comes from. Strings are borrowed until the
 * statement has been sent.
 */
#ifndef BERTH_DB_CLAIM_H
#define BERTH_DB_CLAIM_H

#include "orchestrator/db/db.h"
#include "orchestrator/db/db_async.h"

enum {
    CLAIM_BATCH_MAX = 32,   /* jobs in one statement; times SPEC_BYTES_MAX is what a result can weigh */
    CLAIM_SWEEP_MAX = 500,  /* jobs moved by one sweep */
    CLAIM_OWNED_MAX = 2048, /* rows of one look at what is ours */
    CLAIM_PARAMS_MAX = 12,
};

/* Built in place and not to be copied: params point into numbers. */
struct claim {
    const char *sql;
    struct db_param params[CLAIM_PARAMS_MAX];
    size_t count;
    char numbers[CLAIM_PARAMS_MAX][24];
};

int claim_exec(struct db *db, const struct ctx *ctx, const struct claim *claim, PGresult **ret_result,
               struct err *err);
/* 0, or -1 without a callback (queue full). */
int claim_send(struct db_pool *pool, const struct claim *claim, db_done *done, void *arg, struct err *err);

/* --- the lease --- */

/* Takes the name, unless another state directory holds it with a live lease or has left it with running jobs.
 * Result: claim_registered(). */
void claim_register(struct claim *c, const char *name, const char *state_id, int64_t slots, int64_t lease_ms);
/* Whether the name is ours now; if not, *ret_age_s says how old the holder's last heartbeat is. */
bool claim_registered(const PGresult *r, int64_t *ret_age_s);
/* Result: one row, or none when the name has been lost: register again. claim_draining() of it. */
void claim_heartbeat(struct claim *c, const char *name, const char *state_id, int64_t slots, int64_t used);
bool claim_draining(const PGresult *r);
/* A clean exit; detach_ms: how long jobs that still run may be without us, 0: none run, the name is free at
 * once. */
void claim_leave(struct claim *c, const char *name, const char *state_id, int64_t detach_ms);

/* --- jobs --- */

struct claim_want {
    const char *name;
    int64_t limit;                     /* jobs at most */
    int64_t memory_free, memory_total; /* bytes; a job above the total is left to others */
    int64_t cpus_free, cpus_total;     /* thousandths; total 0: not summed */
    int64_t default_memory, default_cpus_milli, default_log; /* for rows whose spec nobody has read yet */
};
/* The next jobs by priority and age, as far as they fit together, each with a new attempt and its token. A
 * job that does not fit now holds back those behind it, so that it is not starved. Result: rows for
 * claim_row(). */
void claim_take(struct claim *c, const struct claim_want *want);
/* One attempt of ours again, to write its directory anew. Result: at most one row for claim_row(). */
void claim_fetch(struct claim *c, const char *name, const char *job, int64_t attempt_id);

struct claim_job {
    const char *job, *tenant,
        *spec; /* borrowed from the result; spec is NULL when longer than SPEC_BYTES_MAX */
    int64_t number, attempt_id, token, claimed_us, spec_bytes;
    bool bare; /* put in by SQL: the columns do not say yet what the spec says */
};
struct claim_job claim_row(const PGresult *r, int row);

/* What a checked spec says, for a row that was bare, and the attempt's log limit. */
struct claim_facts {
    const char *name, *labels; /* labels: JSON text */
    int64_t memory_bytes, cpus_milli, priority, run_at_us, queue_ms, log_bytes;
};
void claim_describe(struct claim *c, const struct claim_job *job, const struct claim_facts *facts);
/* Whether it turned out that the row may not run yet or has waited too long: to be released. */
bool claim_not_now(const PGresult *r);
/* The attempt never began: back to the queue (canceled if that was asked for meanwhile, timed out if its
 * queue deadline has passed, scheduled if its time has not come), the attempt's row goes. facts: what is
 * known by now, or NULL. */
void claim_release(struct claim *c, const struct claim_job *job, const struct claim_facts *facts);
/* The attempt cannot be made: job and attempt end as errored with this reason. */
void claim_refuse(struct claim *c, const struct claim_job *job, const char *reason, const char *message);

/* Scheduled jobs whose time has come are queued; queued ones past their deadline time out. */
void claim_sweep(struct claim *c);

/* Jobs of ours that somebody wants canceled. Rows for claim_cancel_row(). */
void claim_cancels(struct claim *c, const char *name);
struct claim_cancel {
    const char *job, *reason; /* reason: "" when none was given */
    int64_t number;
    bool force;
};
struct claim_cancel claim_cancel_row(const PGresult *r, int row);

/* Attempts of ours that have not ended, without their specs: rows for claim_owned_row(). */
void claim_owned(struct claim *c, const char *name);
struct claim_ours {
    const char *job;
    int64_t number, attempt_id;
};
struct claim_ours claim_owned_row(const PGresult *r, int row);

#endif
