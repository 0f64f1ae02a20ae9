#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/json.h"
#include "base/log.h"
#include "proto/fault_points.h"
#include "proto/launch.h"
#include "proto/pulled.h"
#include "runner/docker/image.h"
#include "runner/job_parts.h"
#include "runner/launch_file.h"
#include "runner/pull.h"
#include "runner/system_log.h"

/* The container's user, whoever it is, reads the one and appends to the other; nobody else on the host can
 * enter the directories above. */
enum { READ_MODE = 0644, SPOOL_MODE = 0666, IMAGE_TRIES_MAX = 8 };

/* --- images --- */

/* Of the main container and of each service, in this order. */
struct images {
    struct image_info items[1 + SPEC_SERVICES_MAX];
};

static void images_done(struct images *images) {
    for (size_t i = 0; i < ARRAY_LEN(images->items); i++)
        if (images->items[i].owner)
            image_info_done(&images->items[i]);
}

static struct part *part_at(struct job *job, size_t i) {
    return i == 0 ? &job->main : &job->services.items[i - 1].part;
}

static const char *image_name(struct job *job, size_t i) {
    return i == 0 ? job->attempt->spec->image : job->attempt->spec->services[i - 1].image;
}

/* *ret_came: set when the image came with this very pull; else left as it is. */
static int pull(struct job *job, const struct ctx *ctx, size_t i, struct image_info *ret_info, bool *ret_came,
                struct err *err) {
    bool known = journal_has(&job->journal, JOURNAL_PULLED);
    enum spec_pull rule = job->attempt->spec->pull;
    const struct pull what = {
        .engine = job->engine,
        .image = image_name(job, i),
        .rule = known && rule == SPEC_PULL_ALWAYS ? SPEC_PULL_MISSING : rule, /* it was pulled already */
        .config_path = job->place.docker_config,
        .lock_dir_fd = job->place.locks_fd,
        .dir_fd = job->dir_fd,
        .came = ret_came,
    };
    enum reason reason = REASON_NONE;
    struct err why = {0};
    if (pull_image(&what, ctx, ret_info, &reason, &why) == 0)
        return 0;
    *err = why;
    if (reason == REASON_NONE)
        return -1;
    return i == 0 ? job_fault(job, reason, "%s", why.text)
                  : job_fault(job, reason, "Service \"%s\": %s", job->attempt->spec->services[i - 1].name,
                              why.text);
}

/* One reference is asked for once, whoever uses it; a main image that was pulled stays the very same. */
static int find_image(struct job *job, const struct ctx *ctx, size_t i, struct image_info *ret_info,
                      bool *ret_came, struct err *err) {
    const char *id = i == 0 ? job->journal.digest : "";
    for (size_t k = 0; k < i && !id[0]; k++)
        if (strcmp(image_name(job, k), image_name(job, i)) == 0)
            id = part_at(job, k)->image;
    if (id[0]) {
        if (image_inspect(job->engine, ctx, id, ret_info, err) == 0)
            return 0;
        if (!engine_status_is(err, 404))
            return -1;
    }
    return pull(job, ctx, i, ret_info, ret_came, err);
}

/* 1: it stays until this runner ends; 0: the reaper has just removed it. What cannot be noted (the disk is
 * full) is no reason to hold the job up: then only the container keeps the image. */
static int hold_image(struct job *job, const struct ctx *ctx, size_t i, const char *id, bool came,
                      struct err *err) {
    AUTO_FD int dir_fd = -1;
    int *fd = &job->image_fds[i];
    if (*fd >= 0)
        close(STEAL_FD(*fd));
    if (!job->place.state_dir)
        return 1;
    int held = pulled_open(job->place.state_dir, &dir_fd, err) < 0
                   ? -1
                   : pulled_hold(dir_fd, id, came ? image_name(job, i) : NULL, ctx, fd, err);
    if (held >= 0 || err->kind == ERR_CANCELED || err->kind == ERR_DEADLINE)
        return held;
    log_warn("the use of the image is not noted", LERR(err));
    return 1;
}

static int find_and_hold(struct job *job, const struct ctx *ctx, size_t i, struct image_info *ret_info,
                         struct err *err) {
    bool came = false;
    for (int tries = 0; tries < IMAGE_TRIES_MAX; tries++) {
        struct image_info info = {0};
        if (find_image(job, ctx, i, &info, &came, err) < 0)
            return -1;
        int held = hold_image(job, ctx, i, info.id, came, err);
        if (held > 0) {
            *ret_info = info;
            return 0;
        }
        image_info_done(&info);
        if (held < 0)
            return -1;
    }
    return err_set(err, ERR_AWAY, 0, "the image is removed from the engine again and again");
}

/* Under one deadline for all of them. */
static int find_images(struct job *job, struct images *images, struct err *err) {
    struct ctx ctx = ctx_child(&job->orders->live);
    ctx_deadline_in(&ctx, job->attempt->spec->deadlines.pull_ms);
    job->stage = REASON_PULL_DEADLINE;
    for (size_t i = 0; i <= job->services.count; i++) {
        struct part *part = part_at(job, i);
        if (find_and_hold(job, &ctx, i, &images->items[i], err) < 0)
            return -1;
        snprintf(part->image, sizeof part->image, "%s", images->items[i].id);
    }
    const char *digest = images->items[0].repo_digest[0] ? images->items[0].repo_digest : images->items[0].id;
    if (journal_has(&job->journal, JOURNAL_PULLED))
        return 0;
    return job_note(job, JOURNAL_PULLED, json_pack("{s:s}", "digest", digest), err);
}

/* --- surroundings --- */

void job_name_group(struct job *job) {
    char name[ATTEMPT_NAME_MAX];
    const char *group = job->place.cgroup_group ? job->place.cgroup_group : "";
    attempt_dir_name(job->attempt->job, job->attempt->number, name);
    if (!job->cgroup[0] && !job->group_refused && limits_name(group, name, job->cgroup, NULL) < 0)
        job->cgroup[0] = '\0';
}

static void make_group(struct job *job) {
    struct err err = {0};
    char name[ATTEMPT_NAME_MAX];
    const char *group = job->place.cgroup_group ? job->place.cgroup_group : "";
    attempt_dir_name(job->attempt->job, job->attempt->number, name);
    if (job->cgroup[0] || job->group_refused || limits_make(group, name, job->cgroup, &err) == 0)
        return;
    job->group_refused = true;
    job->cgroup[0] = '\0';
    log_warn("no control group for the attempt, the engine's limits must do", LERR(&err));
}

struct net_place job_net_place(const struct job *job) {
    const struct attempt *a = job->attempt;
    return (struct net_place){.engine = job->engine,
                              .cluster = a->cluster,
                              .instance = a->instance,
                              .job = a->job,
                              .number = a->number,
                              .token = a->token,
                              .pool = job->place.network_pool,
                              .lock_dir_fd = job->place.locks_fd};
}

static int make_network(struct job *job, const struct ctx *ctx, struct err *err) {
    const struct net_place place = job_net_place(job);
    enum spec_network kind = job->attempt->spec->network;
    snprintf(job->network, sizeof job->network, "none");
    if (kind == SPEC_NETWORK_NONE)
        return 0;
    int made = kind == SPEC_NETWORK_EGRESS ? net_egress_ensure(&place, ctx, job->network, err)
                                           : net_private_ensure(&place, ctx, job->network, err);
    if (made > 0)
        system_log(job->dir_fd, "warning: %s", err->text);
    if (made >= 0)
        return 0;
    if (err->kind != ERR_ENGINE && err->kind != ERR_LIMIT)
        return -1;
    return job_fault(job, REASON_INTERNAL, "The network for the job could not be made: %.400s", err->text);
}

static int make_mounts(struct job *job, const struct ctx *ctx, struct err *err) {
    enum reason reason = REASON_NONE;
    struct err why = {0};
    if (!job->attempt->spec->mounts_count)
        return 0;
    mounts_done(&job->mounts);
    job->mounts = (struct mounts){0};
    if (mounts_resolve(job->attempt, job->place.bind_roots, job->place.state_dir, job->engine, ctx,
                       &job->mounts, &reason, &why) == 0)
        return 0;
    *err = why;
    return reason == REASON_NONE ? -1 : job_fault(job, reason, "%s", why.text);
}

/* --- files --- */

static int write_launch(struct job *job, size_t i, const struct image_info *image, struct err *err) {
    const struct spec *spec = job->attempt->spec;
    const struct spec_service *service = part_at(job, i)->service;
    char name[ATTEMPT_FILE_NAME_MAX];
    AUTO_ARGV struct argv argv = {0};
    AUTO_BUF struct buf bytes = BUF(LAUNCH_BYTES_MAX);
    struct err why = {0};
    const struct launch_plan plan = {
        .attempt = job->attempt,
        .argv = &argv,
        .env = service ? &service->env : &spec->env,
        .has_input = !service && spec->input,
        .deadline_us = clock_real_us() + spec->deadlines.run_ms * US_PER_MS,
        .ready = service ? &service->ready : NULL,
        .health = image->health,
        .mounts = service ? NULL : &job->mounts,
    };
    if (argv_resolve(service ? argv_own_service(service) : argv_own_main(spec), image->entrypoint, image->cmd,
                     &argv, &why) < 0 ||
        launch_file_build(&plan, &bytes, &why) < 0)
        return service ? job_fault(job, REASON_SPEC_REFUSED, "Service \"%s\": %s", service->name, why.text)
                       : job_fault(job, REASON_SPEC_REFUSED, "%s", why.text);
    return file_write_atomic(job->dir_fd, part_file(part_at(job, i), ATTEMPT_LAUNCH, name), bytes.data,
                             bytes.len, READ_MODE, err);
}

static int write_input(struct job *job, struct err *err) {
    const char *input = job->attempt->spec->input;
    if (!input)
        return 0;
    AUTO_BUF struct buf line = BUF(SPEC_BYTES_MAX + 1);
    if (buf_adds(&line, input) < 0 || buf_adds(&line, "\n") < 0)
        return job_fault(job, REASON_SPEC_REFUSED, "The input is longer than %d bytes.", SPEC_BYTES_MAX);
    return file_write_atomic(job->dir_fd, ATTEMPT_INPUT, line.data, line.len, READ_MODE, err);
}

/* Never a new one in place of one that is there: it may hold records already, and its watchers count who
 * closes it. */
static int make_file(const struct part *part, const char *file, struct err *err) {
    char name[ATTEMPT_FILE_NAME_MAX];
    part_file(part, file, name);
    AUTO_FD int fd = openat(part->job->dir_fd, name,
                            O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, SPOOL_MODE);
    if (fd < 0 && errno != EEXIST)
        return err_sys(err, "make %s", name);
    if (fchmodat(part->job->dir_fd, name, SPOOL_MODE, 0) < 0)
        return err_sys(err, "make %s", name);
    return 0;
}

static int write_files(struct job *job, const struct images *images, struct err *err) {
    bool main_is_made = journal_has(&job->journal, JOURNAL_CREATED);
    if (!main_is_made && write_input(job, err) < 0)
        return -1;
    for (size_t i = 0; i <= job->services.count; i++) {
        const struct part *part = part_at(job, i);
        if (i == 0 && main_is_made)
            continue;
        if (write_launch(job, i, &images->items[i], err) < 0)
            return -1;
        FAULT(RUNNER_FILES_HALF);
        if (make_file(part, ATTEMPT_SPOOL, err) < 0 ||
            (part->service && make_file(part, ATTEMPT_READY, err) < 0))
            return -1;
    }
    return 0;
}

int job_prepare(struct job *job, struct err *err) {
    CLEANUP(images_done) struct images images = {0};
    bool main_is_made = journal_has(&job->journal, JOURNAL_CREATED);
    if (main_is_made && !job->services.count)
        return 0;
    if (find_images(job, &images, err) < 0)
        return -1;
    struct ctx ctx = job_start_ctx(job);
    make_group(job);
    FAULT(RUNNER_GROUP_MADE);
    if (make_network(job, &ctx, err) < 0 || (!main_is_made && make_mounts(job, &ctx, err) < 0))
        return -1;
    FAULT(RUNNER_NETWORK_MADE);
    if (write_files(job, &images, err) < 0)
        return -1;
    FAULT(RUNNER_FILES_MADE);
    return 0;
}
