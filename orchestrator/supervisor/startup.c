#include "orchestrator/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "orchestrator/db/migrate.h"
#include "orchestrator/supervisor/supervisor_private.h"
#include "proto/fault_points.h"

enum {
    SLOTS_PER_CORE = 2,
    HOST_RESERVE_DIVISOR = 10, /* a tenth of the memory stays with the host, */
    RETRY_MIN_MS = 200,
    RETRY_MAX_MS = 5000,
    PATH_BYTES_MAX = 4096,
    DESCRIPTORS_WANTED = 65536,
};
static const int64_t host_reserve_min_bytes =
    INT64_C(512) * 1024 * 1024; /* but at least this, if there is twice as much */

/* Each runner takes some here, and each attempt some in the scribe, which inherits this. The soft limit of
 * most systems, 1024, is for programs that use select(). */
void startup_raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS_WANTED)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max : DESCRIPTORS_WANTED;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* --- settings that were left open --- */

static int64_t host_memory_bytes(void) {
    struct sysinfo info;
    if (sysinfo(&info) < 0)
        return host_reserve_min_bytes;
    int64_t total = (int64_t)info.totalram * info.mem_unit;
    int64_t reserve = total / HOST_RESERVE_DIVISOR;
    if (reserve < host_reserve_min_bytes)
        reserve = host_reserve_min_bytes;
    return total > 2 * reserve ? total - reserve : total / 2;
}

static int resolve_user(struct supervisor *s, struct err *err) {
    if (geteuid() != 0)
        return 0;
    const char *name = s->settings.gateway_user;
    const struct passwd *pw = getpwnam(name ? name : "berth");
    if (!pw && !name)
        pw = getpwnam("nobody");
    if (!pw)
        return err_set(err, ERR_USAGE, 0,
                       "gateway_user = %s: there is no such user; make it, or name another one",
                       name ? name : "nobody");
    s->change_user = true;
    s->gateway_uid = pw->pw_uid;
    s->gateway_gid = pw->pw_gid;
    return 0;
}

static int resolve_token(struct supervisor *s, struct err *err) {
    bool made = false;
    if (s->settings.admin_token)
        return 0;
    if (state_dir_admin_token(&s->state, &s->settings.admin_token, &made, err) < 0)
        return -1;
    if (made && s->settings.auth)
        dprintf(STDERR_FILENO, "berthd: admin token, shown only this once (kept in %s/admin_token): %s\n",
                s->settings.state_dir, s->settings.admin_token);
    return 0;
}

int startup_resolve(struct supervisor *s, struct err *err) {
    struct settings *set = &s->settings;
    if (!set->instance && state_dir_instance(&s->state, &set->instance, err) < 0)
        return -1;
    if (!set->slots)
        set->slots = SLOTS_PER_CORE * sysconf(_SC_NPROCESSORS_ONLN);
    if (!set->memory_bytes)
        set->memory_bytes = host_memory_bytes();
    if (set->metrics_listen && strcmp(set->metrics_listen, set->listen) != 0)
        log_warn("metrics_listen has no effect in this version yet", LS("value", set->metrics_listen));
    if (set->jwt_key || set->encryption_key)
        log_warn("jwt_key and encryption_key have no effect in this version yet");
    if (state_dir_cgroup(&s->state, &s->cgroup, err) < 0)
        return -1;
    return resolve_token(s, err) < 0 || resolve_user(s, err) < 0 ? -1 : 0;
}

/* --- the programs --- */

/* The first of these, relative to the directory of berthd, that can be used; NULL: none. */
static char *find_program(const char *const *places, int access_mode) {
    char self[PATH_BYTES_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0)
        return NULL;
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; places[i]; i++) {
        AUTO_FREE char *path =
            places[i][0] == '/' ? mem_strdup(places[i]) : mem_printf("%s/%s", self, places[i]);
        AUTO_FREE char *real = access(path, access_mode) == 0 ? realpath(path, NULL) : NULL;
        if (real)
            return STEAL(real);
    }
    return NULL;
}

int startup_programs(struct supervisor *s, struct err *err) {
    static const char *const runners[] = {"berth-runner",
                                          "../libexec/berth/berth-runner",
                                          "../lib/berth/berth-runner",
                                          "/usr/lib/berth/berth-runner",
                                          "../runner/berth-runner",
                                          NULL};
    static const char *const inits[] = {"berth-init",
                                        "../libexec/berth/berth-init",
                                        "../lib/berth/berth-init",
                                        "/usr/lib/berth/berth-init",
                                        "../runner/init/berth-init",
                                        NULL};
    AUTO_FREE char *runner = find_program(runners, X_OK);
    if (!runner)
        return err_set(err, ERR_AWAY, 0,
                       "the program berth-runner is neither beside berthd nor in ../libexec/berth, "
                       "../lib/berth or /usr/lib/berth; "
                       "install it there");
    /* While an upgrade is under way the new runner may lie there, which speaks to a parent of its own
     * version. */
    s->runner_fd = open(runner, O_PATH | O_CLOEXEC);
    if (s->runner_fd < 0)
        return err_sys(err, "open %s", runner);
    s->runner_path = mem_printf("/proc/self/fd/%d", s->runner_fd);
    AUTO_FREE char *init =
        s->settings.init_path ? mem_strdup(s->settings.init_path) : find_program(inits, R_OK);
    if (!init)
        return err_set(err, ERR_AWAY, 0,
                       "the program berth-init is neither beside berthd nor in ../libexec/berth, "
                       "../lib/berth or /usr/lib/berth; "
                       "install it there or name it with BERTH_INIT_PATH");
    AUTO_FREE char *copy = NULL;
    if (state_dir_copy_init(&s->state, s->settings.state_dir, init, &copy, err) < 0)
        return -1;
    free(s->settings.init_path);
    s->settings.init_path = STEAL(copy);
    return 0;
}

/* --- the database --- */

static void db_free_p(struct db **db) {
    if (*db)
        db_free(*db);
}
#define AUTO_DB CLEANUP(db_free_p)

/* Tries again with growing pauses until the database answers or the time is over. */
static int connect_patiently(struct db *db, int64_t patience_ms, const struct ctx *ctx, struct err *err) {
    int64_t pause_ms = RETRY_MIN_MS;
    for (bool told = false;; told = true) {
        struct err why = {0};
        if (db_connect(db, ctx, &why) >= 0)
            return 0;
        if (why.kind != ERR_AWAY && why.kind != ERR_DEADLINE) {
            if (err)
                *err = why;
            return err_wrap(err, "database (BERTH_DATABASE_URL)");
        }
        if (ctx_state(ctx) != CTX_LIVE)
            return err_set(
                err, ERR_AWAY, 0,
                "database cannot be reached for %lld s: %s; start it or correct BERTH_DATABASE_URL",
                (long long)(patience_ms / MS_PER_S), why.text);
        if (!told)
            log_warn("database cannot be reached, trying on", LERR(&why), LI("for_ms", patience_ms));
        struct ctx pause = ctx_child(ctx);
        ctx_deadline_in(&pause, pause_ms);
        ctx_poll(&pause, NULL, 0, "pause", NULL);
        pause_ms = pause_ms * 2 < RETRY_MAX_MS ? pause_ms * 2 : RETRY_MAX_MS;
    }
}

int startup_check_url(const struct settings *set, struct err *err) {
    if (set->database_url)
        return 0;
    return err_set(
        err, ERR_USAGE, 0,
        "database_url is not set: give BERTH_DATABASE_URL=postgresql://user:password@host/database "
        "(deploy/quickstart starts a private PostgreSQL)");
}

static int open_database(const struct settings *set, const char *role, const struct ctx *ctx,
                         struct db **ret_db, struct err *err) {
    AUTO_FREE char *application = mem_printf("berth:%s:%s", set->instance ? set->instance : "-", role);
    AUTO_DB struct db *db = db_new(set->database_url, application);
    if (connect_patiently(db, set->start_timeout_ms, ctx, err) < 0)
        return -1;
    int applied = migrate_run(db, ctx, err);
    if (applied < 0)
        return err_wrap(err, "database schema");
    if (applied > 0)
        log_info("schema migrated", LI("applied", applied));
    *ret_db = STEAL(db);
    return 0;
}

struct claim_self startup_self(const struct supervisor *s) {
    return (struct claim_self){
        .name = s->settings.instance, .state_id = s->state.id, .home = s->state.home, .life = s->life};
}

static int name_is_taken(const struct supervisor *s, const struct claim_holder *holder, struct err *err) {
    return err_set(err, ERR_LIMIT, 0,
                   "the name %s belongs to another berthd with %s, heard of %" PRId64
                   " s ago; give this one another name with BERTH_INSTANCE%s, or stop the other and try "
                   "again after its lease",
                   s->settings.instance,
                   holder->copy ? "a copy of this state directory" : "a state directory of its own",
                   holder->age_s, holder->copy ? " and a state directory of its own" : "");
}

/* A holder that says the id of our own directory from elsewhere is a copy, if it lives; or it is ourselves
 * before the machine was started anew or the directory was moved: then its heartbeat stands still, and its
 * lease, which is waited for, ends. */
static int register_name(struct supervisor *s, struct db *db, const struct ctx *ctx, struct err *err) {
    struct claim_self self = startup_self(s);
    int64_t first_beat_us = 0;
    for (;;) {
        struct claim c;
        struct claim_holder holder;
        AUTO_RESULT PGresult *r = NULL;
        claim_register(&c, &self, s->settings.slots, s->settings.lease_ms);
        FAULT(PARENT_REGISTERING);
        if (claim_exec(db, ctx, &c, &r, err) < 0)
            return err_wrap(err, "register orchestrator %s", self.name);
        FAULT(PARENT_REGISTERED);
        if (claim_registered(r, &holder))
            return 0;
        bool beats = first_beat_us && holder.heartbeat_us != first_beat_us;
        if (!holder.copy || beats || ctx_state(ctx) != CTX_LIVE)
            return name_is_taken(s, &holder, err);
        if (!first_beat_us)
            log_warn("our name was held a moment ago by our own state directory from elsewhere, waiting for "
                     "its lease to end",
                     LS("instance", self.name), LI("wait_ms", holder.left_ms));
        first_beat_us = holder.heartbeat_us;
        struct ctx pause = ctx_child(ctx);
        ctx_deadline_in(&pause, RETRY_MIN_MS);
        ctx_poll(&pause, NULL, 0, "pause", NULL);
    }
}

int startup_database(struct supervisor *s, struct err *err) {
    struct ctx ctx = ctx_root(NULL);
    AUTO_DB struct db *db = NULL;
    ctx_deadline_in(&ctx, s->settings.start_timeout_ms);
    if (open_database(&s->settings, "start", &ctx, &db, err) < 0)
        return -1;
    struct ctx rest = ctx_root(NULL);
    ctx_deadline_in(&rest, s->settings.start_timeout_ms + s->settings.lease_ms);
    id_new_v7(s->life);
    if (migrate_cluster_id(db, &rest, s->cluster, err) < 0)
        return err_wrap(err, "cluster id");
    return register_name(s, db, &rest, err);
}

/* The exit status that an error at the start means. */
static int exit_status_of(const struct err *err) {
    if (err->kind == ERR_USAGE || err->kind == ERR_INVALID)
        return SUPERVISOR_EXIT_USAGE;
    if (err->kind == ERR_LIMIT) /* the name or the directory is taken */
        return SUPERVISOR_EXIT_AGAIN;
    return err->kind == ERR_BUG ? SUPERVISOR_EXIT_BUG : SUPERVISOR_EXIT_AWAY;
}

int startup_failed(const struct err *err) {
    int status = exit_status_of(err);
    log_error("berthd cannot start", LERR(err), LI("exit", status));
    return status;
}

int supervisor_migrate(const struct settings *settings) {
    struct err err = {0};
    struct ctx ctx = ctx_root(NULL);
    AUTO_DB struct db *db = NULL;
    ctx_deadline_in(&ctx, settings->start_timeout_ms);
    if (startup_check_url(settings, &err) < 0 || open_database(settings, "migrate", &ctx, &db, &err) < 0)
        return startup_failed(&err);
    log_info("schema is up to date");
    return SUPERVISOR_EXIT_DONE;
}
