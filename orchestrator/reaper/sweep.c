#include "orchestrator/reaper/sweep.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "orchestrator/db/live.h"
#include "orchestrator/reaper/judge.h"
#include "proto/labels.h"
#include "runner/docker/container.h"
#include "runner/docker/network.h"

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

typedef int remove_one(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err);

static int remove_container(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err) {
    return container_remove(engine, ctx, id, true, true, err);
}

static void bury(const struct sweep *sweep, const struct ctx *parent, remove_one *remove, const char *kind,
                 const char *id, const char *name, const char *why) {
    struct err err = {0};
    struct ctx ctx = ctx_child(parent);
    ctx_deadline_in(&ctx, SWEEP_REMOVE_TIMEOUT_MS);
    bool failed = !sweep->dry_run && remove(sweep->engine, &ctx, id, &err) < 0;
    sweep->on_orphan(kind, name, why, failed ? &err : NULL);
}

static int bury_orphans(const struct sweep *sweep, const struct ctx *ctx, const struct knowledge *k,
                        const struct container_list *containers, const struct network_list *networks) {
    int orphans = 0;
    for (size_t i = 0; i < containers->count; i++) {
        const struct container_summary *c = &containers->items[i];
        const char *why = judge(k, c->labels, c->created_us);
        if (!why)
            continue;
        bury(sweep, ctx, remove_container, "container", c->id, c->name, why);
        orphans++;
    }
    for (size_t i = 0; i < networks->count; i++) {
        const struct network_info *n = &networks->items[i];
        const char *why = judge(k, n->labels, n->created_us);
        if (!why)
            continue;
        bury(sweep, ctx, network_remove, "network", n->id, n->name, why);
        orphans++;
    }
    return orphans;
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
    AUTO_LIVE struct live_attempts live = {0};
    if (db_connect(sweep->db, &ctx, err) < 0 || live_list(sweep->db, &ctx, sweep->instance, &live, err) < 0)
        return -1;
    struct knowledge k = {&live, sweep->attempts_fd};
    return bury_orphans(sweep, parent, &k, &containers, &networks);
}
