/*
 * api - what the gateway asks of the database: jobs put in, shown, canceled, removed, and their logs read by
 * offset.
 *
 * Every call queues one statement on the gateway's pool and returns its ticket (db_async.h), or -1 with the
 * reason; the result is read with the api_read_* functions inside the callback. Every statement may be
 * repeated. A tenant sees its own jobs only. Times are microseconds since 1970 by the wall clock, API_NONE
 * where there is none.
 */
#ifndef BERTH_DB_API_H
#define BERTH_DB_API_H

#include "orchestrator/db/db_async.h"
#include "proto/status.h"

enum {
    API_LIST_MAX = 200,
    API_LIST_SPEC_MAX_BYTES = 32768, /* a longer spec is left out of a list, so that a page has a bound */
    API_SPEC_MAX_BYTES = 4194304,    /* a longer one, which only SQL puts in, is left out of its job, too */
    API_HEADS_MAX = 512,             /* logs asked about in one statement */
    API_CHUNKS_ROWS_MAX = 64,        /* chunks in one answer, … */
    API_CHUNKS_BYTES = 262144, /* … and about how many bytes; but four chunks, which hold any one character */
};
#define API_NONE INT64_MIN

struct api_new_job {
    const char *id, *tenant, *name;   /* name: NULL for none */
    int64_t priority, run_at_us;      /* run_at_us 0: at once */
    int64_t queue_ms;                 /* 0: may wait for ever */
    int64_t cpus_milli, memory_bytes; /* of all its containers together */
    const char *spec, *labels;        /* JSON text */
    const char *concurrency_key;      /* NULL: none, and then the two below do not count */
    int64_t concurrency_max;
    const char *on_conflict;     /* "queue", "reject", "cancel_running" */
    const char *retry_of;        /* NULL: none */
    const char *idempotency_key; /* NULL: none */
    const unsigned char *idempotency_hash;
    size_t idempotency_hash_len;
};

/* Answers the job, or no row where the tenant has used the key before: then api_job_by_key tells. An
 * error that api_key_is_taken: its concurrency key is, and it asks to be refused then. */
int64_t api_insert_job(struct db_pool *pool, const struct api_new_job *job, db_done *done, void *arg,
                       struct err *err);
/* The words say which job has the key; owned by the caller. NULL: the error is another one. */
char *api_key_is_taken(const struct err *err);
/* Answers the job and the hash its key was used with (api_read_hash). */
int64_t api_job_by_key(struct db_pool *pool, const char *tenant, const char *key, db_done *done, void *arg,
                       struct err *err);
int64_t api_get_job(struct db_pool *pool, const char *tenant, const char *id, db_done *done, void *arg,
                    struct err *err);

struct api_list {
    const char *tenant, *name; /* name: NULL for any */
    const char *statuses;      /* comma-separated; NULL: any */
    const char *labels;        /* JSON object all of which a job must have; NULL: any */
    const char *before_id;     /* the place of the last job seen; NULL: from the newest */
    int64_t before_us;
    int64_t limit; /* 1 … API_LIST_MAX + 1 */
};
int64_t api_list_jobs(struct db_pool *pool, const struct api_list *list, db_done *done, void *arg,
                      struct err *err);

/* Ends a job that has not started, asks for the end of one that has. No row: there is no such job, or it has
 * ended. */
int64_t api_cancel_job(struct db_pool *pool, const char *tenant, const char *id, bool force, db_done *done,
                       void *arg, struct err *err);
/* Moves the run deadline of a running job; in all by most_extra_ms at most. No row: there is no such job, it
 * does not run, or it would be more than that. */
int64_t api_extend_job(struct db_pool *pool, const char *tenant, const char *id, int64_t more_ms,
                       int64_t most_extra_ms, db_done *done, void *arg, struct err *err);
/* Removes an ended job and its log. No row: there is none, or it has not ended. */
int64_t api_delete_job(struct db_pool *pool, const char *tenant, const char *id, db_done *done, void *arg,
                       struct err *err);
/* A hint to the orchestrators, in a transaction of its own: "jobs" or "cancel". */
int64_t api_hint_work(struct db_pool *pool, const char *payload, db_done *done, void *arg, struct err *err);

/* One row of the calls above; texts are borrowed from the result, NULL where null. */
struct api_job {
    const char *id, *name, *tenant, *status, *reason, *message, *orchestrator, *image_digest, *sha256, *usage,
        *spec, *labels, *retry_of, *earlier; /* earlier: JSON, the attempts before the newest; NULL: none */
    int64_t exit_code, signal;               /* API_NONE: none */
    int64_t attempt;                         /* 0: not claimed yet */
    const char *attempt_status, *attempt_message; /* how the newest attempt ended */
    int64_t created_us, started_us, finished_us, deadline_us;
    int64_t run_at_us, retry_at_us;
    int64_t run_extra_ms; /* by so much the run deadline was moved, in all */
    int64_t claimed_us, pulled_us, container_us, attempt_started_us, exited_us, cleaned_us;
    int64_t log_bytes, stored_bytes;
    int64_t log_limit; /* bytes; API_NONE: there is no attempt yet */
    bool log_complete;
};
void api_read_job(const PGresult *result, int row, struct api_job *ret);
int api_read_hash(const PGresult *result, int row, unsigned char **ret, size_t *ret_len, struct err *err);

/* How a log stands: of which attempt, how far, whether it has ended. */
struct api_head {
    const char *job;                             /* borrowed */
    int64_t number;                              /* the attempt asked about */
    const char *status, *reason;                 /* of the job */
    int64_t attempt;                             /* the job's newest; 0: not claimed yet */
    int64_t exit_code;                           /* of the job */
    int64_t status_us;                           /* since when */
    int64_t attempt_id;                          /* 0: this attempt does not exist (yet) */
    int64_t log_bytes, stored_bytes;             /* of the attempt */
    const char *attempt_status, *attempt_sha256; /* NULL until it has ended */
    int64_t attempt_exit_code;
    const char *created_on; /* the partition of its chunks; NULL: there is no attempt yet */
    const char *services;   /* names, separated by commas; NULL: not known yet */
};
/* number 0: the newest attempt, or the first one that is to come. */
int64_t api_log_open(struct db_pool *pool, const char *tenant, const char *id, int64_t number, db_done *done,
                     void *arg, struct err *err);
struct api_log_key {
    const char *job;
    int64_t number;
};
/* A row for each that exists. The keys were opened before, so nobody asks for the tenant again. */
int64_t api_log_heads(struct db_pool *pool, const struct api_log_key *keys, size_t count, db_done *done,
                      void *arg, struct err *err);
void api_read_head(const PGresult *result, int row, struct api_head *ret);

/* The chunks from the one that holds `offset` on, in order; or those that begin before it, last one first. */
int64_t api_log_chunks(struct db_pool *pool, int64_t attempt_id, const char *created_on, int64_t offset,
                       bool backwards, db_done *done, void *arg, struct err *err);
struct api_chunk {
    int64_t offset;
    unsigned char *bytes, *segments; /* owned; NULL: a gap */
    size_t len, segments_len;
    int64_t gap_bytes;
    char gap_cause[16];
};
int api_read_chunk(const PGresult *result, int row, struct api_chunk *ret, struct err *err);
void api_chunk_done(struct api_chunk *chunk);

/* Why a job is where it is: the job, and what stands between it and its next step. */
enum {
    API_AHEAD_MAX = 10000, /* jobs before it in the queue are counted up to here */
    API_KEYS_MAX = 16,     /* holders of its concurrency key that are told */
    API_HOSTS_MAX = 64,    /* orchestrators */
};
struct api_explain {
    struct api_job job;
    int64_t now_us;              /* by the database's clock, as the leases are */
    int64_t queue_deadline_us;   /* API_NONE: none */
    int64_t memory_bytes;        /* API_NONE: not known before the spec is checked */
    int64_t cpus_milli;          /* 0: no ceiling */
    int64_t cancel;              /* 1: asked for, 2: by force */
    int64_t ahead;               /* jobs that the queue has before it; API_AHEAD_MAX + 1: more */
    const char *concurrency_key; /* NULL: none */
    int64_t concurrency_max;
    int64_t key_count;       /* other jobs under way with this key */
    const char *key_holders; /* JSON: ["id", …] */
    /* JSON: [{"name", "alive", "draining", "heartbeat_us", "given_up_us", "slots", "used", "memory_bytes",
     * "memory_used", "cpus_milli", "cpus_used"}, …]; null where it was not told */
    const char *hosts;
};
int64_t api_explain_job(struct db_pool *pool, const char *tenant, const char *id, db_done *done, void *arg,
                        struct err *err);
void api_read_explain(const PGresult *result, struct api_explain *ret);

/* The orchestrators that this database has heard of, by name, at most API_FLEET_MAX. */
enum { API_FLEET_MAX = 1000 };
struct api_orchestrator {
    const char *name, *version;
    const char
        *state;    /* "live", "draining", "detached", "left" (ended with no job to come back for), "lost" */
    bool draining; /* takes up no jobs, or would not if it were live */
    int64_t slots, running;
    int64_t started_us, heartbeat_us;
    int64_t detached_us; /* it has so long to come back; API_NONE: it is not detached */
};
int64_t api_list_fleet(struct db_pool *pool, db_done *done, void *arg, struct err *err);
/* Answers the orchestrator; no row: there is none of this name. */
int64_t api_drain(struct db_pool *pool, const char *name, bool drain, db_done *done, void *arg,
                  struct err *err);
void api_read_orchestrator(const PGresult *result, int row, struct api_orchestrator *ret);

/* What /readyz tells: the newest applied migration, and how long ago an orchestrator was heard of. */
struct api_health {
    int64_t schema_version;
    int64_t orchestrators, heartbeat_age_ms; /* API_NONE: none ever */
    bool orchestrator_alive;                 /* one within its lease */
};
int64_t api_health(struct db_pool *pool, db_done *done, void *arg, struct err *err);
void api_read_health(const PGresult *result, struct api_health *ret);

#endif
