/*
 * net - the networks that jobs live in: one bridge for all of class egress, one of its own for each job of
 * class private; and what the kernel's packet filter keeps them from.
 *
 * Networks are found again by name and labels, so nothing need be written down before they are made. Every
 * bridge of ours is called NET_BRIDGE_PREFIX…, which is what the filter's rules go by.
 */
#ifndef BERTH_RUNNER_NET_H
#define BERTH_RUNNER_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "runner/docker/engine.h"

#define NET_BRIDGE_PREFIX "brth" /* interface names: 15 bytes at most (IFNAMSIZ) */
enum {
    NET_SUBNET_BITS = 28, /* of a private network: the gateway and 13 containers */
    NET_TRIES_MAX = 64,   /* subnets that the engine may refuse (someone else has them) before we give up */
    NET_POOL_BITS_MIN = 8,
    NET_POOL_BITS_MAX = 24,
    NET_ALLOW_MAX = 64, /* entries of BERTH_EGRESS_ALLOW */
};

struct net_place {
    struct engine *engine;
    const char *cluster, *instance, *job;
    int number;
    int64_t token;
    const char *pool; /* BERTH_NETWORK_POOL */
    int lock_dir_fd;  /* a directory all runners of this host share: networks are made by one at a time */
};

/* The bridge of class egress: containers on it cannot reach each other. 1: as 0, but it is one from before
 * bridges had names of ours, and in use, so that the filter's rules do not hold on it; err says so.
 * ERR_ENGINE: the text says what to do. ERR_AWAY, ERR_CANCELED, ERR_DEADLINE: as every call of the engine. */
int net_egress_ensure(const struct net_place *place, const struct ctx *ctx, char ret_id[ENGINE_ID_MAX],
                      struct err *err);
/* The job's own; one that was made before is taken over. ERR_LIMIT: no subnet of the pool is free; the text
 * names the pool and what takes it up. */
int net_private_ensure(const struct net_place *place, const struct ctx *ctx, char ret_id[ENGINE_ID_MAX],
                       struct err *err);
/* Absent is success. Whatever is attached to it must be removed before, else ERR_ENGINE. */
int net_private_remove(const struct net_place *place, const struct ctx *ctx, struct err *err);

/* Sets the rules (nftables, a table of ours): from any bridge of ours nothing to 169.254.0.0/16 and to the
 * host's own addresses but what `allow` names (BERTH_EGRESS_ALLOW) and answers to connections from outside;
 * name service on port 53 stays open. Each cluster has its own, for its own bridges. May be repeated. on
 * false: removes them. -1: the host does not allow it; the text says what. */
int net_filter_set(const char *cluster, bool on, const char *allow, struct err *err);
/* Whether the rules are there; not whether they are the same. */
bool net_filter_is_set(const char *cluster);
/* Whether the engine's bridges are interfaces of this network namespace, so that rules set here hold on them.
 */
bool net_filter_reaches(struct engine *engine, const struct ctx *ctx);
/* ERR_INVALID says which part of the list is wrong and how it is written. */
int net_filter_check(const char *allow, struct err *err);
/* ERR_INVALID likewise for BERTH_NETWORK_POOL. */
int net_pool_check(const char *pool, struct err *err);

#endif
