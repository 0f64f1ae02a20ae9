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
#include "proto/fault_points.h"
#include "proto/launch.h"
#include "runner/job_parts.h"
#include "runner/launch_file.h"
#include "runner/patience.h"
#include "runner/system_log.h"
#include "runner/witness.h"

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

void job_back_off(struct job *job, const struct ctx *until, int64_t *pause_ms) {
    *pause_ms = *pause_ms ? 2 * *pause_ms : JOB_BACKOFF_FIRST_MS;
    if (*pause_ms > JOB_BACKOFF_MAX_MS)
        *pause_ms = JOB_BACKOFF_MAX_MS;
    orders_pause(job->orders, until, *pause_ms);
}

int job_agree(struct job *job, const struct ctx *ctx, struct err *err) {
    return engine_api_version(job->engine)[0] ? 0 : engine_negotiate(job->engine, ctx, err);
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
    for (size_t i = 0; i < ARRAY_LEN(job->image_fds); i++)
        job->image_fds[i] = -1;
    job->place = *place;
    job->dir = mem_printf("%s/%s", place->attempts_dir, place->name);
    if (attempt_lock(attempts_fd, place->name, &job->dir_fd, err) < 0 ||
        attempt_load(job->dir_fd, &job->attempt, err) < 0 ||
        journal_read(job->dir_fd, &job->journal, err) < 0)
        return -1;
    part_init(&job->main, job, NULL);
    services_open(job);
    job->resumed = journal_has(&job->journal, JOURNAL_PULLED);
    job->evidence.spec = job->attempt->spec;
    job->main.create_sent = job->main.start_sent = journal_has(&job->journal, JOURNAL_CREATED);
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
    if (job_agree(job, &ctx, err) < 0) {
        ctx_own_deadline(&job->orders->live, "reach the engine", err);
        return -1;
    }
    if (job_prepare(job, err) < 0 || services_start(job, err) < 0)
        return -1;
    if (!journal_has(&job->journal, JOURNAL_CREATED) && job_create(job, err) < 0)
        return -1;
    return services_await_ready(job, err) < 0 ? -1 : job_start(job, err);
}

/* How many steps towards the start the engine has helped with up to now. */
static size_t progress(const struct job *job) {
    size_t steps = job->journal.used + (job->main.image[0] != '\0') + (job->start_by_ns != 0);
    for (size_t i = 0; i < job->services.count; i++)
        steps +=
            (size_t)(job->services.items[i].part.image[0] != '\0') + (job->services.items[i].started_ns != 0);
    return steps;
}

/* An engine that is away, or a host that is short of something: memory, descriptors, room on a disk. */
static bool may_pass(const struct err *err) {
    return err->kind == ERR_AWAY || err->kind == ERR_SYS;
}

/* 0: started. 1: it will not be; the evidence says why. -1: the journal is broken. */
static int prepare(struct job *job, struct err *err) {
    int64_t pause_ms = 0;
    struct patience patience = {0};
    for (;;) {
        *err = (struct err){0};
        if (prepare_once(job, err) == 0)
            return 0;
        if (job->journal_broken)
            return -1;
        if (job->evidence.fault != REASON_NONE)
            return 1;
        if (!may_pass(err) || !patience_lasts(&patience, progress(job), clock_boot_ns())) {
            fault_of(job, err);
            return 1;
        }
        if (!pause_ms)
            log_warn(err->kind == ERR_AWAY ? "engine is away, trying again"
                                           : "job cannot be prepared now, trying again",
                     LERR(err));
        job_back_off(job, &job->orders->live, &pause_ms);
    }
}

/* Under a start that may be under way only the removal is sure to prevent it. What cannot be removed for so
 * long, and does not run, will not be started any more; the clean-up deals with it. */
static int remove_or_see_dead(struct job *job, struct err *err) {
    for (;;) {
        struct ctx ctx = orders_fresh(job->orders, JOB_CLEAN_MAX_MS);
        if (part_remove(&job->main, &ctx, err) == 0)
            return 0;
        log_warn("container not removed, looking whether it runs", LERR(err));
        if (part_look(&job->main, NULL) != PART_SEEN_RUNNING)
            return 0;
    }
}

/* The command was not started and must not be any more, come what may. */
static int abandon(struct job *job, struct err *err) {
    struct evidence *e = &job->evidence;
    bool services_may_run = job->services.count && journal_has(&job->journal, JOURNAL_PULLED);
    if (!job->main.create_sent && !services_may_run)
        return 0;
    if (e->stop != REASON_NONE && !journal_has(&job->journal, JOURNAL_STOPPING) &&
        job_note(job, JOURNAL_STOPPING, json_pack("{s:s}", "cause", reason_name(e->stop)), err) < 0)
        return -1;
    services_stop(job);
    if (!job->main.start_sent || e->fault != REASON_NONE)
        return 0; /* no start is under way; one that is only created harms nobody until the clean-up */
    return remove_or_see_dead(job, err);
}

/* A stop that an earlier runner has begun before there was a start; false: there was none, or it came too
 * late. */
static bool stopped_before_start(struct job *job) {
    if (!journal_has(&job->journal, JOURNAL_STOPPING) || journal_has(&job->journal, JOURNAL_STARTED))
        return false;
    enum part_seen seen = part_look(&job->main, NULL);
    job->evidence.stop = job->journal.stopping;
    return seen == PART_SEEN_CREATED || seen == PART_SEEN_MISSING;
}

/* Up to the point where nothing runs any more and the evidence is complete but for init's record. */
static int drive(struct job *job, struct err *err) {
    if (journal_has(&job->journal, JOURNAL_EXITED))
        return 0;
    if (stopped_before_start(job))
        return abandon(job, err);
    if (job_take_over_start(job, err) < 0)
        return -1;
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

/* What was seen of the main container, for the verdict. */
static void take_main(struct job *job, struct evidence *e) {
    const struct part *m = &job->main;
    struct err why = {0};
    int end = e->started ? part_end(m, &e->end, NULL, &why) : 0;
    if (end < 0)
        job_fault(job, REASON_INTERNAL, "How the command ended was written down but cannot be read: %.400s.",
                  why.text);
    e->killed = m->killed;
    e->forced = job->orders->force;
    e->paused = m->was_paused;
    e->end_known = end > 0;
    /* Where a call of ours broke off, init's word that a signal came from outside says that it arrived. */
    bool arrived = m->signal_unsure && e->end_known && e->end.signal_outside;
    e->stop_missed = m->stop_missed && !arrived;
    if (e->started && !e->end_known && !m->inspected)
        e->container_missing = part_look(&job->main, NULL) == PART_SEEN_MISSING;
    e->inspected = m->inspected;
    e->engine_exit_code = m->engine_exit_code;
    e->engine_oom_killed = m->engine_oom_killed;
    snprintf(e->engine_error, sizeof e->engine_error, "%s", m->engine_error);
}

static void subtract(int64_t *whole, int64_t part) {
    if (*whole >= 0 && part > 0)
        *whole = *whole > part ? *whole - part : 0;
}

/* What all but the main container have used. Where init's record is missing, the kernel's figures of the
 * attempt's group stand in, with the main container's own taken off. */
static void take_others(struct job *job, struct evidence *e) {
    bool whole = services_usage(job, &e->others);
    job_name_group(job);
    if (!e->started || (whole && e->end_known) || !job->cgroup[0])
        return;
    struct usage group;
    limits_usage(job->cgroup, &group);
    if (group.cpu_us < 0)
        return;
    if (e->end_known) {
        subtract(&group.cpu_us, e->end.cpu_us);
        subtract(&group.memory_peak_bytes, e->end.memory_peak_bytes);
        subtract(&group.pids_peak, e->end.pids_peak);
        subtract(&group.oom_kills, e->end.oom_kills);
        subtract(&group.throttled_us, e->end.throttled_us);
    }
    e->others = group;
}

static int conclude(struct job *job, struct err *err) {
    struct evidence *e = &job->evidence;
    char boot_id[CLOCK_BOOT_ID_MAX];
    e->started = journal_has(&job->journal, JOURNAL_STARTED);
    take_main(job, e);
    take_others(job, e);
    if (e->stop == REASON_NONE && e->fault == REASON_NONE && !e->stop_missed)
        e->stop = job->journal.stopping;
    if (!e->stop_text[0])
        snprintf(e->stop_text, sizeof e->stop_text, "%.*s", (int)sizeof e->stop_text - 1,
                 job->journal.stopping_text);
    read_program(job, e);
    e->host_restarted =
        e->started && clock_boot_id(boot_id, NULL) == 0 && strcmp(boot_id, job->journal.started_boot_id) != 0;
    e->extended_ms = job->journal.extended_ms;
    const struct witness_case what = {.engine = job->engine,
                                      .orders = job->orders,
                                      .container = job->main.container,
                                      .since_us = job->journal.time_us[JOURNAL_CREATED],
                                      .lost_touch = job->main.lost_touch};
    witness_gather(&what, e);
    struct verdict verdict;
    verdict_decide(e, &verdict);
    return job_note(job, JOURNAL_VERDICT, journal_verdict_fields(&verdict), err);
}

/* The containers are removed: what runs in the group all the same has been forgotten by the engine. What does
 * not die at once is the reaper's affair. */
static void clean_group(struct job *job, const struct ctx *ctx) {
    struct err err = {0};
    job_name_group(job);
    for (int64_t pause_ms = 0; limits_clear(job->cgroup, &err) < 0; job_back_off(job, ctx, &pause_ms))
        if (err.kind != ERR_AWAY || pause_ms >= JOB_GROUP_PAUSE_MAX_MS || ctx_state(ctx) != CTX_LIVE) {
            log_warn("control group of the attempt not removed", LERR(&err));
            return;
        }
}

/* What the engine refuses, as for a network that someone else is attached to, does not get better soon. */
static int remove_network(struct job *job, const struct ctx *ctx, struct err *err) {
    enum { SERVER_ERROR = 500 };
    const struct net_place place = job_net_place(job);
    for (int64_t pause_ms = 0;; job_back_off(job, ctx, &pause_ms)) {
        struct ctx call = ctx_child(ctx);
        ctx_deadline_in(&call, JOB_CALL_MAX_MS);
        if (net_private_remove(&place, &call, err) == 0)
            return 0;
        if (ctx_state(ctx) != CTX_LIVE || (err->kind == ERR_ENGINE && err->code < SERVER_ERROR))
            return -1;
        log_warn("network not removed yet, trying again", LERR(err));
    }
}

/* All that bears the attempt's name on the engine, whoever made it. */
static int clean_engine(struct job *job, const struct ctx *ctx, struct err *err) {
    if (part_remove(&job->main, ctx, err) < 0)
        return -1;
    FAULT(RUNNER_MAIN_REMOVED);
    if (services_remove(job, ctx, err) < 0)
        return -1;
    FAULT(RUNNER_PARTS_REMOVED);
    if (job->attempt->spec->network == SPEC_NETWORK_PRIVATE && remove_network(job, ctx, err) < 0)
        return -1;
    FAULT(RUNNER_ENGINE_CLEAN);
    return 0;
}

/* Nothing runs any more, so the end is true; but the engine does not remove what is left. The reaper finds it
 * by its labels when the attempt is over. */
static json_t *hand_over(const struct job *job, const struct err *why) {
    log_error("left on the engine for the reaper", LERR(why));
    system_log(
        job->dir_fd,
        "What the job leaves on the engine could not be removed: %.400s. Nothing of it runs any more; the "
        "reaper goes on with it.",
        why->text);
    return json_pack("{s:o}", "left", journal_text(why->text));
}

static int clean(struct job *job, struct err *err) {
    struct ctx ctx = orders_fresh(job->orders, JOB_CLEAN_MAX_MS);
    bool made = job->main.create_sent || journal_has(&job->journal, JOURNAL_PULLED);
    json_t *left = NULL;
    if (made && clean_engine(job, &ctx, err) < 0)
        left = hand_over(job, err);
    if (made)
        clean_group(job, &ctx);
    return job_note(job, JOURNAL_CLEANED, left, err);
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
    services_close(job);
    mounts_done(&job->mounts);
    attempt_free(job->attempt);
    free(job->dir);
    for (size_t i = 0; i < ARRAY_LEN(job->image_fds); i++)
        if (job->image_fds[i] >= 0)
            close(job->image_fds[i]);
    if (job->dir_fd >= 0)
        close(job->dir_fd);
    free(job);
}
