#include "orchestrator/reaper/sweep.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "orchestrator/db/keep.h"
#include "orchestrator/reaper/files.h"
#include "orchestrator/reaper/images.h"
#include "orchestrator/reaper/known.h"
#include "proto/fault_points.h"
#include "proto/labels.h"
#include "runner/limits/limits.h"

/* --- what is to go --- */

static struct judge_thing thing_of(const json_t *labels, int64_t created_us) {
    return (struct judge_thing){
        .instance = container_label(labels, LABEL_INSTANCE),
        .role = container_label(labels, LABEL_ROLE),
        .job = container_label(labels, LABEL_JOB),
        .attempt = container_label(labels, LABEL_ATTEMPT),
        .created_us = created_us,
    };
}

/* Only of this instance: of no other one the deadlines were read. */
static bool is_overdue(const struct known *known, const struct sweep *sweep,
                       const struct container_summary *c) {
    struct judge_thing thing = thing_of(c->labels, c->created_us);
    char name[ATTEMPT_NAME_MAX];
    bool runs = strcmp(c->state, "running") == 0 || strcmp(c->state, "paused") == 0;
    if (!runs || !thing.job || !thing.attempt || !thing.instance ||
        strcmp(thing.instance, sweep->instance) != 0)
        return false;
    snprintf(name, sizeof name, "%.36s.%.10s", thing.job, thing.attempt);
    return live_is_overdue(&known->attempts, name);
}

static void plan_containers(const struct sweep *sweep, const struct sides *seen, const struct known *known,
                            const struct judge_view *view, struct plan *plan) {
    for (size_t i = 0; i < seen->containers.count; i++) {
        const struct container_summary *c = &seen->containers.items[i];
        struct judge_thing thing = thing_of(c->labels, c->created_us);
        const char *why = judge_orphan(&thing, view);
        if (why)
            plan_add(plan, ORPHAN_CONTAINER, c->id, c->name, why);
        else if (is_overdue(known, sweep, c))
            plan_add(plan, ORPHAN_OVERDUE, c->id, c->name, "it runs far behind its deadline");
    }
}

static void plan_others(const struct sides *seen, const struct judge_view *view, struct plan *plan) {
    for (size_t i = 0; i < seen->networks.count; i++) {
        const struct network_info *n = &seen->networks.items[i];
        struct judge_thing thing = thing_of(n->labels, n->created_us);
        const char *why = judge_orphan(&thing, view);
        if (why)
            plan_add(plan, ORPHAN_NETWORK, n->id, n->name, why);
    }
    for (size_t i = 0; i < seen->volumes.count; i++) {
        const struct volume_info *v = &seen->volumes.items[i];
        struct judge_thing thing = thing_of(v->labels, v->created_us);
        const char *why = judge_volume(&thing, view);
        if (why)
            plan_add(plan, ORPHAN_VOLUME, v->name, v->name, why);
    }
}

static void plan_groups(const struct sweep *sweep, const struct sides *seen, const struct known *known,
                        struct plan *plan) {
    char path[LIMITS_GROUP_MAX];
    for (char **name = seen->groups; name && *name; name++)
        if (!known_is_live(known, *name) && limits_name(sweep->group, *name, path, NULL) == 0)
            plan_add(plan, ORPHAN_CGROUP, path, path, "its attempt is not live");
}

/* What a runner has cleaned up meanwhile is no orphan. */
static int confirm(const struct sweep *sweep, const struct ctx *ctx, struct plan *plan, struct err *err) {
    AUTO_SIDES struct sides again = {0};
    if (!plan->count)
        return 0;
    if (sides_look(sweep->engine, ctx, sweep->cluster, sweep->group, &again, err) < 0)
        return -1;
    for (size_t i = plan->count; i-- > 0;)
        if (!sides_have(&again, sweep->group, &plan->items[i]))
            plan_drop(plan, i);
    return 0;
}

static int plan_logs(const struct sweep *sweep, const struct ctx *ctx, struct plan *plan, struct err *err) {
    struct keep_days days = {0};
    if (!sweep->keep_logs || !sweep->log_retention_ms)
        return 0;
    if (keep_expired(sweep->db, ctx, sweep->log_retention_ms, &days, err) < 0)
        return -1;
    for (size_t i = 0; i < days.count; i++)
        plan_add(plan, ORPHAN_LOG, days.items[i], days.items[i],
                 "all jobs of that day ended long enough ago");
    return 0;
}

/* Containers go first: they keep networks, volumes and groups. */
static int make_plan(const struct sweep *sweep, const struct ctx *parent, struct plan *plan,
                     struct err *err) {
    struct ctx ctx = ctx_child(parent);
    AUTO_SIDES struct sides seen = {0};
    AUTO_FILES struct files files = {0};
    AUTO_KNOWN struct known known = {.attempts_fd = -1};
    int64_t began_us = clock_real_us();
    ctx_deadline_in(&ctx, SWEEP_LIST_TIMEOUT_MS);
    if (files_look(sweep, &files, err) < 0 ||
        sides_look(sweep->engine, &ctx, sweep->cluster, sweep->group, &seen, err) < 0)
        return -1;
    FAULT(REAPER_LISTED);
    if (known_read(sweep->db, &ctx, sweep->cluster, sweep->instance, sweep->attempts_fd, &seen, &known, err) <
        0)
        return -1;
    struct judge_view view = known_view(&known, sweep->instance, began_us);
    view.no_probe = sweep->no_probe;
    plan_containers(sweep, &seen, &known, &view, plan);
    plan_others(&seen, &view, plan);
    plan_groups(sweep, &seen, &known, plan);
    if (confirm(sweep, &ctx, plan, err) < 0)
        return -1;
    files_plan(sweep, &files, &seen, plan);
    return 0;
}

/* --- how it goes --- */

typedef int remove_one(const struct sweep *sweep, const struct ctx *ctx, const struct orphan *orphan,
                       struct err *err);

static int remove_container(const struct sweep *sweep, const struct ctx *ctx, const struct orphan *orphan,
                            struct err *err) {
    return container_remove(sweep->engine, ctx, orphan->id, true, true, err);
}

static int kill_container(const struct sweep *sweep, const struct ctx *ctx, const struct orphan *orphan,
                          struct err *err) {
    return container_kill(sweep->engine, ctx, orphan->id, "KILL", err);
}

static int remove_network(const struct sweep *sweep, const struct ctx *ctx, const struct orphan *orphan,
                          struct err *err) {
    if (network_remove(sweep->engine, ctx, orphan->id, err) == 0)
        return 0;
    /* The refusal stays what is told where there is nothing to be done about it. */
    if (err->kind != ERR_ENGINE || network_drop_stale(sweep->engine, ctx, orphan->id, NULL) <= 0)
        return -1;
    return network_remove(sweep->engine, ctx, orphan->id, err);
}

static int remove_volume(const struct sweep *sweep, const struct ctx *ctx, const struct orphan *orphan,
                         struct err *err) {
    return volume_remove(sweep->engine, ctx, orphan->id, err);
}

static int remove_group(const struct sweep *sweep, const struct ctx *ctx, const struct orphan *orphan,
                        struct err *err) {
    (void)sweep, (void)ctx;
    return limits_clear(orphan->id, err);
}

static int remove_log(const struct sweep *sweep, const struct ctx *ctx, const struct orphan *orphan,
                      struct err *err) {
    return keep_drop_day(sweep->db, ctx, orphan->id, sweep->log_retention_ms, err);
}

static remove_one *const removers[ORPHAN_COUNT] = {
    [ORPHAN_CONTAINER] = remove_container,
    [ORPHAN_OVERDUE] = kill_container,
    [ORPHAN_NETWORK] = remove_network,
    [ORPHAN_VOLUME] = remove_volume,
    [ORPHAN_CGROUP] = remove_group,
    [ORPHAN_DIRECTORY] = files_remove,
    [ORPHAN_LOCK] = files_remove,
    [ORPHAN_PROBE] = files_remove,
    [ORPHAN_INIT] = files_remove,
    [ORPHAN_IMAGE] = images_remove,
    [ORPHAN_LOG] = remove_log,
};

static void bury(const struct sweep *sweep, const struct ctx *parent, const struct orphan *orphan) {
    struct err err = {0};
    struct ctx ctx = ctx_child(parent);
    ctx_deadline_in(&ctx, SWEEP_REMOVE_TIMEOUT_MS);
    FAULT(REAPER_REMOVING);
    bool failed = !sweep->dry_run && removers[orphan->kind](sweep, &ctx, orphan, &err) < 0;
    FAULT(REAPER_REMOVED);
    sweep->told.orphan(orphan_kind_name(orphan->kind), orphan->name, orphan->why, failed ? &err : NULL);
}

static void bury_all(const struct sweep *sweep, const struct ctx *parent, const struct plan *plan) {
    for (size_t i = 0; i < plan->count && ctx_state(parent) == CTX_LIVE; i++) {
        bury(sweep, parent, &plan->items[i]);
        ctx_pump(parent); /* removing files waits for nobody, and the watchdog asks all the same */
    }
}

typedef int plan_more(const struct sweep *sweep, const struct ctx *ctx, struct plan *plan, struct err *err);

/* What may go because it is old. Returns how many. */
static size_t bury_old(const struct sweep *sweep, const struct ctx *parent, const char *what,
                       plan_more *more) {
    AUTO_PLAN struct plan plan = {0};
    struct err err = {0};
    struct ctx ctx = ctx_child(parent);
    ctx_deadline_in(&ctx, SWEEP_LIST_TIMEOUT_MS);
    if (more(sweep, &ctx, &plan, &err) == 0)
        bury_all(sweep, parent, &plan);
    else if (ctx_state(parent) == CTX_LIVE)
        sweep->told.put_off(what, &err);
    return plan.count;
}

int sweep_run(const struct sweep *sweep, const struct ctx *parent, struct err *err) {
    AUTO_PLAN struct plan plan = {0};
    if (make_plan(sweep, parent, &plan, err) < 0)
        return -1;
    bury_all(sweep, parent, &plan);
    return (int)(plan.count + bury_old(sweep, parent, "images", images_plan) +
                 bury_old(sweep, parent, "logs", plan_logs));
}
