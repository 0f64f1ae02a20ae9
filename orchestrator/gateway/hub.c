#include "orchestrator/gateway/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void copy_text(char *out, size_t max, const char *text) {
    snprintf(out, max, "%s", text ? text : "");
}

void hub_head_copy(const struct api_head *head, struct hub_head *ret) {
    *ret = (struct hub_head){
        .number = head->number,
        .attempt = head->attempt,
        .exit_code = head->exit_code,
        .status_us = head->status_us,
        .attempt_id = head->attempt_id,
        .log_bytes = head->log_bytes,
        .stored_bytes = head->stored_bytes,
        .attempt_exit_code = head->attempt_exit_code,
    };
    copy_text(ret->job, sizeof ret->job, head->job);
    copy_text(ret->status, sizeof ret->status, head->status);
    copy_text(ret->reason, sizeof ret->reason, head->reason);
    copy_text(ret->attempt_status, sizeof ret->attempt_status, head->attempt_status);
    copy_text(ret->sha256, sizeof ret->sha256, head->attempt_sha256);
    copy_text(ret->created_on, sizeof ret->created_on, head->created_on);
    copy_text(ret->services, sizeof ret->services, head->services);
    ret->services_known = head->services;
}

bool hub_head_final(const struct hub_head *head) {
    enum status status;
    return status_parse(head->status, &status) && status_is_terminal(status);
}

bool hub_head_ended(const struct hub_head *head) {
    return *head->attempt_status || hub_head_final(head);
}

static bool head_equal(const struct hub_head *a, const struct hub_head *b) {
    return a->attempt == b->attempt && a->exit_code == b->exit_code && a->attempt_id == b->attempt_id &&
           a->log_bytes == b->log_bytes && strcmp(a->status, b->status) == 0 &&
           strcmp(a->reason, b->reason) == 0 && strcmp(a->attempt_status, b->attempt_status) == 0 &&
           strcmp(a->created_on, b->created_on) == 0 && a->services_known == b->services_known &&
           strcmp(a->services, b->services) == 0;
}

struct hub *hub_new(const struct hub_ops *ops, void *arg) {
    struct hub *hub = mem_alloc(sizeof *hub);
    *hub = (struct hub){.ops = *ops, .arg = arg};
    TAILQ_INIT(&hub->logs);
    return hub;
}

void hub_free(struct hub *hub) {
    free(hub);
}

static struct hub_log *find_log(struct hub *hub, const char *job, int64_t number) {
    struct hub_log *log;
    TAILQ_FOREACH(log, &hub->logs, link)
    if (log->head.number == number && strcmp(log->head.job, job) == 0)
        return log;
    return NULL;
}

static void wake_members(struct hub_log *log) {
    struct hub_member *member;
    TAILQ_FOREACH(member, &log->members, link)
    member->wake(member->arg);
}

static void ask_heads(struct hub *hub);

int hub_watch(struct hub *hub, const struct hub_head *head, struct hub_member *member, struct err *err) {
    struct hub_log *log = find_log(hub, head->job, head->number);
    if (hub->member_count == HUB_MEMBERS_MAX || (!log && hub->log_count == HUB_LOGS_MAX))
        return err_set(err, ERR_LIMIT, 0,
                       "%d viewers and those of %d jobs are served at once; try again later", HUB_MEMBERS_MAX,
                       HUB_LOGS_MAX);
    if (!log) {
        log = mem_alloc(sizeof *log);
        log->hub = hub;
        TAILQ_INIT(&log->members);
        TAILQ_INSERT_TAIL(&hub->logs, log, link);
        hub->log_count++;
        log->head = *head;
        log->dirty = true; /* it may have moved since `head` was read */
    } else if (log->head.log_bytes < head->log_bytes || !*log->head.status) {
        log->head = *head;
        wake_members(log);
    }
    member->log = log;
    TAILQ_INSERT_TAIL(&log->members, member, link);
    hub->member_count++;
    if (log->dirty)
        ask_heads(hub);
    return 0;
}

static void log_free(struct hub_log *log) {
    for (size_t i = 0; i < HUB_RUNS_MAX; i++)
        hub_run_unref(log->runs[i]);
    for (size_t i = 0; i < HUB_READS_MAX; i++)
        if (log->reads[i])
            log->reads[i]->log = NULL;
    TAILQ_REMOVE(&log->hub->logs, log, link);
    log->hub->log_count--;
    free(log);
}

void hub_unwatch(struct hub_member *member) {
    struct hub_log *log = member->log;
    if (!log)
        return;
    member->log = NULL;
    TAILQ_REMOVE(&log->members, member, link);
    log->hub->member_count--;
    if (TAILQ_EMPTY(&log->members))
        log_free(log);
}

/* --- How logs stand --- */

static void ask_heads(struct hub *hub) {
    struct api_log_key keys[API_HEADS_MAX];
    size_t count = 0;
    struct hub_log *log;
    if (hub->heads_under_way)
        return;
    TAILQ_FOREACH(log, &hub->logs, link) {
        if (!log->dirty || count == API_HEADS_MAX)
            continue;
        keys[count++] = (struct api_log_key){log->head.job, log->head.number};
        log->dirty = false;
        log->asked = true;
    }
    hub->heads_under_way = count > 0 && hub->ops.heads(hub->arg, keys, count);
    if (count == 0 || hub->heads_under_way)
        return;
    TAILQ_FOREACH(log, &hub->logs, link) {
        if (!log->asked)
            continue;
        log->asked = false; /* or the answer to another question would call it missing */
        log->dirty = true;
    }
}

void hub_hint(struct hub *hub, const char *payload) {
    struct hub_log *log;
    bool all = !payload || strcmp(payload, "*") == 0;
    TAILQ_FOREACH(log, &hub->logs, link)
    if (all || strstr(payload, log->head.job))
        log->dirty = true;
    ask_heads(hub);
}

/* A log that stands still is still watched: its bytes are not kept for that. */
static void drop_idle_runs(struct hub_log *log) {
    for (size_t i = 0; i < HUB_RUNS_MAX; i++) {
        struct hub_run *run = log->runs[i];
        if (run && !run->used)
            hub_run_unref(STEAL(log->runs[i]));
        else if (run)
            run->used = false;
    }
}

void hub_tick(struct hub *hub) {
    struct hub_log *log;
    TAILQ_FOREACH(log, &hub->logs, link) {
        drop_idle_runs(log);
        if (log->stalled)
            wake_members(log);
        log->stalled = false;
    }
    hub_hint(hub, NULL);
}

static void take_head(struct hub *hub, const struct api_head *head) {
    struct hub_log *log = find_log(hub, head->job, head->number);
    struct hub_head now;
    if (!log)
        return;
    log->asked = false;
    log->missing = false;
    hub_head_copy(head, &now);
    if (head_equal(&log->head, &now))
        return;
    log->head = now;
    wake_members(log);
}

void hub_heads_take(struct hub *hub, const struct api_head *heads, size_t count) {
    struct hub_log *log;
    hub->heads_under_way = false;
    for (size_t i = 0; i < count; i++)
        take_head(hub, &heads[i]);
    TAILQ_FOREACH(log, &hub->logs, link) {
        if (!log->asked)
            continue;
        log->asked = false; /* no row: there is no such job any more */
        log->missing = true;
        wake_members(log);
    }
    ask_heads(hub);
}

void hub_heads_done(struct hub *hub, const PGresult *result) {
    struct hub_log *log;
    if (!result) { /* the next tick asks again */
        hub->heads_under_way = false;
        TAILQ_FOREACH(log, &hub->logs, link)
        log->asked = false;
        return;
    }
    struct api_head heads[API_HEADS_MAX];
    size_t count = (size_t)PQntuples(result);
    if (count > API_HEADS_MAX)
        count = API_HEADS_MAX;
    for (size_t i = 0; i < count; i++)
        api_read_head(result, (int)i, &heads[i]);
    hub_heads_take(hub, heads, count);
}

/* --- What lies in them --- */

void hub_run_unref(struct hub_run *run) {
    if (!run || --run->refs > 0)
        return;
    for (size_t i = 0; i < run->count; i++)
        api_chunk_done(&run->chunks[i]);
    free(run);
}

static void start_read(struct hub_log *log, int64_t offset) {
    struct hub_read **slot = NULL;
    for (size_t i = 0; i < HUB_READS_MAX; i++) {
        if (log->reads[i] && log->reads[i]->offset == offset)
            return;
        if (!log->reads[i])
            slot = &log->reads[i];
    }
    if (!slot || log->head.attempt_id == 0)
        return; /* the end of another read, or the next head, wakes the viewer, and it asks again */
    struct hub_read *read = mem_alloc(sizeof *read);
    *read = (struct hub_read){.hub = log->hub,
                              .log = log,
                              .attempt_id = log->head.attempt_id,
                              .offset = offset,
                              .known_end = log->head.log_bytes};
    memcpy(read->created_on, log->head.created_on, sizeof read->created_on);
    *slot = read;
    if (!log->hub->ops.read(log->hub->arg, read)) {
        *slot = NULL;
        log->stalled = true;
        free(read);
    }
}

struct hub_run *hub_run_at(struct hub_log *log, int64_t offset, int64_t behind) {
    for (size_t i = 0; i < HUB_RUNS_MAX; i++) {
        struct hub_run *run = log->runs[i];
        if (run && run->start <= offset && offset < run->end && run->end > behind) {
            run->refs++;
            run->used = true;
            return run;
        }
    }
    start_read(log, offset);
    return NULL;
}

static int64_t chunk_end(const struct api_chunk *chunk) {
    return chunk->offset + (chunk->bytes ? (int64_t)chunk->len : chunk->gap_bytes);
}

static void run_add(struct hub_run *run, struct api_chunk chunk) {
    if (run->count == 0)
        run->start = chunk.offset;
    run->end = chunk_end(&chunk);
    run->chunks[run->count++] = chunk;
}

static void run_add_hole(struct hub_run *run, int64_t from, int64_t to) {
    if (to > from)
        run_add(run, (struct api_chunk){.offset = from, .gap_bytes = to - from, .gap_cause = "log_limit"});
}

/* Puts the chunks in a row and names the holes: what is below the log's end and not there has passed its
 * limit. */
static struct hub_run *run_make(const struct hub_read *read, struct api_chunk *chunks, size_t count) {
    struct hub_run *run = mem_alloc(sizeof *run + (2 * count + 1) * sizeof *run->chunks);
    run->refs = 1;
    run->used = true;
    int64_t at = read->offset;
    for (size_t i = 0; i < count; i++) {
        bool past = chunk_end(&chunks[i]) <= at, overlaps = run->count > 0 && chunks[i].offset < run->end;
        if (past || overlaps) {
            api_chunk_done(&chunks[i]);
            continue;
        }
        if (chunks[i].offset > at)
            run_add_hole(run, at, chunks[i].offset);
        run_add(run, chunks[i]);
        at = run->end;
    }
    if (run->count == 0)
        run_add_hole(run, at, read->known_end);
    return run;
}

void hub_read_done(struct hub_read *read, bool ok, struct api_chunk *chunks, size_t count) {
    struct hub_log *log = read->log;
    for (size_t i = 0; log && i < HUB_READS_MAX; i++)
        if (log->reads[i] == read)
            log->reads[i] = NULL;
    if (!ok || !log) {
        if (log)
            log->stalled = true;
        for (size_t i = 0; i < count; i++)
            api_chunk_done(&chunks[i]);
        free(read);
        return; /* after a failure the tick wakes the viewers */
    }
    struct hub_run *run = run_make(read, chunks, count);
    free(read);
    hub_run_unref(log->runs[log->next_run]);
    log->runs[log->next_run] = run;
    log->next_run = (log->next_run + 1) % HUB_RUNS_MAX;
    wake_members(log);
}
