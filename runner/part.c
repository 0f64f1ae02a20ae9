#include "runner/part.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/fault_points.h"
#include "proto/launch.h"
#include "runner/docker/image.h"
#include "runner/job_parts.h"
#include "runner/license.h"
#include "runner/system_log.h"

void part_init(struct part *part, struct job *job, const struct spec_service *service) {
    const struct attempt *a = job->attempt;
    *part = (struct part){.job = job, .service = service};
    labels_container_name(a->job, a->number, service ? service->name : ROLE_MAIN, part->container);
}

const char *part_name(const struct part *part) {
    return part->service ? part->service->name : ROLE_MAIN;
}

const char *part_file(const struct part *part, const char *file, char out[ATTEMPT_FILE_NAME_MAX]) {
    return attempt_file_name(file, part->service ? part->service->name : NULL, out);
}

static int read_end(const struct part *part, struct spool_end *ret_end, uint64_t *ret_time_us,
                    struct err *err) {
    char name[ATTEMPT_FILE_NAME_MAX];
    part_file(part, ATTEMPT_SPOOL, name);
    AUTO_FD int fd = openat(part->job->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return 0;
    int there = fd < 0 ? -1 : spool_read_end(fd, ret_end, ret_time_us);
    return there < 0 ? err_sys(err, "read the last record of %s", name) : there;
}

int part_end(const struct part *part, struct spool_end *ret_end, uint64_t *ret_time_us, struct err *err) {
    struct ctx ctx = orders_fresh(part->job->orders, JOB_READ_MAX_MS);
    for (int64_t pause_ms = 0;; job_back_off(part->job, &ctx, &pause_ms)) {
        struct err why = {0};
        int there = read_end(part, ret_end, ret_time_us, &why);
        if (there < 0 && !pause_ms)
            log_warn("init's record cannot be read, reading again", LS("container", part->container),
                     LERR(&why));
        if (there < 0 && ctx_state(&ctx) == CTX_LIVE)
            continue;
        if (there < 0 && err)
            *err = why;
        return there;
    }
}

/* --- what is there --- */

bool part_owns(const struct part *part, const json_t *labels) {
    const struct attempt *a = part->job->attempt;
    char number[24];
    char token[24];
    snprintf(number, sizeof number, "%d", a->number);
    snprintf(token, sizeof token, "%" PRId64, a->token);
    const char *const wanted[][2] = {{LABEL_CLUSTER, a->cluster},
                                     {LABEL_JOB, a->job},
                                     {LABEL_ATTEMPT, number},
                                     {LABEL_TOKEN, token},
                                     {LABEL_ROLE, part->service ? ROLE_SERVICE : ROLE_MAIN},
                                     {LABEL_SERVICE, part->service ? part->service->name : NULL}};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        const char *value = container_label(labels, wanted[i][0]);
        if (wanted[i][1] && (!value || strcmp(value, wanted[i][1]) != 0))
            return false;
    }
    return true;
}

static enum part_seen seen_of(struct part *part, const struct container_info *info) {
    if (!part_owns(part, info->labels))
        return PART_SEEN_MISSING;
    part->started_us = info->started_us;
    part->paused = info->paused;
    if (info->running || info->paused)
        return PART_SEEN_RUNNING;
    if (strcmp(info->status, "removing") == 0 || strcmp(info->status, "dead") == 0)
        return PART_SEEN_MISSING; /* as good as: `docker rm -f` kills first */
    if (!info->started_us)
        return PART_SEEN_CREATED;
    part->inspected = true;
    part->engine_exit_code = info->exit_code;
    part->engine_oom_killed = info->oom_killed;
    part->finished_us = info->finished_us;
    snprintf(part->engine_error, sizeof part->engine_error, "%s", info->error);
    return PART_SEEN_ENDED;
}

enum part_seen part_look(struct part *part, char **ret_image) {
    struct job *job = part->job;
    for (int64_t pause_ms = 0;; job_back_off(job, NULL, &pause_ms)) {
        AUTO_CONTAINER_INFO struct container_info info = {0};
        struct err err = {0};
        struct ctx ctx = orders_fresh(job->orders, JOB_CALL_MAX_MS);
        bool agreed = job_agree(job, &ctx, &err) == 0;
        if (agreed && container_inspect(job->engine, &ctx, part->container, &info, &err) == 0) {
            enum part_seen seen = seen_of(part, &info);
            if (ret_image && seen != PART_SEEN_MISSING)
                *ret_image = mem_strdup(info.image);
            return seen;
        }
        if (agreed && engine_status_is(&err, 404))
            return PART_SEEN_MISSING;
        if (!pause_ms)
            log_warn("engine cannot be asked about the container, asking again",
                     LS("container", part->container), LERR(&err));
    }
}

/* --- the start --- */

/* What became of a container that may have been started, by us just now or by a runner before. 0: started;
 * 1: not. */
static int settle_start(struct part *part) {
    switch (part_look(part, NULL)) {
    case PART_SEEN_RUNNING:
    case PART_SEEN_ENDED:
        return 0;
    case PART_SEEN_MISSING:
        return job_fault(
            part->job, REASON_CONTAINER_REMOVED,
            "The container %s was removed by someone else around its start (`docker rm`, a prune job?).",
            part->container);
    case PART_SEEN_CREATED:
        break;
    }
    return 1;
}

static bool says(const struct err *err, const char *const words[], size_t count) {
    for (size_t i = 0; err->kind == ERR_ENGINE && i < count; i++)
        if (strstr(err->text, words[i]))
            return true;
    return false;
}

/* An engine that was killed while it started the container finds what containerd has made of it in its way
 * and will never start it (moby, libcontainerd: "task <id>: already exists", "id already in use"). Whether
 * the command has begun nobody can say; what is left of it is killed with the attempt's control group. */
static bool is_forgotten(const struct err *err) {
    static const char *const words[] = {": already exists", "id already in use"};
    return says(err, words, ARRAY_LEN(words));
}

/* It did not wait for its own parts, as after a time in which all of it stood still (moby, containerd's shim:
 * "context deadline exceeded", "ttrpc: closed"); or it has two networks of one name, and whoever made the
 * second is about to remove it. */
static bool may_work_later(const struct err *err) {
    static const char *const words[] = {"context deadline exceeded", "ttrpc: closed", "is ambiguous"};
    return says(err, words, ARRAY_LEN(words));
}

/* The start deadline stands still meanwhile: *ret_ctx is under the later one. */
static int await_license(struct job *job, struct ctx *ret_ctx, struct err *err) {
    int64_t waited_ns;
    if (!job->place.licensed)
        return 0;
    if (license_await(job->orders, &waited_ns, err) < 0)
        return -1;
    job->start_by_ns += waited_ns;
    *ret_ctx = job_start_ctx(job);
    return 0;
}

int part_start(struct part *part, const struct ctx *ctx, const char *id, struct err *err) {
    if (part->start_sent) {
        int settled = settle_start(part);
        if (settled <= 0)
            return settled;
    }
    struct ctx now = *ctx;
    if (!part->service && await_license(part->job, &now, err) < 0)
        return -1;
    if (ctx_check(&now, "start", err) < 0)
        return -1;
    part->start_sent = true;
    if (container_start(part->job->engine, &now, id, err) == 0)
        return 0;
    if (is_forgotten(err))
        return job_fault(
            part->job, REASON_ENGINE_RESTARTED,
            "The engine was restarted while it started the container %s, and does not know it any "
            "more: %.300s",
            part->container, err->text);
    if (may_work_later(err))
        err->kind = ERR_AWAY;
    if (settle_start(part) != 0)
        return -1;
    return err->kind == ERR_DEADLINE ? 1 : 0;
}

/* --- the end --- */

/* An error of a call about a running container that says "not there" or "not running": look, do not try
 * again. */
static bool is_answer(const struct err *err) {
    return engine_status_is(err, 404) || engine_status_is(err, 409);
}

int part_await_end(struct part *part, const struct ctx *ctx) {
    for (int64_t pause_ms = 0;;) {
        struct container_exit end;
        struct err err = {0};
        struct ctx call = ctx_child(ctx);
        ctx_deadline_in(&call, JOB_WAIT_MAX_MS);
        int got = container_wait(part->job->engine, &call, part->container, &end, &err);
        if (got < 0 && ctx_state(ctx) != CTX_LIVE)
            return 0;
        if (got < 0 && err.kind == ERR_DEADLINE) {
            pause_ms = 0; /* nothing is wrong; the next wait follows at once, or nearly so */
        } else if (got < 0 && !is_answer(&err)) {
            part->lost_touch |= err.kind == ERR_AWAY;
            log_warn("lost touch with the engine while the job runs", LERR(&err));
        }
        if (part_look(part, NULL) != PART_SEEN_RUNNING)
            return 1;
        job_back_off(part->job, ctx, &pause_ms);
    }
}

bool part_ends_by_itself(struct part *part) {
    struct spool_end end;
    if (part_end(part, &end, NULL, NULL) <= 0)
        return false;
    struct ctx ctx = orders_fresh(part->job->orders, JOB_SETTLE_MAX_MS);
    return part_await_end(part, &ctx) == 1;
}

int part_signal(struct part *part, const struct ctx *ctx, const char *signal) {
    for (int64_t pause_ms = 0;; job_back_off(part->job, ctx, &pause_ms)) {
        struct err err = {0};
        struct ctx call = ctx_child(ctx);
        ctx_deadline_in(&call, JOB_CALL_MAX_MS);
        if (container_kill(part->job->engine, &call, part->container, signal, &err) == 0)
            return 1;
        part->signal_unsure |= err.kind != ERR_ENGINE;
        if (is_answer(&err) && part_look(part, NULL) != PART_SEEN_RUNNING)
            return 0;
        if (ctx_state(ctx) != CTX_LIVE)
            return -1;
        log_warn("stop signal not sent yet, trying again", LS("signal", signal), LERR(&err));
        if (err.kind == ERR_ENGINE && err.code < 500)
            return -1; /* a signal that the engine does not know: the kill follows */
    }
}

/* The given one, else the image's, else SIGTERM. Owned by the caller. */
static char *stop_signal(struct part *part, int signal) {
    if (signal)
        return mem_printf("%d", signal);
    AUTO_FREE char *id = NULL;
    AUTO_IMAGE_INFO struct image_info image = {0};
    struct ctx ctx = orders_fresh(part->job->orders, JOB_CALL_MAX_MS);
    if (part_look(part, &id) == PART_SEEN_RUNNING && id &&
        image_inspect(part->job->engine, &ctx, id, &image, NULL) == 0 && image.stop_signal[0])
        return mem_strdup(image.stop_signal);
    return mem_strdup("SIGTERM");
}

/* Stop signal and grace. 1: the container has ended; 0: it has to be killed. */
static int ask_to_end(struct part *part, int signal, int64_t grace_end_ns) {
    struct ctx grace = ctx_child(&part->job->orders->patience);
    ctx_deadline_at(&grace, grace_end_ns);
    if (ctx_state(&grace) != CTX_LIVE)
        return 0;
    AUTO_FREE char *text = stop_signal(part, signal);
    int sent = part_signal(part, &grace, text);
    part->signaled = sent == 1;
    part->stop_missed = sent == 0;
    FAULT_IF(sent == 1, RUNNER_STOP_SENT);
    return sent == 0 || part_await_end(part, &grace) == 1;
}

/* By init, which survives it and writes down how the command ended. False: it did not help. */
static bool kill_by_init(struct part *part) {
    char signal[16];
    snprintf(signal, sizeof signal, "%d", LAUNCH_KILL_SIGNAL);
    FAULT(RUNNER_KILLING);
    struct ctx call = orders_fresh(part->job->orders, JOB_INIT_KILL_WAIT_MS);
    if (part_signal(part, &call, signal) != 1)
        return false;
    part->killed = true;
    FAULT(RUNNER_KILLED);
    /* Its time begins when it was told to: what the engine took for that is not its fault. */
    struct ctx end = orders_fresh(part->job->orders, JOB_INIT_KILL_WAIT_MS);
    return part_await_end(part, &end) == 1;
}

/* Once, when it is long enough to be strange: a process that hangs in the kernel, or an engine that does. */
static void tell_it_survives(const struct part *part) {
    log_error("container does not end though it was killed again and again",
              LS("container", part->container));
    system_log(
        part->job->dir_fd,
        "The container %s does not end though it was killed again and again for %d s: a process that "
        "hangs in the kernel (a network file system?), or the engine does. It is killed on; the job ends "
        "when it is dead.",
        part->container, JOB_KILL_TELL_MS / 1000);
}

static void kill_until_ended(struct part *part) {
    int64_t tell_ns = clock_boot_ns() + JOB_KILL_TELL_MS * NS_PER_MS;
    for (bool told = false;;) {
        struct ctx ctx = orders_fresh(part->job->orders, JOB_KILL_WAIT_MS);
        int sent = part_signal(part, &ctx, "KILL");
        if (sent == 1)
            part->killed = true;
        else if (sent == 0 && !part->killed && !part->signaled)
            part->stop_missed = true;
        if (sent == 0 || part_await_end(part, &ctx) == 1)
            return;
        log_warn("container still runs after a kill, killing again", LS("container", part->container));
        if (!told && clock_boot_ns() >= tell_ns) {
            told = true;
            tell_it_survives(part);
        }
    }
}

static void resume(struct part *part) {
    struct err err = {0};
    struct ctx ctx = orders_fresh(part->job->orders, JOB_CALL_MAX_MS);
    if (part_look(part, NULL) != PART_SEEN_RUNNING || !part->paused)
        return;
    part->was_paused = true;
    if (container_unpause(part->job->engine, &ctx, part->container, &err) < 0)
        log_warn("container is paused and cannot be resumed", LS("container", part->container), LERR(&err));
}

void part_stop(struct part *part, int signal, int64_t grace_end_ns) {
    resume(part);
    if (!ask_to_end(part, signal, grace_end_ns) && !kill_by_init(part))
        kill_until_ended(part);
}

/* --- the removal --- */

/* One try. 1: the engine has no container of this part; 0: it was told to remove it; -1. */
static int remove_once(const struct part *part, const struct ctx *ctx, struct err *err) {
    struct job *job = part->job;
    AUTO_CONTAINER_INFO struct container_info info = {0};
    if (job_agree(job, ctx, err) < 0)
        return -1;
    if (container_inspect(job->engine, ctx, part->container, &info, err) < 0)
        return engine_status_is(err, 404) ? 1 : -1;
    if (!part_owns(part, info.labels))
        return 1;
    FAULT(RUNNER_REMOVING);
    return container_remove(job->engine, ctx, info.id, true, true, err);
}

int part_remove(struct part *part, const struct ctx *ctx, struct err *err) {
    bool told = false;
    struct err why = {.text = "the engine does not say why"};
    for (int64_t pause_ms = 0;;) {
        struct ctx call = ctx_child(ctx);
        ctx_deadline_in(&call, JOB_CALL_MAX_MS);
        int removed = remove_once(part, &call, err);
        if (removed < 0 && ctx_state(ctx) == CTX_LIVE)
            why = *err; /* of more use than that the time was over during the last try */
        if (removed == 1)
            return 0;
        if (removed == 0 && !told) {
            told = true;
            continue;
        }
        if (ctx_state(ctx) != CTX_LIVE)
            return err_set(err, ERR_DEADLINE, 0, "container %s could not be removed: %.300s", part->container,
                           removed < 0 ? why.text : "the engine is still removing it");
        if (removed < 0)
            log_warn("container not removed yet, trying again", LS("container", part->container), LERR(err));
        job_back_off(part->job, ctx, &pause_ms);
    }
}
