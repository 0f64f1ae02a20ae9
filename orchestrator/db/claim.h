/*
 * claim - all that the parent asks of the database: its name and lease, jobs to run, orders for them, and
 * what becomes of the jobs of orchestrators that are heard of no more.
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
#include "proto/status.h"

enum {
    CLAIM_BATCH_MAX = 32,   /* jobs in one statement; times SPEC_BYTES_MAX is what a result can weigh */
    CLAIM_SWEEP_MAX = 500,  /* jobs moved by one sweep */
    CLAIM_OWNED_MAX = 2048, /* rows of one look at what is ours */
    CLAIM_PARAMS_MAX = 16,
    CLAIM_OVERDUE_MS = 60000, /* so long behind deadline and grace nobody has ended it: its runner hangs */
};
#define CLAIM_LATE_MESSAGE                                                                                   \
    "The job was not started before its queue deadline: no orchestrator was there or had room for it, or "   \
    "its concurrency key was taken."

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

/* Who we are. Of two that say the same name only the one whose life stands in the name's row has it. */
struct claim_self {
    const char *name;
    const char *state_id; /* of the state directory */
    const char *home;     /* where that lies: a copy of it says another one */
    const char *life;     /* of this process */
};

/* Takes the name, unless another state directory holds it with a live lease or has left it with running jobs,
 * or a copy of ours holds it with a live lease. What ran under the name from another state directory goes
 * over to the name "NAME~…", which everybody takes for dead. Result: claim_registered(). */
void claim_register(struct claim *c, const struct claim_self *self, int64_t slots, int64_t lease_ms);
/* Whether the name is ours now; if not, who has it. */
struct claim_holder {
    int64_t age_s;        /* of its last heartbeat, */
    int64_t heartbeat_us; /* which was then */
    int64_t left_ms;      /* until its lease is over */
    bool copy;            /* it says the id of our state directory */
};
bool claim_registered(const PGresult *r, struct claim_holder *ret_holder);
/* What an orchestrator tells of itself. */
struct claim_beat {
    int64_t slots, used;
    int64_t memory_bytes, memory_used;
    int64_t cpus_milli, cpus_used; /* cpus_milli 0: not summed */
    int64_t lost_after_ms;
};
/* Also takes back what others took for lost and have not ended. Result: one row, or none when the name has
 * been lost: register again. claim_draining() and claim_come_back() of it. */
void claim_heartbeat(struct claim *c, const struct claim_self *self, const struct claim_beat *beat);
bool claim_draining(const PGresult *r);
int64_t claim_come_back(const PGresult *r); /* how many were taken back */
/* A clean exit; detach_ms: how long jobs that still run may be without us, 0: none run, the name is free at
 * once. */
void claim_leave(struct claim *c, const struct claim_self *self, int64_t detach_ms);

/* --- jobs --- */

struct claim_want {
    struct claim_self self;
    int64_t limit;                     /* jobs at most */
    int64_t memory_free, memory_total; /* bytes; a job above the total is left to others */
    int64_t cpus_free, cpus_total;     /* thousandths; total 0: not summed */
    int64_t default_memory, default_cpus_milli, default_log; /* for rows whose spec nobody has read yet */
    int64_t default_grace_ms; /* of stop.grace, until claim_describe() says better */
};
/* The next jobs by priority and age, queued ones and retries whose time has come, as far as they fit
 * together, each with a new attempt and its token. A job that does not fit now holds back those behind it, so
 * that it is not starved; one whose concurrency key is taken is passed over. None while we drain, after our
 * lease, or when the name is not ours any more. In a transaction of its own
 * only: two that claim at once never let more jobs of one key begin than there may be. Result: rows for
 * claim_row(). */
void claim_take(struct claim *c, const struct claim_want *want);
/* One attempt of ours again, to write its directory anew. Result: at most one row for claim_row(). */
void claim_fetch(struct claim *c, const struct claim_self *self, const char *job, int64_t attempt_id);

struct claim_job {
    const char *job, *tenant,
        *spec; /* borrowed from the result; spec is NULL when longer than SPEC_BYTES_MAX */
    int64_t number, attempt_id, token, claimed_us, spec_bytes;
    bool bare;    /* put in by SQL: the columns do not say yet what the spec says */
    bool not_now; /* of claim_fetch(): to be given back, see claim_describe() */
};
struct claim_job claim_row(const PGresult *r, int row);

/* What a checked spec says, for a row that was bare, and what the attempt's row lacks. */
struct claim_facts {
    const char *name, *labels; /* labels: JSON text */
    int64_t memory_bytes, cpus_milli, priority, run_at_us, queue_ms, log_bytes, grace_ms;
    const char *key, *on_conflict; /* of concurrency; NULL: none */
    int64_t key_max;
};
/* Fails with claim_key_refused() when a bare row's on_conflict is reject and its key is held. */
void claim_describe(struct claim *c, const struct claim_job *job, const struct claim_facts *facts);
/* Whether it turned out that the row may not run yet, has waited too long, or that its key is taken: to be
 * released. */
bool claim_not_now(const PGresult *r);
/* *ret_message names the job that holds the key. Of the API's insert too (0002_jobs.sql, berth.enter_key). */
bool claim_key_refused(const struct err *err, char *ret_message, size_t size);
/* The attempt never began: back to the queue (canceled if that was asked for meanwhile, timed out if its
 * queue deadline has passed, scheduled if its time has not come), the attempt's row goes. */
void claim_release(struct claim *c, const struct claim_job *job);
/* The attempt cannot be made: job and attempt end for this reason. */
void claim_refuse(struct claim *c, const struct claim_job *job, enum reason reason, const char *message);

/* Scheduled jobs whose time has come are queued; waiting ones past their queue deadline time out. */
void claim_sweep(struct claim *c);
struct claim_swept {
    int64_t queued, ended;
    int64_t next_ms; /* until the next retry or scheduled job is due; -1: there is none */
};
struct claim_swept claim_swept(const PGresult *r);

/* What is wanted of jobs of ours: that they are canceled, that their run deadline lies further behind, that a
 * runner who has missed it is replaced. Rows for claim_order_row(); the same orders come again until the
 * attempt has ended. */
void claim_orders(struct claim *c, const char *name);
struct claim_order {
    const char *job, *reason; /* reason: "" when none was given */
    int64_t number;
    bool cancel, force;
    int64_t run_extra_ms; /* 0: the deadline was not moved */
    int64_t overdue_ms;   /* behind deadline and grace, at least CLAIM_OVERDUE_MS; 0: it is not */
};
struct claim_order claim_order_row(const PGresult *r, int row);

/* All jobs of ours are to be canceled, for REASON_SHUTDOWN. */
void claim_shut_down(struct claim *c, const struct claim_self *self);

/* Attempts of ours that have not ended, without their specs: rows for claim_owned_row(). No row at all: the
 * name is not ours now, and nothing is known. */
void claim_owned(struct claim *c, const struct claim_self *self);
struct claim_ours {
    const char *job; /* NULL, in the only row: there is none */
    int64_t number, attempt_id;
};
struct claim_ours claim_owned_row(const PGresult *r, int row);

/* Notes that the commands of these attempts may begin, as far as they are still ours. wanted: JSON text,
 * [{"job", "number"}, …]. Result: rows for claim_owned_row(). */
void claim_license(struct claim *c, const struct claim_self *self, const char *wanted);

/* --- others that are heard of no more --- */

/* What orchestrators had whose lease (and leave of absence) is over: attempts without a license end as
 * errored/orchestrator_lost, their jobs go back to the queue for as long as they may wait, with no retry used
 * up; others are lost. connected_ms: for how long we
 * have been connected ourselves; only leases that are no longer than that are judged. Their token keeps the
 * old owner out: what it reports of an ended attempt is refused. */
void claim_judge(struct claim *c, const char *name, int64_t connected_ms);
struct claim_judged {
    int64_t freed, lost;
};
struct claim_judged claim_judged(const PGresult *r);
/* Jobs that have been lost for as long as their orchestrator has said, or for so long when nobody knows it
 * any more; at most CLAIM_BATCH_MAX. Rows for claim_lost_row(). */
void claim_given_up(struct claim *c, const char *name, int64_t lost_after_ms);
struct claim_lost {
    struct claim_job job; /* number, attempt_id, token, spec */
    const char *orchestrator;
    int64_t freed; /* earlier attempts of the job that never started: none of its retries */
};
struct claim_lost claim_lost_row(const PGresult *r, int row);
/* A lost attempt ends as errored/orchestrator_lost, and its job with it, or, with retry_ms from 0 on, it
 * waits so long for its next attempt, which then has queue_ms (0: no bound) to begin. Not if its owner has
 * come back. */
void claim_end_lost(struct claim *c, const struct claim_job *job, const char *message, int64_t retry_ms,
                    int64_t queue_ms);

#endif
