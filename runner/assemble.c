#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "proto/launch.h"
#include "runner/docker/network.h"
#include "runner/job_parts.h"

enum { CAPS_MAX = 64, MOUNTS_MAX = 4, LABELS_COUNT = 7, NUMBER_TEXT_MAX = 24, TMPFS_TEXT_MAX = 40 };

/* contract.md, "Defaults of hardening". */
static const char *const default_caps[] = {"CHOWN",  "DAC_OVERRIDE", "FOWNER", "FSETID",
                                           "SETUID", "SETGID",       "KILL",   "NET_BIND_SERVICE"};

/* --- the bridge that all jobs of class egress share --- */

/* Several runners may have made one at the same time (the engine does not always refuse the second name): the
 * oldest counts for all of them. 1: ret_id is it; 0: there is none. */
static int network_find(struct job *job, const struct ctx *ctx, const char *name, char ret_id[ENGINE_ID_MAX],
                        struct err *err) {
    const struct engine_pair labels[] = {{LABEL_CLUSTER, job->attempt->cluster}, {LABEL_ROLE, ROLE_NETWORK}};
    AUTO_NETWORK_LIST struct network_list list = {0};
    if (network_list(job->engine, ctx, (struct engine_pairs){labels, ARRAY_LEN(labels)}, &list, err) < 0)
        return -1;
    const struct network_info *oldest = NULL;
    for (size_t i = 0; i < list.count; i++) {
        const struct network_info *n = &list.items[i];
        if (strcmp(n->name, name) != 0)
            continue;
        if (!oldest || n->created_us < oldest->created_us ||
            (n->created_us == oldest->created_us && strcmp(n->id, oldest->id) < 0))
            oldest = n;
    }
    if (!oldest)
        return 0;
    snprintf(ret_id, ENGINE_ID_MAX, "%s", oldest->id);
    return 1;
}

static int network_make(struct job *job, const struct ctx *ctx, const char *name, char ret_id[ENGINE_ID_MAX],
                        struct err *err) {
    const struct engine_pair labels[] = {{LABEL_MANAGED, "true"},
                                         {LABEL_CLUSTER, job->attempt->cluster},
                                         {LABEL_INSTANCE, job->attempt->instance},
                                         {LABEL_ROLE, ROLE_NETWORK}};
    const struct engine_pair options[] = {{"com.docker.network.bridge.enable_icc", "false"}};
    const struct network_spec spec = {
        .name = name, .options = {options, ARRAY_LEN(options)}, .labels = {labels, ARRAY_LEN(labels)}};
    return network_create(job->engine, ctx, &spec, ret_id, err);
}

static int network_fault(struct job *job, const char *name, const struct err *err) {
    return job_fault(
        job, REASON_INTERNAL,
        "The network %s for jobs could not be made: %.300s. If the engine has no address pool left, remove "
        "unused networks; if it has one of that name without the labels of Berth, rename it.",
        name, err->text);
}

/* Makes one, and yields to an older one if that was made at the same time elsewhere. */
static int network_add(struct job *job, const struct ctx *ctx, const char *name, char ret_id[ENGINE_ID_MAX],
                       struct err *err) {
    char made[ENGINE_ID_MAX] = "";
    struct err why = {0};
    if (network_make(job, ctx, name, made, &why) < 0 && why.kind != ERR_ENGINE) {
        *err = why;
        return -1;
    }
    int found = network_find(job, ctx, name, ret_id, err);
    if (found == 1 && made[0] && strcmp(made, ret_id) != 0)
        network_remove(job->engine, ctx, made, NULL);
    return found == 0 ? network_fault(job, name, &why) : found;
}

/* The engine can be brought to make two of one name, and then starts nothing in either: one runner at a time.
 */
static int network_ensure(struct job *job, const struct ctx *ctx, char ret_id[ENGINE_ID_MAX],
                          struct err *err) {
    char name[LABELS_NAME_MAX];
    labels_egress_network(job->attempt->cluster, name);
    int found = network_find(job, ctx, name, ret_id, err);
    if (found != 0)
        return found;
    AUTO_FD int lock_fd = openat(job->dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int64_t pause_ms = 0; flock(lock_fd, LOCK_EX | LOCK_NB) < 0; job_back_off(job, ctx, &pause_ms)) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_sys(err, "lock the attempts' directory");
        if (ctx_check(ctx, "wait for the network", err) < 0)
            return -1;
    }
    found = network_find(job, ctx, name, ret_id, err);
    return found != 0 ? found : network_add(job, ctx, name, ret_id, err);
}

/* --- the container --- */

/* What container_spec borrows. */
struct parts {
    char number[NUMBER_TEXT_MAX], token[NUMBER_TEXT_MAX];
    struct engine_pair labels[LABELS_COUNT];
    const char *caps[CAPS_MAX + 1];
    char *paths[MOUNTS_MAX];
    struct container_mount mounts[MOUNTS_MAX];
    size_t mount_count;
    struct engine_pair tmpfs[SPEC_TMPFS_MAX];
    char tmpfs_text[SPEC_TMPFS_MAX][TMPFS_TEXT_MAX];
};

static void parts_done(struct parts *parts) {
    for (size_t i = 0; i < parts->mount_count; i++)
        free(parts->paths[i]);
}

static void put_labels(struct parts *parts, const struct attempt *a) {
    snprintf(parts->number, sizeof parts->number, "%d", a->number);
    snprintf(parts->token, sizeof parts->token, "%" PRId64, a->token);
    const struct engine_pair labels[LABELS_COUNT] = {
        {LABEL_MANAGED, "true"}, {LABEL_CLUSTER, a->cluster},    {LABEL_INSTANCE, a->instance},
        {LABEL_JOB, a->job},     {LABEL_ATTEMPT, parts->number}, {LABEL_TOKEN, parts->token},
        {LABEL_ROLE, ROLE_MAIN},
    };
    memcpy(parts->labels, labels, sizeof labels);
}

static int put_caps(struct parts *parts, const struct spec *spec) {
    size_t n = 0;
    if (!spec->hardening.caps_none)
        for (size_t i = 0; i < ARRAY_LEN(default_caps); i++)
            parts->caps[n++] = default_caps[i];
    for (size_t i = 0; i < spec->hardening.cap_add.count; i++) {
        const char *cap = spec->hardening.cap_add.items[i];
        bool known = false;
        for (size_t k = 0; k < n && !known; k++)
            known = strcmp(parts->caps[k], cap) == 0;
        if (known)
            continue;
        if (n == CAPS_MAX)
            return -1;
        parts->caps[n++] = cap;
    }
    parts->caps[n] = NULL;
    return 0;
}

static void put_mount(struct parts *parts, char *path, const char *target, bool read_only) {
    parts->paths[parts->mount_count] = path;
    parts->mounts[parts->mount_count++] = (struct container_mount){
        .type = CONTAINER_MOUNT_BIND, .source = path, .target = target, .read_only = read_only};
}

static void put_mounts(struct parts *parts, const struct job *job) {
    put_mount(parts, mem_strdup(job->init_path), LAUNCH_INIT_PATH, true);
    put_mount(parts, mem_printf("%s/" ATTEMPT_LAUNCH, job->dir), LAUNCH_FILE_PATH, true);
    put_mount(parts, mem_printf("%s/" ATTEMPT_SPOOL, job->dir), LAUNCH_SPOOL_PATH, false);
    if (job->attempt->spec->input)
        put_mount(parts, mem_printf("%s/" ATTEMPT_INPUT, job->dir), LAUNCH_INPUT_PATH, true);
}

/* Only the size: what else `docker run --tmpfs` sets (noexec, nosuid, nodev, mode 1777) is the engine's
 * default. */
static void put_tmpfs(struct parts *parts, const struct spec *spec) {
    for (size_t i = 0; i < spec->limits.tmpfs_count && i < SPEC_TMPFS_MAX; i++) {
        snprintf(parts->tmpfs_text[i], TMPFS_TEXT_MAX, "size=%" PRId64, spec->limits.tmpfs[i].bytes);
        parts->tmpfs[i] = (struct engine_pair){spec->limits.tmpfs[i].path, parts->tmpfs_text[i]};
    }
}

static int send_create(struct job *job, const struct ctx *ctx, const char *network,
                       char ret_id[ENGINE_ID_MAX], struct err *err) {
    static const char *const entrypoint[] = {LAUNCH_INIT_PATH, NULL};
    enum { NANO_PER_MILLI = 1000 * 1000 };
    const struct spec *spec = job->attempt->spec;
    CLEANUP(parts_done) struct parts parts = {0};
    put_labels(&parts, job->attempt);
    put_mounts(&parts, job);
    put_tmpfs(&parts, spec);
    if (put_caps(&parts, spec) < 0)
        return job_fault(job, REASON_SPEC_REFUSED, "hardening.cap_add has more than %d capabilities.",
                         CAPS_MAX);
    const struct container_spec container = {
        .name = job->container_name,
        .image = job->image,
        .entrypoint = entrypoint,
        .user = spec->user,
        .workdir = spec->workdir,
        .labels = {parts.labels, LABELS_COUNT},
        .memory_bytes = spec->limits.memory_bytes,
        .nano_cpus = spec->limits.cpus_milli * NANO_PER_MILLI,
        .pids_limit = spec->limits.pids,
        .shm_bytes = spec->limits.shm_bytes,
        .nofile = spec->limits.nofile,
        .read_only = spec->hardening.read_only,
        .cap_add = parts.caps,
        .tmpfs = {parts.tmpfs, spec->limits.tmpfs_count},
        .mounts = parts.mounts,
        .mount_count = parts.mount_count,
        .network_mode = network,
    };
    if (ctx_check(ctx, "create the container", err) < 0)
        return -1;
    /* Not broken off by a cancel: the engine would make the container all the same, after it was looked for.
     */
    struct ctx whole = orders_fresh(job->orders, JOB_CALL_MAX_MS);
    job->create_sent = true;
    return container_create(job->engine, &whole, &container, ret_id, err);
}

/* The name is taken: by our own container, made by a runner that did not live to write it down, or by
 * another. */
static int take_over(struct job *job, const struct ctx *ctx, char ret_id[ENGINE_ID_MAX], struct err *err) {
    AUTO_CONTAINER_INFO struct container_info info = {0};
    if (container_inspect(job->engine, ctx, job->container_name, &info, err) < 0) {
        if (engine_status_is(err, 404))
            err->kind = ERR_AWAY; /* it went between the two calls; try again */
        return -1;
    }
    if (!job_owns(job, info.labels))
        return job_fault(
            job, REASON_INTERNAL,
            "The engine has a container named %s already, and it is not of this attempt. Remove it.",
            job->container_name);
    snprintf(ret_id, ENGINE_ID_MAX, "%s", info.id);
    return 0;
}

static int create_fault(struct job *job, const struct err *err) {
    if (engine_status_is(err, 404))
        return job_fault(job, REASON_IMAGE_NOT_FOUND,
                         "The image \"%s\" was removed from the engine meanwhile: %.300s",
                         job->attempt->spec->image, err->text);
    return -1;
}

int job_create(struct job *job, struct err *err) {
    char network[ENGINE_ID_MAX] = "none";
    char id[ENGINE_ID_MAX] = "";
    if (!job->start_by_ns)
        job->start_by_ns = clock_boot_ns() + job->attempt->spec->deadlines.start_ms * NS_PER_MS;
    struct ctx ctx = ctx_child(&job->orders->live);
    ctx_deadline_at(&ctx, job->start_by_ns);
    job->stage = REASON_START_DEADLINE;
    if (job->attempt->spec->network == SPEC_NETWORK_EGRESS && network_ensure(job, &ctx, network, err) < 0)
        return -1;
    if (send_create(job, &ctx, network, id, err) < 0) {
        if (!engine_status_is(err, 409))
            return create_fault(job, err);
        if (take_over(job, &ctx, id, err) < 0)
            return -1;
    }
    return job_note(job, JOURNAL_CREATED, json_pack("{s:s}", "container", id), err);
}

/* --- the start --- */

static int note_started(struct job *job, struct err *err) {
    return job_note(job, JOURNAL_STARTED, json_pack("{s:s}", "container", job->journal.container), err);
}

/* What became of a container that may have been started, by us just now or by a runner before. 1: not
 * started. */
static int settle_start(struct job *job, struct err *err) {
    switch (job_look(job, NULL)) {
    case JOB_SEEN_RUNNING:
    case JOB_SEEN_ENDED:
        return note_started(job, err);
    case JOB_SEEN_MISSING:
        return job_fault(
            job, REASON_CONTAINER_REMOVED,
            "The container %s was removed by someone else around its start (`docker rm`, a prune job?).",
            job->container_name);
    case JOB_SEEN_CREATED:
        break;
    }
    return 1;
}

int job_start(struct job *job, struct err *err) {
    if (job->start_sent) {
        int settled = settle_start(job, err);
        if (settled <= 0)
            return settled;
    }
    if (!job->start_by_ns)
        job->start_by_ns = clock_boot_ns() + job->attempt->spec->deadlines.start_ms * NS_PER_MS;
    struct ctx ctx = ctx_child(&job->orders->live);
    ctx_deadline_at(&ctx, job->start_by_ns);
    job->stage = REASON_START_DEADLINE;
    if (ctx_check(&ctx, "start", err) < 0)
        return -1;
    job->start_sent = true;
    if (container_start(job->engine, &ctx, job->journal.container, err) == 0)
        return note_started(job, err);
    if (err->kind == ERR_ENGINE && strstr(err->text, "is ambiguous"))
        err->kind = ERR_AWAY; /* two networks of one name: whoever made the second is about to remove it */
    struct err look_err = {0};
    int settled = settle_start(job, &look_err);
    if (settled == 0 && err->kind == ERR_DEADLINE)
        job->evidence.stop = REASON_START_DEADLINE; /* too late, but started: it is stopped as any other */
    if (settled <= 0 && job->journal_broken)
        *err = look_err;
    return settled == 0 ? 0 : -1;
}
