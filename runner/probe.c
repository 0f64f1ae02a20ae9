#include "runner/probe.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "proto/labels.h"
#include "proto/launch.h"
#include "proto/place.h"
#include "runner/docker/container.h"
#include "runner/docker/image.h"
#include "runner/tar_file.h"

enum {
    PROBE_INIT_MAX_BYTES = 64 * 1024 * 1024,
    PROBE_RANDOM_BYTES = 16,
    PROBE_TEXT_MAX = 2 * PROBE_RANDOM_BYTES + 1,
    PROBE_CLEAN_MAX_MS = 20 * 1000,
    PROBE_MEMORY_BYTES = 64 * 1024 * 1024,
    PROBE_PIDS = 16,
};

struct work {
    const struct probe *probe;
    struct engine *engine;
    const struct ctx *ctx;
    char text[PROBE_TEXT_MAX];    /* what has to arrive; also tells this probe's names from another's */
    char *dir, *asked, *answered; /* paths */
    char *detail;
    char container[LABELS_NAME_MAX];
};

static bool tell(struct work *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static bool tell(struct work *w, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(w->detail, PROBE_DETAIL_MAX, fmt, args);
    va_end(args);
    return false;
}

static bool make_files(struct work *w) {
    unsigned char random[PROBE_RANDOM_BYTES];
    struct err err = {0};
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return tell(w, "The kernel gives no random bytes.");
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(w->text + 2 * i, 3, "%02x", random[i]);
    w->dir = mem_printf("%s/" PLACE_PROBE, w->probe->state_dir);
    w->asked = mem_printf("%s/%s.asked", w->dir, w->text);
    w->answered = mem_printf("%s/%s.answered", w->dir, w->text);
    /* What lies there is of a probe that was killed: berthd has one at a time, and is alone in its state
     * directory. */
    if (dir_remove_tree(AT_FDCWD, w->dir, &err) < 0 || dir_make(w->dir, 0700, &err) < 0 ||
        file_write_atomic(AT_FDCWD, w->asked, w->text, strlen(w->text), 0644, &err) < 0 ||
        file_write_atomic(AT_FDCWD, w->answered, "", 0, 0666, &err) < 0)
        return tell(w, "The state directory cannot be written: %s. Make it writable, or set BERTH_STATE_DIR.",
                    err.text);
    return true;
}

static struct engine_pairs labels_of(const struct work *w, struct engine_pair labels[4]) {
    labels[0] = (struct engine_pair){LABEL_MANAGED, "true"};
    labels[1] = (struct engine_pair){LABEL_CLUSTER, w->probe->cluster};
    labels[2] = (struct engine_pair){LABEL_INSTANCE, w->probe->instance};
    labels[3] = (struct engine_pair){LABEL_ROLE, ROLE_PROBE};
    return (struct engine_pairs){labels, 4};
}

static bool make_image(struct work *w, const char *tag) {
    AUTO_IMAGE_INFO struct image_info info = {0};
    AUTO_BUF struct buf program = BUF(PROBE_INIT_MAX_BYTES);
    AUTO_BUF struct buf archive = BUF(PROBE_INIT_MAX_BYTES + 8192);
    AUTO_FREE char *id = NULL;
    AUTO_FREE char *ref = mem_printf(PROBE_IMAGE ":%s", tag);
    struct err err = {0};
    if (image_inspect(w->engine, w->ctx, ref, &info, &err) == 0)
        return true;
    if (!engine_status_is(&err, 404))
        return tell(w, "The engine does not answer as it should: %s.", err.text);
    if (file_read(AT_FDCWD, w->probe->init_path, PROBE_INIT_MAX_BYTES, &program, &err) < 0)
        return tell(w, "berth-init cannot be read: %s. Is the installation whole?", err.text);
    /* Not under LAUNCH_DIR, so that nothing is seen there but what was mounted. */
    if (tar_file_build(&archive, "probe/", "probe/init", program.data, program.len) < 0)
        return tell(w, "berth-init is too large.");
    if (image_import(w->engine, w->ctx, archive.data, archive.len, PROBE_IMAGE, tag, NULL,
                     (struct engine_pairs){0}, &id, &err) < 0)
        return tell(w, "The image %s could not be made: %s.", ref, err.text);
    return true;
}

static bool mount_refused(struct work *w, const struct err *err) {
    return tell(
        w,
        "The engine does not see the state directory %s: %.400s. It must have the same path for berthd and "
        "for "
        "the engine: where berthd runs in a container, bind that directory at the same path on both sides.",
        w->probe->state_dir, err->text);
}

static bool run_container(struct work *w, const char *tag) {
    static const char *const entrypoint[] = {"/probe/init", "--probe", NULL};
    AUTO_FREE char *image = mem_printf(PROBE_IMAGE ":%s", tag);
    struct engine_pair labels[4];
    char id[ENGINE_ID_MAX];
    struct err err = {0};
    const struct container_mount mounts[] = {
        {CONTAINER_MOUNT_BIND, w->probe->init_path, LAUNCH_INIT_PATH, true, 0},
        {CONTAINER_MOUNT_BIND, w->asked, LAUNCH_PROBE_PATH, true, 0},
        {CONTAINER_MOUNT_BIND, w->answered, LAUNCH_SPOOL_PATH, false, 0},
    };
    const struct container_spec spec = {.name = w->container,
                                        .image = image,
                                        .entrypoint = entrypoint,
                                        .labels = labels_of(w, labels),
                                        .memory_bytes = PROBE_MEMORY_BYTES,
                                        .pids_limit = PROBE_PIDS,
                                        .read_only = true,
                                        .mounts = mounts,
                                        .mount_count = ARRAY_LEN(mounts),
                                        .network_mode = "none"};
    if (container_create(w->engine, w->ctx, &spec, id, &err) < 0)
        return engine_status_is(&err, 400) ? mount_refused(w, &err)
                                           : tell(w, "The engine cannot make a container: %s.", err.text);
    if (container_start(w->engine, w->ctx, id, &err) < 0)
        return tell(w, "The engine cannot start a container: %s.", err.text);
    struct container_exit end;
    if (container_wait(w->engine, w->ctx, id, &end, &err) < 0)
        return tell(w, "The engine did not tell how its container ended: %s.", err.text);
    if (end.status_code != 0)
        return tell(w,
                    "The probe's container ended with status %d; the engine may see another directory at %s.",
                    end.status_code, w->probe->state_dir);
    return true;
}

static bool compare(struct work *w) {
    AUTO_BUF struct buf answer = BUF(PROBE_TEXT_MAX);
    struct err err = {0};
    if (file_read(AT_FDCWD, w->answered, PROBE_TEXT_MAX, &answer, &err) == 0 &&
        strcmp(buf_str(&answer), w->text) == 0)
        return true;
    return tell(w,
                "The engine at %s sees another directory at %s than berthd does. Bind the state directory at "
                "the same "
                "path on both sides.",
                engine_host(w->engine), w->probe->state_dir);
}

static void clean(struct work *w) {
    struct ctx ctx = ctx_root(w->ctx->watch);
    ctx_deadline_in(&ctx, PROBE_CLEAN_MAX_MS);
    if (w->container[0] && engine_api_version(w->engine)[0])
        container_remove(w->engine, &ctx, w->container, true, true, NULL);
    if (w->asked)
        unlink(w->asked);
    if (w->answered)
        unlink(w->answered);
    free(w->asked);
    free(w->answered);
    free(w->dir);
}

static bool reach_engine(struct work *w) {
    struct err err = {0};
    if (engine_negotiate(w->engine, w->ctx, &err) == 0)
        return true;
    return tell(w, "The Docker Engine at %s cannot be used: %s. Start it, or set DOCKER_HOST.",
                engine_host(w->engine), err.text);
}

bool probe_run(const struct probe *probe, struct engine *engine, const struct ctx *ctx,
               char detail[PROBE_DETAIL_MAX]) {
    struct work w = {.probe = probe, .engine = engine, .ctx = ctx, .detail = detail};
    bool ok = make_files(&w) && reach_engine(&w);
    if (ok) {
        snprintf(w.container, sizeof w.container, "berth-probe-%.16s", w.text);
        ok = make_image(&w, BERTH_VERSION) && run_container(&w, BERTH_VERSION) && compare(&w);
    }
    if (ok)
        tell(&w, "The engine at %s (API %s) sees %s.", engine_host(engine), engine_api_version(engine),
             probe->state_dir);
    clean(&w);
    return ok;
}
