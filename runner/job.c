#include "runner/job.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/launch.h"
#include "runner/job_parts.h"
#include "runner/launch_file.h"

static int spool_end(struct job *job) {
    AUTO_FD int fd = openat(job->dir_fd, ATTEMPT_SPOOL, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    return spool_read_end(fd, &job->evidence.end);
}

int job_note(struct job *job, enum journal_step step, json_t *fields, struct err *err) {
    if (journal_append(job->dir_fd, &job->journal, step, fields, err) == 0)
        return 0;
    job->journal_broken = true;
    return -1;
}

int job_fault(struct job *job, enum reason reason, const char *fmt, ...) {
    job->evidence.fault = reason;
    va_list args;
    va_start(args, fmt);
    vsnprintf(job->evidence.fault_text, sizeof job->evidence.fault_text, fmt, args);
    va_end(args);
    return -1;
}

bool job_owns(const struct job *job, const json_t *labels) {
    const struct attempt *a = job->attempt;
    char number[24];
    char token[24];
    snprintf(number, sizeof number, "%d", a->number);
    snprintf(token, sizeof token, "%" PRId64, a->token);
    const char *const wanted[][2] = {{LABEL_CLUSTER, a->cluster},
                                     {LABEL_JOB, a->job},
                                     {LABEL_ATTEMPT, number},
                                     {LABEL_TOKEN, token},
                                     {LABEL_ROLE, ROLE_MAIN}};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        const char *value = container_label(labels, wanted[i][0]);
        if (!value || strcmp(value, wanted[i][1]) != 0)
            return false;
    }
    return true;
}

void job_back_off(struct job *job, const struct ctx *until, int64_t *pause_ms) {
    *pause_ms = *pause_ms ? 2 * *pause_ms : JOB_BACKOFF_FIRST_MS;
    if (*pause_ms > JOB_BACKOFF_MAX_MS)
        *pause_ms = JOB_BACKOFF_MAX_MS;
    orders_pause(job->orders, until, *pause_ms);
}

static enum job_seen seen_of(struct job *job, const struct container_info *info) {
    if (!job_owns(job, info->labels))
        return JOB_SEEN_MISSING;
    if (info->running || info->paused)
        return JOB_SEEN_RUNNING;
    if (strcmp(info->status, "removing") == 0 || strcmp(info->status, "dead") == 0)
        return JOB_SEEN_MISSING; /* as good as: `docker rm -f` kills first */
    if (!info->started_us)
        return JOB_SEEN_CREATED;
    struct evidence *e = &job->evidence;
    e->inspected = true;
    e->engine_exit_code = info->exit_code;
    e->engine_oom_killed = info->oom_killed;
    snprintf(e->engine_error, sizeof e->engine_error, "%s", info->error);
    return JOB_SEEN_ENDED;
}

/* Once per runner; what was done before this one came, it has to agree on anew. */
static int agree(struct job *job, const struct ctx *ctx, struct err *err) {
    return engine_api_version(job->engine)[0] ? 0 : engine_negotiate(job->engine, ctx, err);
}

enum job_seen job_look(struct job *job, char **ret_image) {
    for (int64_t pause_ms = 0;; job_back_off(job, NULL, &pause_ms)) {
        AUTO_CONTAINER_INFO struct container_info info = {0};
        struct err err = {0};
        struct ctx ctx = orders_fresh(job->orders, JOB_CALL_MAX_MS);
        bool agreed = agree(job, &ctx, &err) == 0;
        if (agreed && container_inspect(job->engine, &ctx, job->container_name, &info, &err) == 0) {
            enum job_seen seen = seen_of(job, &info);
            if (ret_image && seen != JOB_SEEN_MISSING)
                *ret_image = mem_strdup(info.image);
            return seen;
        }
        if (agreed && engine_status_is(&err, 404))
            return JOB_SEEN_MISSING;
        if (!pause_ms)
            log_warn("engine cannot be asked about the container, asking again",
                     LS("container", job->container_name), LERR(&err));
    }
}

int job_open(const struct job_place *place, struct engine *engine, struct orders *orders,
             struct job **ret_job, struct err *err) {
    AUTO_FD int attempts_fd = open(place->attempts_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (attempts_fd < 0)
        return err_sys(err, "open %s", place->attempts_dir);
    AUTO_JOB struct job *job = mem_alloc(sizeof *job);
    job->engine = engine;
    job->orders = orders;
    job->dir_fd = -1;
    job->dir = mem_printf("%s/%s", place->attempts_dir, place->name);
    job->init_path = mem_strdup(place->init_path);
    if (attempt_lock(attempts_fd, place->name, &job->dir_fd, err) < 0 ||
        attempt_load(job->dir_fd, &job->attempt, err) < 0 ||
        journal_read(job->dir_fd, &job->journal, err) < 0)
        return -1;
    labels_container_name(job->attempt->job, job->attempt->number, ROLE_MAIN, job->container_name);
    job->evidence.spec = job->attempt->spec;
    job->create_sent = job->start_sent = journal_has(&job->journal, JOURNAL_CREATED);
    *ret_job = STEAL(job);
    return 0;
}

/* What an error of the engine before the start means for the job, where no step has said it better. */
static int fault_of(struct job *job, const struct err *err) {
    if (err->kind == ERR_CANCELED)
        job->evidence.stop = job->orders->reason;
    else if (err->kind == ERR_DEADLINE)
        job->evidence.stop = job->stage;
    else if (err->kind == ERR_AWAY)
        return job_fault(job, REASON_ENGINE_UNAVAILABLE, "The engine could not be used for %d s: %.400s",
                         JOB_AWAY_MAX_MS / 1000, err->text);
    else if (err->kind == ERR_ENGINE)
        return job_fault(job, verdict_refusal(err->code, err->text), "The engine refused the job: %.400s",
                         err->text);
    else
        return job_fault(job, REASON_INTERNAL, "The job could not be prepared: %.400s", err->text);
    return -1;
}

static int prepare_once(struct job *job, struct err *err) {
    struct ctx ctx = ctx_child(&job->orders->live);
    ctx_deadline_in(&ctx, JOB_CALL_MAX_MS);
    if (agree(job, &ctx, err) < 0) {
        if (err->kind == ERR_DEADLINE)
            err->kind = ERR_AWAY; /* it does not answer */
        return -1;
    }
    if (!journal_has(&job->journal, JOURNAL_CREATED) &&
        (job_prepare_image(job, err) < 0 || job_create(job, err) < 0))
        return -1;
    return job_start(job, err);
}

/* 0: started. 1: it will not be; the evidence says why. -1: the journal is broken. */
static int prepare(struct job *job, struct err *err) {
    int64_t pause_ms = 0;
    int64_t give_up_ns = 0;
    for (;;) {
        *err = (struct err){0};
        if (prepare_once(job, err) == 0)
            return 0;
        if (job->journal_broken)
            return -1;
        if (job->evidence.fault != REASON_NONE)
            return 1;
        int64_t now_ns = clock_boot_ns();
        if (err->kind == ERR_AWAY && !give_up_ns)
            give_up_ns = now_ns + JOB_AWAY_MAX_MS * NS_PER_MS;
        if (err->kind != ERR_AWAY || now_ns >= give_up_ns) {
            fault_of(job, err);
            return 1;
        }
        if (!pause_ms)
            log_warn("engine is away, trying again", LERR(err));
        job_back_off(job, &job->orders->live, &pause_ms);
    }
}

/* One try. 1: the engine has no container of this attempt; 0: it was told to remove it; -1. */
static int remove_once(struct job *job, const struct ctx *ctx, struct err *err) {
    AUTO_CONTAINER_INFO struct container_info info = {0};
    if (agree(job, ctx, err) < 0)
        return -1;
    if (container_inspect(job->engine, ctx, job->container_name, &info, err) < 0)
        return engine_status_is(err, 404) ? 1 : -1;
    if (!job_owns(job, info.labels))
        return 1;
    return container_remove(job->engine, ctx, info.id, true, true, err);
}

/* Nothing is known to run, but the engine may hold a container: removes it, and looks whether it is gone (the
 * removal may be under way already, asked for by a runner that is dead). 0; -1: not within ctx. */
static int remove_container(struct job *job, const struct ctx *ctx, struct err *err) {
    bool told = false;
    for (int64_t pause_ms = 0;;) {
        struct ctx call = ctx_child(ctx);
        ctx_deadline_in(&call, JOB_CALL_MAX_MS);
        int removed = remove_once(job, &call, err);
        if (removed == 1)
            return 0;
        if (removed == 0 && !told) {
            told = true;
            continue;
        }
        if (ctx_state(ctx) != CTX_LIVE)
            return err_set(err, ERR_DEADLINE, 0, "container %s could not be removed: %.300s",
                           job->container_name, removed < 0 ? err->text : "the engine is still removing it");
        if (removed < 0)
            log_warn("container not removed yet, trying again", LS("container", job->container_name),
                     LERR(err));
        job_back_off(job, ctx, &pause_ms);
    }
}

/* The command was not started and must not be any more, come what may. */
static int abandon(struct job *job, struct err *err) {
    struct evidence *e = &job->evidence;
    if (!job->create_sent)
        return 0;
    if (e->stop != REASON_NONE && !journal_has(&job->journal, JOURNAL_STOPPING) &&
        job_note(job, JOURNAL_STOPPING, json_pack("{s:s}", "cause", reason_name(e->stop)), err) < 0)
        return -1;
    if (!job->start_sent || e->fault != REASON_NONE)
        return 0; /* no start is under way; one that is only created harms nobody until the clean-up */
    struct ctx ctx = ctx_root(&job->orders->watch);
    return remove_container(job, &ctx, err);
}

/* A stop that an earlier runner has begun before there was a start; false: there was none, or it came too
 * late. */
static bool stopped_before_start(struct job *job) {
    if (!journal_has(&job->journal, JOURNAL_STOPPING) || journal_has(&job->journal, JOURNAL_STARTED))
        return false;
    enum job_seen seen = job_look(job, NULL);
    job->evidence.stop = job->journal.stopping;
    return seen == JOB_SEEN_CREATED || seen == JOB_SEEN_MISSING;
}

/* Up to the point where nothing runs any more and the evidence is complete but for init's record. */
static int drive(struct job *job, struct err *err) {
    if (journal_has(&job->journal, JOURNAL_EXITED))
        return 0;
    if (stopped_before_start(job))
        return abandon(job, err);
    if (!journal_has(&job->journal, JOURNAL_STARTED)) {
        int prepared = prepare(job, err);
        if (prepared != 0)
            return prepared < 0 ? -1 : abandon(job, err);
    }
    return job_watch(job, err);
}

/* For the message of a command that could not be executed. */
static void read_program(const struct job *job, struct evidence *e) {
    char bytes[sizeof LAUNCH_VERSION + VERDICT_PROGRAM_MAX];
    AUTO_FD int fd = openat(job->dir_fd, ATTEMPT_LAUNCH, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, bytes, sizeof bytes);
    launch_file_program(bytes, len < 0 ? 0 : (size_t)len, e->program, sizeof e->program);
}

static int conclude(struct job *job, struct err *err) {
    struct evidence *e = &job->evidence;
    char boot_id[CLOCK_BOOT_ID_MAX];
    e->started = journal_has(&job->journal, JOURNAL_STARTED);
    if (e->stop == REASON_NONE && e->fault == REASON_NONE && !e->stop_missed)
        e->stop = job->journal.stopping;
    e->end_known = e->started && spool_end(job) > 0;
    read_program(job, e);
    e->host_restarted =
        e->started && clock_boot_id(boot_id, NULL) == 0 && strcmp(boot_id, job->journal.started_boot_id) != 0;
    if (e->started && !e->end_known && !e->inspected)
        e->container_missing = job_look(job, NULL) == JOB_SEEN_MISSING;
    struct verdict verdict;
    verdict_decide(e, &verdict);
    return job_note(job, JOURNAL_VERDICT, journal_verdict_fields(&verdict), err);
}

static int clean(struct job *job, struct err *err) {
    struct ctx ctx = orders_fresh(job->orders, JOB_CLEAN_MAX_MS);
    if ((job->create_sent || journal_has(&job->journal, JOURNAL_PULLED)) &&
        remove_container(job, &ctx, err) < 0)
        return err_wrap(err, "clean up");
    return job_note(job, JOURNAL_CLEANED, NULL, err);
}

int job_run(struct job *job, struct err *err) {
    if (!journal_has(&job->journal, JOURNAL_VERDICT) && (drive(job, err) < 0 || conclude(job, err) < 0))
        return -1;
    return journal_has(&job->journal, JOURNAL_CLEANED) ? 0 : clean(job, err);
}

const struct attempt *job_attempt(const struct job *job) {
    return job->attempt;
}

const struct journal *job_journal(const struct job *job) {
    return &job->journal;
}

void job_close(struct job *job) {
    if (!job)
        return;
    attempt_free(job->attempt);
    free(job->dir);
    free(job->init_path);
    if (job->dir_fd >= 0)
        close(job->dir_fd);
    free(job);
}
