/* net_parts - what the files of this folder share: net.c (egress), net_private.c. */
#ifndef BERTH_RUNNER_NET_PARTS_H
#define BERTH_RUNNER_NET_PARTS_H

#include "base/buf.h"
#include "runner/docker/network.h"
#include "runner/net/net.h"

#define NET_OPTION_BRIDGE "com.docker.network.bridge.name"
#define NET_OPTION_ICC "com.docker.network.bridge.enable_icc"

enum {
    NET_BRIDGE_MAX = 16, /* IFNAMSIZ */
    NET_CALL_MAX_MS = 30 * 1000,
    NET_APPEAR_MAX_MS = 30 * 1000, /* from the refusal of a second one until the engine shows the first */
    NET_LOOK_FIRST_MS = 20,        /* between two looks; doubles */
    NET_LOOK_MAX_MS = 1000,        /* up to this */
};

/* What the interfaces of all networks of a cluster begin with: NET_BRIDGE_PREFIX and 4 hexadecimal digits. */
const char *net_bridge_prefix(const char *cluster, char out[NET_BRIDGE_MAX]);
/* The interface of the network of this name: the prefix and 7 more. */
const char *net_bridge_name(const char *cluster, const char *network, char out[NET_BRIDGE_MAX]);

/* What net_filter_set() gives to the kernel; for its tests. */
int net_filter_rules(const char *cluster, bool on, const char *allow, struct buf *rules, struct err *err);

/* One runner of the host at a time; ends with the descriptor. */
int net_lock(const struct net_place *place, const struct ctx *ctx, int *ret_fd, struct err *err);
/* Not broken off by a cancel: the engine would make the network all the same, after it was looked for. */
int net_create(const struct net_place *place, const struct ctx *ctx, const struct network_spec *spec,
               char ret_id[ENGINE_ID_MAX], struct err *err);

/* The engine has refused to make it, as it does when the name, or its bridge, is taken. That may be by our
 * own one which the engine is still busy making, for a runner that asked for it and is dead: then it shows up
 * in a moment, and is waited for. find looks for ours: negative: an error; 0: there is none; above: ret_id is
 * it. As find; 0 at once where the refusal has another cause. */
int net_find_taken(const struct net_place *place, const struct ctx *ctx, const char *name,
                   const struct err *refusal,
                   int (*find)(const struct net_place *place, const struct ctx *ctx, const char *name,
                               char ret_id[ENGINE_ID_MAX], struct err *err),
                   char ret_id[ENGINE_ID_MAX], struct err *err);

#endif
