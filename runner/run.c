#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/launch.h"
#include "runner/docker/image.h"
#include "runner/job_parts.h"

/* An error of a call about a running container that says "not there" or "not running": look, do not try
 * again. */
static bool is_answer(const struct err *err) {
    return engine_status_is(err, 404) || engine_status_is(err, 409);
}

/* Waits for the container's end under ctx. 1: it has ended (or is gone); 0: ctx ended first. An engine that
 * is away is asked until it is back: the job goes on meanwhile. */
static int await_end(struct job *job, const struct ctx *ctx) {
    for (int64_t pause_ms = 0;;) {
        struct container_exit end;
        struct err err = {0};
        int got = container_wait(job->engine, ctx, job->container_name, &end, &err);
        if (got < 0 && (err.kind == ERR_CANCELED || err.kind == ERR_DEADLINE))
            return 0;
        if (got < 0 && !is_answer(&err))
            log_warn("lost touch with the engine while the job runs", LERR(&err));
        if (job_look(job, NULL) != JOB_SEEN_RUNNING)
            return 1;
        job_back_off(job, ctx, &pause_ms);
    }
}

/* init has written down the command's end; its container follows at once unless someone wrote it in init's
 * name. */
static bool ends_by_itself(struct job *job) {
    AUTO_FD int fd = openat(job->dir_fd, ATTEMPT_SPOOL, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct spool_end end;
    if (fd < 0 || spool_read_end(fd, &end) <= 0)
        return false;
    struct ctx ctx = orders_fresh(job->orders, JOB_SETTLE_MAX_MS);
    return await_end(job, &ctx) == 1;
}

/* The job's, else the image's, else SIGTERM. Owned by the caller. */
static char *stop_signal(struct job *job) {
    if (job->attempt->spec->stop.signal)
        return mem_printf("%d", job->attempt->spec->stop.signal);
    AUTO_FREE char *id = NULL;
    AUTO_IMAGE_INFO struct image_info image = {0};
    struct ctx ctx = orders_fresh(job->orders, JOB_CALL_MAX_MS);
    if (job_look(job, &id) == JOB_SEEN_RUNNING && id &&
        image_inspect(job->engine, &ctx, id, &image, NULL) == 0 && image.stop_signal[0])
        return mem_strdup(image.stop_signal);
    return mem_strdup("SIGTERM");
}

/* Sends a signal, trying again as long as the engine is away and ctx lasts. 1: sent; 0: the container does
 * not run; -1: not sent. */
static int send_signal(struct job *job, const struct ctx *ctx, const char *signal) {
    for (int64_t pause_ms = 0;; job_back_off(job, ctx, &pause_ms)) {
        struct err err = {0};
        struct ctx call = ctx_child(ctx);
        ctx_deadline_in(&call, JOB_CALL_MAX_MS);
        if (container_kill(job->engine, &call, job->container_name, signal, &err) == 0)
            return 1;
        if (is_answer(&err) && job_look(job, NULL) != JOB_SEEN_RUNNING)
            return 0;
        if (ctx_state(ctx) != CTX_LIVE)
            return -1;
        log_warn("stop signal not sent yet, trying again", LS("signal", signal), LERR(&err));
        if (err.kind == ERR_ENGINE && err.code < 500)
            return -1; /* a signal that the engine does not know: the kill follows */
    }
}

/* The grace begins with the stop, whichever runner that was; one of another boot does not count any more. */
static int64_t grace_end_ns(const struct job *job) {
    char boot_id[CLOCK_BOOT_ID_MAX];
    bool same_boot = clock_boot_id(boot_id, NULL) == 0 && strcmp(boot_id, job->journal.stopping_boot_id) == 0;
    int64_t begun_ns = same_boot ? job->journal.stopping_boot_ns : clock_boot_ns();
    return begun_ns + job->attempt->spec->stop.grace_ms * NS_PER_MS;
}

/* Stop signal and grace. 1: the container has ended; 0: it has to be killed. */
static int ask_to_end(struct job *job) {
    struct ctx grace = ctx_child(&job->orders->patience);
    ctx_deadline_at(&grace, grace_end_ns(job));
    if (ctx_state(&grace) != CTX_LIVE)
        return 0;
    AUTO_FREE char *signal = stop_signal(job);
    int sent = send_signal(job, &grace, signal);
    job->signaled = sent == 1;
    job->evidence.stop_missed = sent == 0;
    return sent == 0 || await_end(job, &grace) == 1;
}

/* By init, which survives it and writes down how the command ended. False: it did not help. */
static bool kill_by_init(struct job *job) {
    char signal[16];
    snprintf(signal, sizeof signal, "%d", LAUNCH_KILL_SIGNAL);
    struct ctx ctx = orders_fresh(job->orders, JOB_INIT_KILL_WAIT_MS);
    if (send_signal(job, &ctx, signal) != 1)
        return false;
    job->evidence.killed = true;
    return await_end(job, &ctx) == 1;
}

static void kill_until_ended(struct job *job) {
    for (;;) {
        struct ctx ctx = orders_fresh(job->orders, JOB_KILL_WAIT_MS);
        int sent = send_signal(job, &ctx, "KILL");
        if (sent == 1)
            job->evidence.killed = true;
        else if (sent == 0 && !job->evidence.killed && !job->signaled)
            job->evidence.stop_missed = true;
        if (sent == 0 || await_end(job, &ctx) == 1)
            return;
        log_warn("container still runs after a kill, killing again", LS("container", job->container_name));
    }
}

static int stop(struct job *job, enum reason cause, struct err *err) {
    if (!journal_has(&job->journal, JOURNAL_STOPPING) &&
        job_note(job, JOURNAL_STOPPING, json_pack("{s:s}", "cause", reason_name(cause)), err) < 0)
        return -1;
    job->evidence.stop = job->journal.stopping;
    log_info("stopping the job", LS("cause", reason_name(job->evidence.stop)));
    if (!ask_to_end(job) && !kill_by_init(job))
        kill_until_ended(job);
    return 0;
}

/* Under the run deadline, which began with the start, whichever runner that was. */
static enum reason await_end_or_cause(struct job *job) {
    struct ctx ctx = ctx_child(&job->orders->live);
    int64_t run_ms = job->attempt->spec->deadlines.run_ms;
    if (run_ms > 0)
        ctx_deadline_at(&ctx, job->journal.started_boot_ns + run_ms * NS_PER_MS);
    if (await_end(job, &ctx) == 1 || ends_by_itself(job))
        return REASON_NONE;
    return job->orders->canceled ? job->orders->reason : REASON_RUN_DEADLINE;
}

int job_watch(struct job *job, struct err *err) {
    enum reason cause = job->evidence.stop;
    if (journal_has(&job->journal, JOURNAL_STOPPING))
        cause = job->journal.stopping;
    char boot_id[CLOCK_BOOT_ID_MAX];
    bool other_boot = clock_boot_id(boot_id, NULL) == 0 && strcmp(boot_id, job->journal.started_boot_id) != 0;
    bool first_look = !engine_api_version(job->engine)[0] || other_boot || cause != REASON_NONE;
    bool ended = first_look && job_look(job, NULL) != JOB_SEEN_RUNNING;
    if (!ended && cause == REASON_NONE)
        cause = await_end_or_cause(job);
    if (!ended && cause != REASON_NONE && stop(job, cause, err) < 0)
        return -1;
    return job_note(job, JOURNAL_EXITED, NULL, err);
}
