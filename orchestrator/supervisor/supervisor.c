#include "orchestrator/supervisor/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "orchestrator/supervisor/supervisor_private.h"
#include "proto/fault_points.h"

static void on_notify(void *arg, const char *channel, const char *payload) {
    dispatch_hint(arg, channel, payload);
}

static void on_database_state(void *arg, bool up, const char *error) {
    struct supervisor *s = arg;
    if (up)
        log_info("database connected");
    else if (s->phase != PHASE_LEAVING)
        log_warn("database is away, running jobs go on", LS("error", error));
    if (up)
        dispatch_hint(s, NULL, NULL);
}

static int open_pool(struct supervisor *s, struct err *err) {
    static const char *const channels[] = {"berth_work", NULL};
    AUTO_FREE char *application = mem_printf("berth:%s:parent", s->settings.instance);
    struct db_pool_settings pool = {
        .url = s->settings.database_url,
        .application = application,
        .connections = POOL_CONNECTIONS,
        .listen = channels,
        .queue_timeout_ms = POOL_QUEUE_TIMEOUT_MS,
        .on_notify = on_notify,
        .on_state = on_database_state,
        .arg = s,
    };
    return db_pool_new(s->loop, &pool, &s->pool, err);
}

/* Before any child: the loop takes them from here on, and a child resets what it inherits. */
static int block_signals(struct err *err) {
    static const int taken[] = {SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(taken); i++)
        sigaddset(&set, taken[i]);
    signal(SIGPIPE, SIG_IGN);
    return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? err_sys(err, "block signals") : 0;
}

/* Everything that can be told before there is a child or a loop. */
static int prepare(struct supervisor *s, struct err *err) {
    startup_raise_descriptors();
    if (startup_check_url(&s->settings, err) < 0)
        return -1;
    if (state_dir_open(s->settings.state_dir, &s->state, err) < 0)
        return -1;
    if (startup_resolve(s, err) < 0 || startup_programs(s, err) < 0)
        return -1;
    return startup_database(s, err);
}

static int begin(struct supervisor *s, struct err *err) {
    static const enum role roles[] = {CHILD_SCRIBE, CHILD_GATEWAY}; /* the reaper: probe.c */
    if (block_signals(err) < 0)
        return -1;
    int made = sd_event_default(&s->loop);
    errno = -made;
    if (made < 0)
        return err_sys(err, "make the event loop");
    if (leave_watch_signals(s, err) < 0 || open_pool(s, err) < 0 || lease_begin(s, err) < 0 ||
        dispatch_begin(s, err) < 0 || watchdog_begin(s, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(roles); i++)
        care_start(s, care_add(s, roles[i], ""));
    health_look(s);
    FAULT(PARENT_CHILDREN);
    adopt_all(s);
    probe_begin(s);
    return 0;
}

static void finish(struct supervisor *s) {
    s->phase = PHASE_LEAVING;
    FAULT(PARENT_ENDING);
    care_kill_all(s);
    dispatch_end(s);
    if (s->pool)
        db_pool_free(s->pool);
    for (size_t i = 0; i < SIGNALS_COUNT; i++)
        sd_event_source_disable_unref(s->signals[i]);
    sd_event_source_disable_unref(s->heartbeat_timer);
    sd_event_source_disable_unref(s->phase_timer);
    sd_event_source_disable_unref(s->attempts_watch);
    sd_event_source_disable_unref(s->probe_timer);
    sd_event_source_disable_unref(s->watchdog_timer);
    sd_event_unref(s->loop);
    state_dir_close(&s->state);
    config_free(&settings_table, &s->settings);
    if (s->runner_fd >= 0)
        close(s->runner_fd);
    free(s->runner_path);
    free(s->probe_detail);
    free(s->cgroup);
}

int supervisor_run(struct settings *settings, char *const *argv) {
    struct supervisor *s = mem_alloc(sizeof *s);
    struct err err = {0};
    int status;
    s->settings = *settings;
    *settings = (struct settings){0};
    s->argv = argv;
    s->runner_fd = -1;
    s->state = STATE_DIR_NONE;
    if (prepare(s, &err) < 0 || begin(s, &err) < 0) {
        status = startup_failed(&err);
    } else {
        log_info("berthd started", LS("version", BERTH_VERSION), LS("instance", s->settings.instance),
                 LS("cluster", s->cluster), LS("state_dir", s->settings.state_dir),
                 LS("listen", s->settings.listen));
        int ran = sd_event_loop(s->loop);
        status = ran < 0 ? SUPERVISOR_EXIT_BUG : ran;
        log_info("berthd ends", LI("exit", status));
    }
    finish(s);
    free(s);
    return status;
}
