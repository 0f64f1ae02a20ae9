#include "orchestrator/reaper/reaper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/fdutil.h"
#include "base/log.h"
#include "base/mem.h"
#include "orchestrator/db/migrate.h"
#include "orchestrator/reaper/sweep.h"
#include "orchestrator/settings.h"
#include "proto/attempt.h"
#include "proto/child.h"
#include "proto/control.h"
#include "runner/net/net.h"

enum {
    KEPT_FILE_MAX = 256,
    ENGINE_LOOK_EVERY_MS = 3000, /* for /readyz */
    ENGINE_LOOK_TIMEOUT_MS = 5000,
};

struct reaper {
    struct settings settings;
    char *instance;
    char *cgroup; /* over all jobs; NULL or "": there is none */
    char cluster[ATTEMPT_ID_MAX];
    struct engine *engine;
    struct db *db;
    struct ctx ctx;
    struct ctx_watch watch;
    bool blind;     /* the last sweep could not see one side; said once */
    bool powerless; /* the packet filter's rules could not be set anew; said once */
};

static void reaper_done(struct reaper *r) {
    engine_close(r->engine);
    db_free(r->db);
    free(r->instance);
    free(r->cgroup);
    config_free(&settings_table, &r->settings);
}
#define AUTO_REAPER CLEANUP(reaper_done)

/* The only thing to come from the parent after the configuration is its end. */
static void on_parent(void *arg) {
    struct reaper *r = arg;
    struct control message = {0};
    if (control_recv(r->watch.fd, &message, NULL) == 0)
        ctx_cancel(&r->ctx);
    control_done(&message);
}

static int open_sides(struct reaper *r, struct err *err) {
    const struct settings *s = &r->settings;
    const struct engine_settings engine = {.host = s->docker_host,
                                           .tls_verify = s->docker_tls_verify,
                                           .cert_path = s->docker_cert_path,
                                           .api_version = s->docker_api_version};
    AUTO_FREE char *name = mem_printf("berth:%s:reaper", r->instance);
    r->db = db_new(s->database_url, name);
    return engine_open(&engine, &r->engine, err);
}

static int sweep_once(struct reaper *r, bool dry_run,
                      void (*on_orphan)(const char *, const char *, const char *, const struct err *),
                      struct err *err) {
    AUTO_FREE char *path = mem_printf("%s/" ATTEMPT_DIR, r->settings.state_dir);
    AUTO_FD int attempts_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (attempts_fd < 0 && errno != ENOENT)
        return err_sys(err, "open %s", path);
    struct ctx ctx = ctx_child(&r->ctx);
    ctx_deadline_in(&ctx, SWEEP_LIST_TIMEOUT_MS);
    if (!*engine_api_version(r->engine) && engine_negotiate(r->engine, &ctx, err) < 0)
        return -1;
    struct sweep sweep = {.engine = r->engine,
                          .db = r->db,
                          .cluster = r->cluster,
                          .instance = r->instance,
                          .attempts_fd = attempts_fd,
                          .group = r->cgroup,
                          .dry_run = dry_run,
                          .on_orphan = on_orphan};
    return sweep_run(&sweep, &r->ctx, err);
}

static void log_orphan(const char *kind, const char *name, const char *why, const struct err *error) {
    if (error)
        log_warn("orphan could not be removed, the next sweep tries again", LS("kind", kind),
                 LS("name", name), LS("why", why), LERR(error));
    else
        log_info("orphan removed", LS("kind", kind), LS("name", name), LS("why", why));
}

static void sweep_and_log(struct reaper *r) {
    struct err err = {0};
    if (sweep_once(r, false, log_orphan, &err) >= 0) {
        if (r->blind)
            log_info("sweeping again: engine and database can be seen");
        r->blind = false;
    } else if (!r->blind && ctx_state(&r->ctx) == CTX_LIVE) {
        log_warn("cannot see both sides, nothing is removed until engine and database answer", LERR(&err));
        r->blind = true;
    }
}

/* Whoever loads rules of his own may flush ours with them. What the host does not allow at all, the probe at
 * the start has said; and then there are no rules of ours either. */
static void keep_filter(struct reaper *r) {
    struct err err = {0};
    struct ctx ctx = ctx_child(&r->ctx);
    ctx_deadline_in(&ctx, SWEEP_LIST_TIMEOUT_MS);
    if (!r->settings.egress_filter || net_filter_is_set(r->cluster) || !*engine_api_version(r->engine) ||
        !net_filter_reaches(r->engine, &ctx))
        return;
    if (net_filter_set(r->cluster, true, r->settings.egress_allow, &err) == 0) {
        log_info("the packet filter's rules for jobs were gone and are set anew");
        r->powerless = false;
    } else if (!r->powerless) {
        log_warn("the packet filter's rules for jobs are not there: jobs can reach the host", LERR(&err));
        r->powerless = true;
    }
}

/* The parent passes it on to the gateway, which cannot reach the engine. */
static void look_at_engine(struct reaper *r) {
    struct err err = {0};
    struct ctx ctx = ctx_child(&r->ctx);
    ctx_deadline_in(&ctx, ENGINE_LOOK_TIMEOUT_MS);
    bool ok = engine_negotiate(r->engine, &ctx, &err) == 0;
    struct control health = {
        .type = CONTROL_HEALTH, .part = HEALTH_ENGINE, .ok = ok, .detail = ok ? NULL : err.text};
    if (ctx_state(&r->ctx) == CTX_LIVE && control_send(CHILD_FD, &health, &err) < 0)
        log_debug("the parent was not told of the engine", LERR(&err));
}

static void pause_and_look(struct reaper *r) {
    struct ctx pause = ctx_child(&r->ctx);
    ctx_deadline_in(&pause, r->settings.reap_interval_ms);
    do {
        struct ctx step = ctx_child(&pause);
        look_at_engine(r);
        ctx_deadline_in(&step, ENGINE_LOOK_EVERY_MS);
        ctx_poll(&step, NULL, 0, "wait for the next look at the engine", NULL);
    } while (ctx_state(&pause) == CTX_LIVE);
}

int reaper_main(void) {
    log_init("reaper", NULL);
    struct err err = {0};
    AUTO_REAPER struct reaper r = {0};
    struct control config = {0};
    if (control_recv_config(CHILD_FD, &config, &err) < 0) {
        log_error("no configuration from the parent", LERR(&err));
        return CHILD_EXIT_BUG;
    }
    AUTO_FREE char *json = json_dumps(config.settings, JSON_COMPACT);
    int rc = config_undump(&settings_table, &r.settings, json, strlen(json), &err);
    log_set_level_word(r.settings.log_level);
    r.instance = STEAL(config.instance);
    r.cgroup = STEAL(config.cgroup);
    snprintf(r.cluster, sizeof r.cluster, "%s", config.cluster ? config.cluster : "");
    control_done(&config);
    r.watch = (struct ctx_watch){.fd = CHILD_FD, .on_ready = on_parent, .arg = &r};
    r.ctx = ctx_root(&r.watch);
    const struct control ready = {.type = CONTROL_READY};
    if (rc < 0 || open_sides(&r, &err) < 0 || control_send(CHILD_FD, &ready, &err) < 0) {
        log_error("the reaper cannot start", LERR(&err));
        return err.kind == ERR_USAGE ? CHILD_EXIT_NEVER : CHILD_EXIT_BUG;
    }
    while (ctx_state(&r.ctx) == CTX_LIVE) {
        sweep_and_log(&r);
        keep_filter(&r);
        pause_and_look(&r);
    }
    return CHILD_EXIT_DONE;
}

static void print_orphan(const char *kind, const char *name, const char *why, const struct err *error) {
    if (error)
        printf("%s %s: %s; not removed: %s\n", kind, name, why, error->text);
    else
        printf("%s %s: %s\n", kind, name, why);
}

/* What `berthd run` keeps in a file of the state directory, a line. */
static int read_kept(const struct reaper *r, const char *file, char **ret, struct err *err) {
    AUTO_FREE char *path = mem_printf("%s/%s", r->settings.state_dir, file);
    AUTO_BUF struct buf text = BUF(KEPT_FILE_MAX);
    if (file_read(AT_FDCWD, path, KEPT_FILE_MAX, &text, err) < 0)
        return -1;
    *ret = mem_strndup(buf_str(&text), strcspn(buf_str(&text), "\n"));
    return 0;
}

/* The name when no setting names another. */
static int resolve_instance(struct reaper *r, struct err *err) {
    read_kept(r, "cgroup", &r->cgroup, NULL); /* none: nothing of it is looked for */
    if (r->settings.instance) {
        r->instance = mem_strdup(r->settings.instance);
        return 0;
    }
    if (read_kept(r, "instance", &r->instance, err) < 0)
        return err_wrap(err, "no berthd has run with this state directory yet");
    return 0;
}

static int command_prepare(struct reaper *r, const struct settings *settings, struct err *err) {
    AUTO_BUF struct buf copy = BUF(CHILD_MESSAGE_MAX);
    if (config_dump(&settings_table, settings, &copy) < 0 ||
        config_undump(&settings_table, &r->settings, buf_str(&copy), copy.len, err) < 0)
        return -1;
    r->ctx = ctx_root(NULL);
    struct ctx ctx = ctx_child(&r->ctx);
    ctx_deadline_in(&ctx, SWEEP_LIST_TIMEOUT_MS);
    if (resolve_instance(r, err) < 0 || open_sides(r, err) < 0 || db_connect(r->db, &ctx, err) < 0)
        return -1;
    return migrate_cluster_id(r->db, &ctx, r->cluster, err);
}

int reap_command(const struct settings *settings, bool dry_run) {
    struct err err = {0};
    AUTO_REAPER struct reaper r = {0};
    int orphans = -1;
    if (command_prepare(&r, settings, &err) == 0)
        orphans = sweep_once(&r, dry_run, print_orphan, &err);
    if (orphans < 0) {
        fprintf(stderr, "berthd reap: nothing was removed: %s\n", err.text);
        return CHILD_EXIT_AWAY;
    }
    printf("%d %s\n", orphans, dry_run ? "would be removed" : "orphans found");
    return CHILD_EXIT_DONE;
}
