#include "orchestrator/reaper/sweep.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "orchestrator/db/live.h"
#include "orchestrator/reaper/judge.h"
#include "proto/labels.h"
#include "runner/docker/container.h"
#include "runner/docker/network.h"
#include "runner/limits/limits.h"

struct knowledge {
    const struct live_attempts *database;
    int attempts_fd;
};

static bool is_live(const void *arg, const char *name) {
    const struct knowledge *k = arg;
    struct stat st;
    if (k->attempts_fd >= 0 && fstatat(k->attempts_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    return live_has(k->database, name);
}

static const char *judge(const struct knowledge *k, const json_t *labels, int64_t created_us) {
    struct judge_thing thing = {
        .role = container_label(labels, LABEL_ROLE),
        .job = container_label(labels, LABEL_JOB),
        .attempt = container_label(labels, LABEL_ATTEMPT),
        .age_s = (clock_real_us() - created_us) / US_PER_S,
    };
    return judge_orphan(&thing, is_live, k);
}

/* What is done away with: how, of which kind. */
typedef int remove_one(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err);

static int remove_container(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err) {
    return container_remove(engine, ctx, id, true, true, err);
}

/* Not removed: its runner, if there still is one, is to see how it ended. */
static int kill_container(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err) {
    return container_kill(engine, ctx, id, "KILL", err);
}

/* id is the control group's path as the engine has it. */
static int remove_cgroup(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err) {
    (void)engine, (void)ctx;
    return limits_clear(id, err);
}

static bool is_overdue(const struct knowledge *k, const struct container_summary *c) {
    const char *job = container_label(c->labels, LABEL_JOB),
               *attempt = container_label(c->labels, LABEL_ATTEMPT);
    char name[ATTEMPT_NAME_MAX];
    bool runs = strcmp(c->state, "running") == 0 || strcmp(c->state, "paused") == 0;
    if (!runs || !job || !attempt)
        return false;
    snprintf(name, sizeof name, "%.36s.%.10s", job, attempt);
    return live_is_overdue(k->database, name);
}

static void bury(const struct sweep *sweep, const struct ctx *parent, remove_one *remove, const char *kind,
                 const char *id, const char *name, const char *why) {
    struct err err = {0};
    struct ctx ctx = ctx_child(parent);
    ctx_deadline_in(&ctx, SWEEP_REMOVE_TIMEOUT_MS);
    bool failed = !sweep->dry_run && remove(sweep->engine, &ctx, id, &err) < 0;
    sweep->on_orphan(kind, name, why, failed ? &err : NULL);
}

static int bury_containers(const struct sweep *sweep, const struct ctx *ctx, const struct knowledge *k,
                           const struct container_list *containers) {
    int count = 0;
    for (size_t i = 0; i < containers->count; i++) {
        const struct container_summary *c = &containers->items[i];
        const char *why = judge(k, c->labels, c->created_us);
        if (why)
            bury(sweep, ctx, remove_container, "container", c->id, c->name, why);
        else if (is_overdue(k, c))
            bury(sweep, ctx, kill_container, "overdue", c->id, c->name, "it runs far behind its deadline");
        else
            continue;
        count++;
    }
    return count;
}

static int bury_networks(const struct sweep *sweep, const struct ctx *ctx, const struct knowledge *k,
                         const struct network_list *networks) {
    int count = 0;
    for (size_t i = 0; i < networks->count; i++) {
        const struct network_info *n = &networks->items[i];
        const char *why = judge(k, n->labels, n->created_us);
        if (!why)
            continue;
        bury(sweep, ctx, network_remove, "network", n->id, n->name, why);
        count++;
    }
    return count;
}

/* After the containers, which keep their groups. */
static int bury_cgroups(const struct sweep *sweep, const struct ctx *ctx, const struct knowledge *k,
                        char **names) {
    int count = 0;
    for (size_t i = 0; names && names[i]; i++) {
        char path[LIMITS_GROUP_MAX];
        if (is_live(k, names[i]) || limits_name(sweep->group, names[i], path, NULL) < 0)
            continue;
        bury(sweep, ctx, remove_cgroup, "cgroup", path, path, "its attempt is not live");
        count++;
    }
    return count;
}

static void names_done(char ***names) {
    limits_list_free(*names);
}

int sweep_run(const struct sweep *sweep, const struct ctx *parent, struct err *err) {
    struct ctx ctx = ctx_child(parent);
    ctx_deadline_in(&ctx, SWEEP_LIST_TIMEOUT_MS);
    const struct engine_pair ours[] = {
        {LABEL_MANAGED, "true"}, {LABEL_CLUSTER, sweep->cluster}, {LABEL_INSTANCE, sweep->instance}};
    const struct engine_pairs labels = {ours, ARRAY_LEN(ours)};
    AUTO_CONTAINER_LIST struct container_list containers = {0};
    AUTO_NETWORK_LIST struct network_list networks = {0};
    if (container_list(sweep->engine, &ctx, labels, true, &containers, err) < 0 ||
        network_list(sweep->engine, &ctx, labels, &networks, err) < 0)
        return err_wrap(err, "list what is ours on the engine");
    CLEANUP(names_done) char **cgroups = NULL;
    if (sweep->group && *sweep->group)
        limits_list(sweep->group, &cgroups, NULL); /* where they cannot be seen, none is removed */
    AUTO_LIVE struct live_attempts live = {0};
    if (db_connect(sweep->db, &ctx, err) < 0 || live_list(sweep->db, &ctx, sweep->instance, &live, err) < 0)
        return -1;
    struct knowledge k = {&live, sweep->attempts_fd};
    return bury_containers(sweep, parent, &k, &containers) + bury_networks(sweep, parent, &k, &networks) +
           bury_cgroups(sweep, parent, &k, cgroups);
}
