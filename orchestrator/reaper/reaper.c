#include "orchestrator/reaper/reaper.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "orchestrator/db/keep.h"
#include "orchestrator/reaper/work.h"
#include "proto/child.h"
#include "proto/control.h"
#include "proto/fault_points.h"
#include "runner/net/net.h"

enum {
    ENGINE_LOOK_EVERY_MS = 3000, /* for /readyz */
    ENGINE_LOOK_TIMEOUT_MS = 5000,
    KEEP_LOGS_EVERY_MS = 10 * 60 * 1000,
};

struct reaper {
    struct work work;
    int64_t logs_at_ms; /* when logs were looked after, CLOCK_BOOTTIME; 0: not yet */
    struct ctx_watch watch;
    bool blind;     /* the last sweep could not see one side; said once */
    bool powerless; /* the packet filter's rules could not be set anew; said once */
};

static void reaper_done(struct reaper *r) {
    work_done(&r->work);
}
#define AUTO_REAPER CLEANUP(reaper_done)

static void on_parent(void *arg) {
    struct reaper *r = arg;
    struct control message = {0};
    int got = control_recv(r->watch.fd, &message, NULL);
    if (got == 0)
        ctx_cancel(&r->work.ctx);
    else if (got > 0)
        control_answer_alive(r->watch.fd, &message);
    control_done(&message);
}

static void log_orphan(const char *kind, const char *name, const char *why, const struct err *error) {
    if (error)
        log_warn("orphan could not be removed, the next sweep tries again", LS("kind", kind),
                 LS("name", name), LS("why", why), LERR(error));
    else
        log_info("orphan removed", LS("kind", kind), LS("name", name), LS("why", why));
}

/* What cannot be made now is made later: until then rows lie in the default partition. */
static void make_days(struct reaper *r) {
    struct err err = {0};
    struct ctx ctx = ctx_child(&r->work.ctx);
    ctx_deadline_in(&ctx, SWEEP_LIST_TIMEOUT_MS);
    if (keep_make_days(r->work.db, &ctx, &err) < 0)
        log_warn("no partitions for the logs of the next days yet", LERR(&err));
}

static void log_put_off(const char *what, const struct err *why) {
    log_warn("not looked at, the next sweep tries again", LS("what", what), LERR(why));
}

static void sweep_and_log(struct reaper *r) {
    static const struct sweep_told told = {log_orphan, log_put_off};
    struct err err = {0};
    int64_t now_ms = clock_boot_ms();
    bool logs = !r->logs_at_ms || now_ms - r->logs_at_ms >= KEEP_LOGS_EVERY_MS;
    if (work_sweep(&r->work, false, logs, &told, &err) >= 0) {
        if (logs)
            make_days(r);
        r->logs_at_ms = logs ? now_ms : r->logs_at_ms;
        if (r->blind)
            log_info("sweeping again: engine and database can be seen");
        r->blind = false;
    } else if (!r->blind && ctx_state(&r->work.ctx) == CTX_LIVE) {
        log_warn("cannot see both sides, nothing is removed until engine and database answer", LERR(&err));
        r->blind = true;
    }
}

/* Whoever loads rules of his own may flush ours with them. What the host does not allow at all, the probe at
 * the start has said; and then there are no rules of ours either. */
static void keep_filter(struct reaper *r) {
    struct err err = {0};
    struct ctx ctx = ctx_child(&r->work.ctx);
    ctx_deadline_in(&ctx, SWEEP_LIST_TIMEOUT_MS);
    if (!r->work.settings.egress_filter || net_filter_is_set(r->work.cluster) ||
        !*engine_api_version(r->work.engine) || !net_filter_reaches(r->work.engine, &ctx))
        return;
    if (net_filter_set(r->work.cluster, true, r->work.settings.egress_allow, &err) == 0) {
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
    struct ctx ctx = ctx_child(&r->work.ctx);
    ctx_deadline_in(&ctx, ENGINE_LOOK_TIMEOUT_MS);
    bool ok = engine_negotiate(r->work.engine, &ctx, &err) == 0;
    struct control health = {
        .type = CONTROL_HEALTH, .part = HEALTH_ENGINE, .ok = ok, .detail = ok ? NULL : err.text};
    if (ctx_state(&r->work.ctx) == CTX_LIVE && control_send(CHILD_FD, &health, &err) < 0)
        log_debug("the parent was not told of the engine", LERR(&err));
}

static void pause_and_look(struct reaper *r) {
    struct ctx pause = ctx_child(&r->work.ctx);
    ctx_deadline_in(&pause, r->work.settings.reap_interval_ms);
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
    AUTO_REAPER struct reaper r = {.work.child = true};
    struct control config = {0};
    if (control_recv_config(CHILD_FD, &config, &err) < 0) {
        log_error("no configuration from the parent", LERR(&err));
        return CHILD_EXIT_BUG;
    }
    AUTO_FREE char *json = json_dumps(config.settings, JSON_COMPACT);
    int rc = config_undump(&settings_table, &r.work.settings, json, strlen(json), &err);
    log_set_level_word(r.work.settings.log_level);
    r.work.instance = STEAL(config.instance);
    r.work.cgroup = STEAL(config.cgroup);
    snprintf(r.work.cluster, sizeof r.work.cluster, "%s", config.cluster ? config.cluster : "");
    control_done(&config);
    r.watch = (struct ctx_watch){.fd = CHILD_FD, .on_ready = on_parent, .arg = &r};
    r.work.ctx = ctx_root(&r.watch);
    const struct control ready = {.type = CONTROL_READY};
    if (rc < 0 || work_open(&r.work, &err) < 0 || control_send(CHILD_FD, &ready, &err) < 0) {
        log_error("the reaper cannot start", LERR(&err));
        return err.kind == ERR_USAGE ? CHILD_EXIT_NEVER : CHILD_EXIT_BUG;
    }
    FAULT(REAPER_STARTED);
    while (ctx_state(&r.work.ctx) == CTX_LIVE) {
        sweep_and_log(&r);
        FAULT(REAPER_SWEPT);
        keep_filter(&r);
        pause_and_look(&r);
    }
    return CHILD_EXIT_DONE;
}
