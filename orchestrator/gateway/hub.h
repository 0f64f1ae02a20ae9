/*
 * hub - who looks at which log, and what has been read of it.
 *
 * A viewer holds a cursor and nothing else: bytes come from the database by offset, in runs of chunks that
 * are shared between the viewers of one place. The hub asks how the watched logs stand when it is told that
 * something may have changed (hub_hint) and once a second anyhow (hub_tick), so a lost notification costs a
 * second and no byte. Pure: it reads through struct hub_ops, and whoever implements them answers with
 * hub_heads_done and hub_read_done.
 */
#ifndef BERTH_GATEWAY_HUB_H
#define BERTH_GATEWAY_HUB_H

#include <stdbool.h>
#include <sys/queue.h>

#include "base/id.h"
#include "orchestrator/db/api.h"
#include "orchestrator/gateway/streams.h"

enum {
    HUB_LOGS_MAX = 4096,
    HUB_MEMBERS_MAX = 8192,
    HUB_RUNS_MAX = 4,  /* kept per log for those who come to the same place a little later */
    HUB_READS_MAX = 4, /* under way per log */
    HUB_TICK_MS = 1000,
};

/* How a log stands; struct api_head with its texts. */
struct hub_head {
    char job[ID_TEXT_MAX];
    int64_t number, attempt, exit_code, status_us, attempt_id, log_bytes, stored_bytes, attempt_exit_code;
    char status[16], reason[32], attempt_status[16], sha256[65], created_on[16]; /* "": none */
    char services[STREAMS_SERVICES_MAX];
    bool services_known; /* else the attempt has written nothing so far */
};
void hub_head_copy(const struct api_head *head, struct hub_head *ret);
/* Nothing is added to this log any more. */
bool hub_head_ended(const struct hub_head *head);
/* The job itself has ended. */
bool hub_head_final(const struct hub_head *head);

/* Bytes and gaps without a hole between them, in order. */
struct hub_run {
    unsigned refs;
    bool used; /* read since the last tick: an idle one is not kept */
    int64_t start, end;
    size_t count;
    struct api_chunk chunks[]; /* a gap has no bytes and gap_bytes > 0 */
};
void hub_run_unref(struct hub_run *run);

struct hub;
struct hub_log;

/* One who watches; embedded in its owner. wake may be called any time, and must not call the hub back at
 * once. */
struct hub_member {
    TAILQ_ENTRY(hub_member) link;
    struct hub_log *log;
    void (*wake)(void *arg);
    void *arg;
};
TAILQ_HEAD(hub_members, hub_member);

struct hub_read {
    struct hub *hub;
    struct hub_log *log; /* NULL: everybody has left it */
    int64_t attempt_id, offset;
    int64_t known_end; /* what the log was known to reach when this was asked for */
    char created_on[16];
};

struct hub_log {
    TAILQ_ENTRY(hub_log) link;
    struct hub *hub;
    struct hub_head head;
    bool missing; /* the job was removed */
    bool dirty;   /* to be asked about */
    bool stalled; /* a read failed: the next tick wakes the viewers */
    bool asked;   /* in the question that is under way */
    struct hub_members members;
    struct hub_run *runs[HUB_RUNS_MAX];
    unsigned next_run;
    struct hub_read *reads[HUB_READS_MAX];
};
TAILQ_HEAD(hub_logs, hub_log);

struct hub_ops {
    /* false: it cannot be asked now; nothing will be answered. */
    bool (*heads)(void *arg, const struct api_log_key *keys, size_t count);
    bool (*read)(void *arg, struct hub_read *read); /* read is the implementer's until hub_read_done */
};

struct hub {
    struct hub_ops ops;
    void *arg;
    struct hub_logs logs;
    size_t log_count, member_count;
    bool heads_under_way;
};

struct hub *hub_new(const struct hub_ops *ops, void *arg);
void hub_free(struct hub *hub); /* nobody watches any more */

/* Joins the watchers of the log that `head` was just read of; one without a status is of a caller that has
 * read nothing. ERR_LIMIT. */
int hub_watch(struct hub *hub, const struct hub_head *head, struct hub_member *member, struct err *err);
void hub_unwatch(struct hub_member *member);

/* The run that holds `offset` and ends behind `behind`, for the caller to unref; NULL: it is read now, and
 * wake tells. */
struct hub_run *hub_run_at(struct hub_log *log, int64_t offset, int64_t behind);

/* Ids of jobs separated by blanks; "*" or NULL: all. */
void hub_hint(struct hub *hub, const char *payload);
void hub_tick(struct hub *hub);

/* result NULL: it failed. */
void hub_heads_done(struct hub *hub, const PGresult *result);
void hub_heads_take(struct hub *hub, const struct api_head *heads, size_t count);
/* chunks as the database gave them (taken over, also the array's contents); count 0 with ok false: it failed.
 */
void hub_read_done(struct hub_read *read, bool ok, struct api_chunk *chunks, size_t count);

#endif
