#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "proto/launch.h"
#include "runner/job_parts.h"

enum { CAPS_MAX = 64, OWN_MOUNTS_MAX = 4, LABELS_MAX = 8, NUMBER_TEXT_MAX = 24, TMPFS_TEXT_MAX = 40 };

/* contract.md, "Defaults of hardening". */
static const char *const default_caps[] = {"CHOWN",  "DAC_OVERRIDE", "FOWNER", "FSETID",
                                           "SETUID", "SETGID",       "KILL",   "NET_BIND_SERVICE"};

/* --- the container --- */

/* What container_spec borrows. */
struct parts {
    char number[NUMBER_TEXT_MAX], token[NUMBER_TEXT_MAX];
    struct engine_pair labels[LABELS_MAX];
    size_t label_count;
    const char *caps[CAPS_MAX + 1];
    char *paths[OWN_MOUNTS_MAX];
    struct container_mount mounts[OWN_MOUNTS_MAX + SPEC_MOUNTS_MAX];
    size_t path_count, mount_count;
    struct engine_pair tmpfs[SPEC_TMPFS_MAX];
    char tmpfs_text[SPEC_TMPFS_MAX][TMPFS_TEXT_MAX];
};

static void parts_done(struct parts *parts) {
    for (size_t i = 0; i < parts->path_count; i++)
        free(parts->paths[i]);
}

static void put_labels(struct parts *parts, const struct part *part) {
    const struct attempt *a = part->job->attempt;
    snprintf(parts->number, sizeof parts->number, "%d", a->number);
    snprintf(parts->token, sizeof parts->token, "%" PRId64, a->token);
    const struct engine_pair labels[] = {
        {LABEL_MANAGED, "true"},
        {LABEL_CLUSTER, a->cluster},
        {LABEL_INSTANCE, a->instance},
        {LABEL_JOB, a->job},
        {LABEL_ATTEMPT, parts->number},
        {LABEL_TOKEN, parts->token},
        {LABEL_ROLE, part->service ? ROLE_SERVICE : ROLE_MAIN},
        {LABEL_SERVICE, part_name(part)}, /* the last: on services only */
    };
    memcpy(parts->labels, labels, sizeof labels);
    parts->label_count = part->service ? ARRAY_LEN(labels) : ARRAY_LEN(labels) - 1;
}

static int put_caps(struct parts *parts, const struct spec_hardening *hardening) {
    size_t n = 0;
    if (!hardening->caps_none)
        for (size_t i = 0; i < ARRAY_LEN(default_caps); i++)
            parts->caps[n++] = default_caps[i];
    for (size_t i = 0; i < hardening->cap_add.count; i++) {
        const char *cap = hardening->cap_add.items[i];
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
    parts->paths[parts->path_count++] = path;
    parts->mounts[parts->mount_count++] = (struct container_mount){
        .type = CONTAINER_MOUNT_BIND, .source = path, .target = target, .read_only = read_only};
}

static char *file_path(const struct part *part, const char *file) {
    char name[ATTEMPT_FILE_NAME_MAX];
    return mem_printf("%s/%s", part->job->dir, part_file(part, file, name));
}

static void put_mounts(struct parts *parts, const struct part *part, const struct part_place *place) {
    put_mount(parts, mem_strdup(part->job->place.init_path), LAUNCH_INIT_PATH, true);
    put_mount(parts, file_path(part, ATTEMPT_LAUNCH), LAUNCH_FILE_PATH, true);
    put_mount(parts, file_path(part, ATTEMPT_SPOOL), LAUNCH_SPOOL_PATH, false);
    if (part->service)
        put_mount(parts, file_path(part, ATTEMPT_READY), LAUNCH_READY_PATH, false);
    else if (part->job->attempt->spec->input)
        put_mount(parts, file_path(part, ATTEMPT_INPUT), LAUNCH_INPUT_PATH, true);
    for (size_t i = 0; i < place->mount_count && i < SPEC_MOUNTS_MAX; i++)
        parts->mounts[parts->mount_count++] = place->mounts[i];
}

/* Only the size: what else `docker run --tmpfs` sets (noexec, nosuid, nodev, mode 1777) is the engine's
 * default. */
static void put_tmpfs(struct parts *parts, const struct spec_limits *limits) {
    for (size_t i = 0; i < limits->tmpfs_count && i < SPEC_TMPFS_MAX; i++) {
        snprintf(parts->tmpfs_text[i], TMPFS_TEXT_MAX, "size=%" PRId64, limits->tmpfs[i].bytes);
        parts->tmpfs[i] = (struct engine_pair){limits->tmpfs[i].path, parts->tmpfs_text[i]};
    }
}

static const struct spec_limits *limits_of(const struct part *part) {
    return part->service ? &part->service->limits : &part->job->attempt->spec->limits;
}

static const struct spec_hardening *hardening_of(const struct part *part) {
    return part->service ? &part->service->hardening : &part->job->attempt->spec->hardening;
}

static int send_create(struct part *part, const struct ctx *ctx, const struct part_place *place,
                       char ret_id[ENGINE_ID_MAX], struct err *err) {
    static const char *const entrypoint[] = {LAUNCH_INIT_PATH, NULL};
    enum { NANO_PER_MILLI = 1000 * 1000 };
    const struct spec *spec = part->job->attempt->spec;
    const struct spec_limits *limits = limits_of(part);
    const char *const aliases[] = {part_name(part), NULL};
    CLEANUP(parts_done) struct parts parts = {0};
    put_labels(&parts, part);
    put_mounts(&parts, part, place);
    put_tmpfs(&parts, limits);
    if (put_caps(&parts, hardening_of(part)) < 0)
        return job_fault(part->job, REASON_SPEC_REFUSED, "hardening.cap_add has more than %d capabilities.",
                         CAPS_MAX);
    const struct container_spec container = {
        .name = part->container,
        .image = part->image,
        .entrypoint = entrypoint,
        .user = part->service ? NULL : spec->user,
        .workdir = part->service ? NULL : spec->workdir,
        .labels = {parts.labels, parts.label_count},
        .memory_bytes = limits->memory_bytes,
        .nano_cpus = limits->cpus_milli * NANO_PER_MILLI,
        .pids_limit = limits->pids,
        .shm_bytes = limits->shm_bytes,
        .nofile = limits->nofile,
        .read_only = hardening_of(part)->read_only,
        .cap_add = parts.caps,
        .tmpfs = {parts.tmpfs, limits->tmpfs_count},
        .mounts = parts.mounts,
        .mount_count = parts.mount_count,
        .cgroup_parent = place->cgroup_parent[0] ? place->cgroup_parent : NULL,
        .network_mode = place->network,
        .network_aliases = part->service ? aliases : NULL,
    };
    if (ctx_check(ctx, "create the container", err) < 0)
        return -1;
    /* Not broken off by a cancel: the engine would make the container all the same, after it was looked for.
     */
    struct ctx whole = orders_fresh(part->job->orders, JOB_CALL_MAX_MS);
    part->create_sent = true;
    if (container_create(part->job->engine, &whole, &container, ret_id, err) == 0)
        return 0;
    ctx_own_deadline(ctx, "create the container", err);
    return -1;
}

/* The name is taken: by our own container, made by a runner that did not live to write it down, or by
 * another. */
static int take_over(struct part *part, const struct ctx *ctx, char ret_id[ENGINE_ID_MAX], struct err *err) {
    AUTO_CONTAINER_INFO struct container_info info = {0};
    if (container_inspect(part->job->engine, ctx, part->container, &info, err) < 0) {
        if (engine_status_is(err, 404))
            err->kind = ERR_AWAY; /* it went between the two calls; try again */
        return -1;
    }
    if (!part_owns(part, info.labels))
        return job_fault(
            part->job, REASON_INTERNAL,
            "The engine has a container named %s already, and it is not of this attempt. Remove it.",
            part->container);
    snprintf(ret_id, ENGINE_ID_MAX, "%s", info.id);
    return 0;
}

static int create_fault(struct part *part, const struct err *err) {
    if (engine_status_is(err, 404))
        return job_fault(part->job, REASON_IMAGE_NOT_FOUND,
                         "The image \"%s\" was removed from the engine meanwhile: %.300s",
                         part->service ? part->service->image : part->job->attempt->spec->image, err->text);
    return -1;
}

int part_create(struct part *part, const struct ctx *ctx, const struct part_place *place,
                char ret_id[ENGINE_ID_MAX], struct err *err) {
    if (send_create(part, ctx, place, ret_id, err) == 0)
        return 0;
    return engine_status_is(err, 409) ? take_over(part, ctx, ret_id, err) : create_fault(part, err);
}

/* --- the main container --- */

struct ctx job_start_ctx(struct job *job) {
    if (!job->start_by_ns)
        job->start_by_ns = clock_boot_ns() + job->attempt->spec->deadlines.start_ms * NS_PER_MS;
    struct ctx ctx = ctx_child(&job->orders->live);
    ctx_deadline_at(&ctx, job->start_by_ns);
    job->stage = REASON_START_DEADLINE;
    return ctx;
}

int job_create(struct job *job, struct err *err) {
    char id[ENGINE_ID_MAX] = "";
    struct ctx ctx = job_start_ctx(job);
    const struct part_place place = {.network = job->network,
                                     .cgroup_parent = job->cgroup,
                                     .mounts = job->mounts.items,
                                     .mount_count = job->mounts.count};
    if (part_create(&job->main, &ctx, &place, id, err) < 0)
        return -1;
    return job_note(job, JOURNAL_CREATED, json_pack("{s:s}", "container", id), err);
}

/* A start that was seen by looking may lie far back: the runner that had sent it died before it wrote it
 * down. The engine's wall clock may differ from ours: neither before its creation nor in the future. */
static json_t *started_fields(const struct job *job) {
    int64_t now_us = clock_real_us();
    int64_t now_ns = clock_boot_ns();
    int64_t since_us = job->main.started_us;
    if (since_us && since_us < job->journal.time_us[JOURNAL_CREATED])
        since_us = job->journal.time_us[JOURNAL_CREATED];
    if (!since_us || since_us >= now_us)
        return json_pack("{s:s}", "container", job->journal.container);
    int64_t since_ns = now_ns - (now_us - since_us) * (NS_PER_MS / US_PER_MS);
    return json_pack("{s:s, s:I, s:I}", "container", job->journal.container, "since_us", (json_int_t)since_us,
                     "since_boot_ns", (json_int_t)(since_ns > 0 ? since_ns : 1));
}

int job_take_over_start(struct job *job, struct err *err) {
    if (!journal_has(&job->journal, JOURNAL_CREATED) || journal_has(&job->journal, JOURNAL_STARTED))
        return 0;
    enum part_seen seen = part_look(&job->main, NULL);
    if (seen != PART_SEEN_RUNNING && seen != PART_SEEN_ENDED)
        return 0;
    return job_note(job, JOURNAL_STARTED, started_fields(job), err);
}

int job_start(struct job *job, struct err *err) {
    struct ctx ctx = job_start_ctx(job);
    int started = part_start(&job->main, &ctx, job->journal.container, err);
    if (started < 0)
        return -1;
    if (started == 1)
        job->evidence.stop = REASON_START_DEADLINE; /* too late, but started: it is stopped as any other */
    return job_note(job, JOURNAL_STARTED, started_fields(job), err);
}
