#include "orchestrator/reaper/work.h"

#include <fcntl.h>

#include "base/mem.h"
#include "proto/place.h"

int work_open(struct work *work, struct err *err) {
    const struct settings *s = &work->settings;
    const struct engine_settings engine = {.host = s->docker_host,
                                           .tls_verify = s->docker_tls_verify,
                                           .cert_path = s->docker_cert_path,
                                           .api_version = s->docker_api_version};
    AUTO_FREE char *name = mem_printf("berth:%s:reaper", work->instance);
    work->db = db_new(s->database_url, name);
    return engine_open(&engine, &work->engine, err);
}

static int64_t low_mark(const struct settings *s) {
    return s->images_low_bytes ? s->images_low_bytes : s->images_high_bytes / 4 * 3;
}

int work_sweep(struct work *work, bool dry_run, bool keep_logs, const struct sweep_told *told,
               struct err *err) {
    const char *state_dir = work->settings.state_dir;
    AUTO_FD int state_fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state_fd < 0)
        return err_sys(err, "open %s", state_dir);
    AUTO_FD int attempts_fd = openat(state_fd, PLACE_ATTEMPTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (attempts_fd < 0)
        return err_sys(err, "open %s/" PLACE_ATTEMPTS, state_dir);
    struct ctx ctx = ctx_child(&work->ctx);
    ctx_deadline_in(&ctx, SWEEP_LIST_TIMEOUT_MS);
    if (!*engine_api_version(work->engine) && engine_negotiate(work->engine, &ctx, err) < 0)
        return -1;
    struct sweep sweep = {.engine = work->engine,
                          .db = work->db,
                          .cluster = work->cluster,
                          .instance = work->instance,
                          .state_dir = state_dir,
                          .state_fd = state_fd,
                          .attempts_fd = attempts_fd,
                          .group = work->cgroup,
                          .images_high_bytes = work->settings.images_high_bytes,
                          .images_low_bytes = low_mark(&work->settings),
                          .log_retention_ms = work->settings.log_retention_ms,
                          .keep_logs = keep_logs,
                          .dry_run = dry_run,
                          .no_probe = work->child,
                          .told = *told};
    return sweep_run(&sweep, &work->ctx, err);
}

void work_done(struct work *work) {
    engine_close(work->engine);
    db_free(work->db);
    free(work->instance);
    free(work->cgroup);
    config_free(&settings_table, &work->settings);
}
