#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "proto/labels.h"
#include "runner/net/net_parts.h"
#include "runner/net/subnet.h"

enum { NUMBER_TEXT_MAX = 24, ROUTES_MAX = 65536 };

#define ROUTES_PATH "/proc/net/route"

/* --- what is there of this attempt's --- */

static int private_list(const struct net_place *place, const struct ctx *ctx, struct network_list *ret_list,
                        struct err *err) {
    char number[NUMBER_TEXT_MAX];
    snprintf(number, sizeof number, "%d", place->number);
    const struct engine_pair labels[] = {{LABEL_CLUSTER, place->cluster},
                                         {LABEL_ROLE, ROLE_PRIVATE},
                                         {LABEL_JOB, place->job},
                                         {LABEL_ATTEMPT, number}};
    return network_list(place->engine, ctx, (struct engine_pairs){labels, ARRAY_LEN(labels)}, ret_list, err);
}

/* 1: ret_id is it; 0: there is none. */
static int private_find(const struct net_place *place, const struct ctx *ctx, const char *name,
                        char ret_id[ENGINE_ID_MAX], struct err *err) {
    AUTO_NETWORK_LIST struct network_list list = {0};
    if (private_list(place, ctx, &list, err) < 0)
        return -1;
    for (size_t i = 0; i < list.count; i++)
        if (strcmp(list.items[i].name, name) == 0) {
            snprintf(ret_id, ENGINE_ID_MAX, "%s", list.items[i].id);
            return 1;
        }
    return 0;
}

/* Every one: a second of the same name may have come into being while the first was made. */
int net_private_remove(const struct net_place *place, const struct ctx *ctx, struct err *err) {
    char name[LABELS_NAME_MAX];
    AUTO_NETWORK_LIST struct network_list list = {0};
    labels_private_network(place->job, place->number, name);
    if (private_list(place, ctx, &list, err) < 0)
        return -1;
    for (size_t i = 0; i < list.count; i++)
        if (strcmp(list.items[i].name, name) == 0 &&
            network_remove(place->engine, ctx, list.items[i].id, err) < 0)
            return -1;
    return 0;
}

/* --- which addresses it gets --- */

struct taken {
    struct subnet pool;
    struct subnet_list list;
    size_t networks, routes; /* of the pool */
};

static void taken_done(struct taken *taken) {
    subnet_list_done(&taken->list);
}

static int take_networks(struct taken *taken, const struct net_place *place, const struct ctx *ctx,
                         struct err *err) {
    AUTO_NETWORK_LIST struct network_list all = {0};
    if (network_list(place->engine, ctx, (struct engine_pairs){0}, &all, err) < 0)
        return -1;
    for (size_t i = 0; i < all.count; i++) {
        struct subnet s;
        if (subnet_parse(all.items[i].subnet, &s, NULL) < 0 || !subnet_overlap(s, taken->pool))
            continue;
        subnet_list_add(&taken->list, s);
        taken->networks++;
    }
    return 0;
}

/* Where they cannot be read, or are not those of the engine's host, only a hint is missing. The bridges' own
 * routes are those of the networks. */
static void take_routes(struct taken *taken) {
    AUTO_FILE FILE *file = fopen(ROUTES_PATH, "re");
    AUTO_FREE char *line = NULL;
    size_t size = 0, networks = taken->list.count;
    for (int i = 0; file && i < ROUTES_MAX && getline(&line, &size, file) >= 0; i++) {
        struct subnet s;
        bool known = false;
        if (!subnet_from_route(line, taken->pool, &s))
            continue;
        for (size_t k = 0; k < networks && !known; k++)
            known = subnet_within(s, taken->list.items[k]);
        if (known)
            continue;
        subnet_list_add(&taken->list, s);
        taken->routes++;
    }
}

static int exhausted(const struct net_place *place, const struct taken *taken, struct err *err) {
    return err_set(
        err, ERR_LIMIT, 0,
        "no subnet of the pool %s for private networks is free: of its %" PRIu64
        " (/%d each) %zu networks of the engine and %zu routes of the host take up all. Remove unused "
        "networks, or set BERTH_NETWORK_POOL to a larger range",
        place->pool, subnet_count(taken->pool, NET_SUBNET_BITS), NET_SUBNET_BITS, taken->networks,
        taken->routes);
}

/* --- making it --- */

static int private_make(const struct net_place *place, const struct ctx *ctx, const char *name,
                        struct subnet subnet, char ret_id[ENGINE_ID_MAX], struct err *err) {
    char number[NUMBER_TEXT_MAX], token[NUMBER_TEXT_MAX], bridge[NET_BRIDGE_MAX];
    char range[SUBNET_TEXT_MAX], gateway[SUBNET_TEXT_MAX];
    snprintf(number, sizeof number, "%d", place->number);
    snprintf(token, sizeof token, "%" PRId64, place->token);
    const struct engine_pair labels[] = {{LABEL_MANAGED, "true"},   {LABEL_CLUSTER, place->cluster},
                                         {LABEL_JOB, place->job},   {LABEL_INSTANCE, place->instance},
                                         {LABEL_ATTEMPT, number},   {LABEL_TOKEN, token},
                                         {LABEL_ROLE, ROLE_PRIVATE}};
    const struct engine_pair options[] = {{NET_OPTION_BRIDGE, net_bridge_name(place->cluster, name, bridge)}};
    const struct network_spec spec = {.name = name,
                                      .subnet = subnet_format(subnet, range),
                                      .gateway = subnet_first_address(subnet, gateway),
                                      .options = {options, ARRAY_LEN(options)},
                                      .labels = {labels, ARRAY_LEN(labels)}};
    return net_create(place, ctx, &spec, ret_id, err);
}

/* "Pool overlaps with other one on this address space", "networks have overlapping IPv4": someone was
 * quicker, or the engine knows of more than its list tells. */
static bool refused_for_overlap(const struct err *err) {
    return err->kind == ERR_ENGINE && strcasestr(err->text, "overlap");
}

static int private_add(const struct net_place *place, const struct ctx *ctx, const char *name,
                       char ret_id[ENGINE_ID_MAX], struct err *err) {
    CLEANUP(taken_done) struct taken taken = {0};
    struct err why = {0};
    if (subnet_parse(place->pool, &taken.pool, err) < 0)
        return err_wrap(err, "BERTH_NETWORK_POOL");
    if (take_networks(&taken, place, ctx, err) < 0)
        return -1;
    take_routes(&taken);
    for (int tries = 0; tries < NET_TRIES_MAX; tries++) {
        struct subnet subnet;
        if (!subnet_choose(taken.pool, NET_SUBNET_BITS, hash_text64(name), &taken.list, &subnet))
            return exhausted(place, &taken, err);
        why = (struct err){0};
        if (private_make(place, ctx, name, subnet, ret_id, &why) == 0)
            return 0;
        if (!refused_for_overlap(&why))
            break;
        subnet_list_add(&taken.list, subnet);
    }
    int found = net_find_taken(place, ctx, name, &why, private_find, ret_id, err);
    if (found != 0)
        return found < 0 ? -1 : 0;
    return err_set(err, refused_for_overlap(&why) ? ERR_LIMIT : why.kind, why.code,
                   "the private network %s could not be made: %.350s", name, why.text);
}

int net_private_ensure(const struct net_place *place, const struct ctx *ctx, char ret_id[ENGINE_ID_MAX],
                       struct err *err) {
    char name[LABELS_NAME_MAX];
    labels_private_network(place->job, place->number, name);
    int found = private_find(place, ctx, name, ret_id, err);
    if (found != 0)
        return found < 0 ? -1 : 0;
    AUTO_FD int lock_fd = -1;
    if (net_lock(place, ctx, &lock_fd, err) < 0)
        return -1;
    return private_add(place, ctx, name, ret_id, err);
}
