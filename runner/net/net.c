#include "runner/net/net.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/lock.h"
#include "proto/labels.h"
#include "runner/docker/container.h"
#include "runner/net/net_parts.h"

const char *net_bridge_prefix(const char *cluster, char out[NET_BRIDGE_MAX]) {
    snprintf(out, NET_BRIDGE_MAX, NET_BRIDGE_PREFIX "%04" PRIx64, hash_text64(cluster) >> 48);
    return out;
}

const char *net_bridge_name(const char *cluster, const char *network, char out[NET_BRIDGE_MAX]) {
    snprintf(out, NET_BRIDGE_MAX, NET_BRIDGE_PREFIX "%04" PRIx64 "%07" PRIx64, hash_text64(cluster) >> 48,
             hash_text64(network) >> 36);
    return out;
}

int net_lock(const struct net_place *place, const struct ctx *ctx, int *ret_fd, struct err *err) {
    AUTO_FD int fd = openat(place->lock_dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "open the directory that runners lock for networks");
    if (lock_wait(fd, ctx, "wait for other runners' networks", err) < 0)
        return -1;
    *ret_fd = STEAL_FD(fd);
    return 0;
}

int net_create(const struct net_place *place, const struct ctx *ctx, const struct network_spec *spec,
               char ret_id[ENGINE_ID_MAX], struct err *err) {
    if (ctx_check(ctx, "make the network", err) < 0)
        return -1;
    struct ctx whole = ctx_root(ctx->watch);
    ctx_deadline_in(&whole, NET_CALL_MAX_MS);
    struct err why = {0};
    if (network_create(place->engine, &whole, spec, ret_id, &why) == 0)
        return 0;
    ctx_own_deadline(ctx, "make the network", &why);
    if (err)
        *err = why;
    return -1;
}

/* moby: libnetwork/error.go; libnetwork/drivers/bridge, Conflicts(): a driver knows of a network before it
 * can be found. */
static bool refused_as_taken(const struct err *refusal) {
    return engine_status_is(refusal, 409) ||
           (refusal->kind == ERR_ENGINE && strstr(refusal->text, "same bridge name"));
}

/* Ours would have been found by now. */
static bool is_foreign(const struct net_place *place, const struct ctx *ctx, const char *name) {
    AUTO_NETWORK_INFO struct network_info info = {0};
    return network_inspect(place->engine, ctx, name, &info, NULL) == 0 &&
           !container_label(info.labels, LABEL_CLUSTER);
}

int net_find_taken(const struct net_place *place, const struct ctx *ctx, const char *name,
                   const struct err *refusal,
                   int (*find)(const struct net_place *place, const struct ctx *ctx, const char *name,
                               char ret_id[ENGINE_ID_MAX], struct err *err),
                   char ret_id[ENGINE_ID_MAX], struct err *err) {
    struct ctx most = ctx_child(ctx);
    ctx_deadline_in(&most, NET_APPEAR_MAX_MS);
    for (int64_t pause_ms = NET_LOOK_FIRST_MS; refused_as_taken(refusal);
         pause_ms = 2 * pause_ms < NET_LOOK_MAX_MS ? 2 * pause_ms : NET_LOOK_MAX_MS) {
        int found = find(place, ctx, name, ret_id, err);
        if (found != 0)
            return found;
        if (ctx_state(&most) != CTX_LIVE || is_foreign(place, &most, name))
            break;
        struct ctx pause = ctx_child(&most);
        ctx_deadline_in(&pause, pause_ms);
        ctx_poll(&pause, NULL, 0, "pause", NULL);
    }
    return ctx_check(ctx, "wait for the network", err);
}

/* --- the bridge that all jobs of class egress share --- */

/* Whether a counts before b: one whose bridge has our name, then the oldest. Several may have been made at
 * the same time, the engine does not always refuse the second name. */
static bool counts_before(const struct network_info *a, const struct network_info *b, const char *bridge) {
    const char *name_a = container_label(a->options, NET_OPTION_BRIDGE);
    const char *name_b = container_label(b->options, NET_OPTION_BRIDGE);
    bool ours_a = name_a && strcmp(name_a, bridge) == 0, ours_b = name_b && strcmp(name_b, bridge) == 0;
    if (ours_a != ours_b)
        return ours_a;
    return a->created_us != b->created_us ? a->created_us < b->created_us : strcmp(a->id, b->id) < 0;
}

enum egress { EGRESS_NONE, EGRESS_THERE, EGRESS_OLD /* from before bridges had names of ours */ };

/* ret_id is set unless there is none. */
static int egress_find(const struct net_place *place, const struct ctx *ctx, const char *name,
                       char ret_id[ENGINE_ID_MAX], struct err *err) {
    const struct engine_pair labels[] = {{LABEL_CLUSTER, place->cluster}, {LABEL_ROLE, ROLE_NETWORK}};
    AUTO_NETWORK_LIST struct network_list list = {0};
    char bridge[NET_BRIDGE_MAX];
    if (network_list(place->engine, ctx, (struct engine_pairs){labels, ARRAY_LEN(labels)}, &list, err) < 0)
        return -1;
    const struct network_info *first = NULL;
    net_bridge_name(place->cluster, name, bridge);
    for (size_t i = 0; i < list.count; i++)
        if (strcmp(list.items[i].name, name) == 0 && (!first || counts_before(&list.items[i], first, bridge)))
            first = &list.items[i];
    if (!first)
        return EGRESS_NONE;
    snprintf(ret_id, ENGINE_ID_MAX, "%s", first->id);
    const char *its = container_label(first->options, NET_OPTION_BRIDGE);
    return its && strcmp(its, bridge) == 0 ? EGRESS_THERE : EGRESS_OLD;
}

/* 0: gone; 1: it is in use. */
static int egress_replace(const struct net_place *place, const struct ctx *ctx, const char *id,
                          struct err *err) {
    struct err why = {0};
    if (network_remove(place->engine, ctx, id, &why) == 0)
        return 0;
    if (why.kind == ERR_ENGINE)
        return 1;
    *err = why;
    return -1;
}

/* Makes one, and yields to another if that was made at the same time elsewhere. */
static int egress_add(const struct net_place *place, const struct ctx *ctx, const char *name,
                      char ret_id[ENGINE_ID_MAX], struct err *err) {
    char bridge[NET_BRIDGE_MAX], made[ENGINE_ID_MAX] = "";
    const struct engine_pair labels[] = {{LABEL_MANAGED, "true"},
                                         {LABEL_CLUSTER, place->cluster},
                                         {LABEL_INSTANCE, place->instance},
                                         {LABEL_ROLE, ROLE_NETWORK}};
    const struct engine_pair options[] = {{NET_OPTION_ICC, "false"},
                                          {NET_OPTION_BRIDGE, net_bridge_name(place->cluster, name, bridge)}};
    const struct network_spec spec = {
        .name = name, .options = {options, ARRAY_LEN(options)}, .labels = {labels, ARRAY_LEN(labels)}};
    struct err why = {0};
    if (net_create(place, ctx, &spec, made, &why) < 0 && why.kind != ERR_ENGINE) {
        *err = why;
        return -1;
    }
    int found = made[0] ? egress_find(place, ctx, name, ret_id, err)
                        : net_find_taken(place, ctx, name, &why, egress_find, ret_id, err);
    if (found > EGRESS_NONE && made[0] && strcmp(made, ret_id) != 0)
        network_remove(place->engine, ctx, made, NULL);
    if (found == EGRESS_NONE)
        return err_set(
            err, ERR_ENGINE, why.code,
            "the network %s for jobs could not be made: %.300s. If the engine has no address pool left, "
            "remove unused networks; if it has one of that name without the labels of Berth, rename it",
            name, why.text);
    return found;
}

static int egress_locked(const struct net_place *place, const struct ctx *ctx, const char *name,
                         char ret_id[ENGINE_ID_MAX], struct err *err) {
    AUTO_FD int lock_fd = -1;
    if (net_lock(place, ctx, &lock_fd, err) < 0)
        return -1;
    int found = egress_find(place, ctx, name, ret_id, err);
    if (found == EGRESS_OLD) {
        int used = egress_replace(place, ctx, ret_id, err);
        if (used != 0)
            return used < 0 ? -1 : EGRESS_OLD;
        found = EGRESS_NONE;
    }
    return found == EGRESS_NONE ? egress_add(place, ctx, name, ret_id, err) : found;
}

int net_egress_ensure(const struct net_place *place, const struct ctx *ctx, char ret_id[ENGINE_ID_MAX],
                      struct err *err) {
    char name[LABELS_NAME_MAX], id[ENGINE_ID_MAX] = "";
    labels_egress_network(place->cluster, name);
    int found = egress_find(place, ctx, name, id, err);
    if (found == EGRESS_NONE || found == EGRESS_OLD)
        found = egress_locked(place, ctx, name, id, err);
    if (found < 0)
        return -1;
    snprintf(ret_id, ENGINE_ID_MAX, "%s", id);
    if (found != EGRESS_OLD)
        return 0;
    err_set(err, ERR_AWAY, 0,
            "the network %s was made by an older version and is in use: jobs on it are not kept from the "
            "host's ports "
            "by the packet filter; it is replaced once no container is attached to it",
            name);
    return 1;
}
