/*
 * network - bridge networks and volumes, found again by their labels.
 *
 * Errors: see engine.h. Lists own their texts until their _done function (AUTO_*).
 */
#ifndef BERTH_RUNNER_DOCKER_NETWORK_H
#define BERTH_RUNNER_DOCKER_NETWORK_H

#include <jansson.h>
#include <stdbool.h>

#include "runner/docker/engine.h"

struct network_spec {
    const char *name;            /* required */
    const char *subnet;          /* CIDR; NULL: the engine chooses */
    const char *gateway;         /* an address in `subnet`, which never comes without one: killed in the midst
                                  * of removing such a network, dockerd panics with each of its next starts
                                  * (moby: libnetwork/controller.go, reservePools) */
    bool internal;               /* no way out */
    struct engine_pairs options; /* of the bridge driver: com.docker.network.bridge.enable_icc=false, … */
    struct engine_pairs labels;
};

/* ERR_ENGINE 409: the name is in use; 403 or 500 with a text about pools: no subnet is left. */
int network_create(struct engine *engine, const struct ctx *ctx, const struct network_spec *spec,
                   char ret_id[ENGINE_ID_MAX], struct err *err);

struct network_info {
    const char *id, *name, *driver;
    const char *subnet, *gateway; /* the first of each; "" when there is none */
    bool internal;
    const json_t *labels;     /* object of strings; never NULL */
    const json_t *options;    /* object of strings; never NULL */
    const json_t *containers; /* object by container id; never NULL; always empty in a list */
    int64_t created_us;
    json_t *owner; /* private; NULL in an item of a list */
};
struct network_list {
    struct network_info *items;
    size_t count;
    json_t *owner; /* private */
};

/* ERR_ENGINE 404: no such network. `id` is an id or a name, here and below. */
int network_inspect(struct engine *engine, const struct ctx *ctx, const char *id,
                    struct network_info *ret_info, struct err *err);
void network_info_done(struct network_info *info);
/* As container_list(). */
int network_list(struct engine *engine, const struct ctx *ctx, struct engine_pairs labels,
                 struct network_list *ret_list, struct err *err);
void network_list_done(struct network_list *list);
/* Absent is success. ERR_ENGINE 403 (newer engines: 409): a container is attached to it. */
int network_remove(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err);

/* Takes endpoints off it whose containers are gone; an engine that was killed may keep such for ever and
 * refuse to remove their network (moby issues 17217, 33156). Not for a network on which a container may be
 * starting: its endpoint looks the same for a moment. Returns how many there were. */
int network_drop_stale(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err);

struct volume_info {
    const char *name;
    const json_t *labels; /* object of strings; never NULL */
    int64_t created_us;
};
struct volume_list {
    struct volume_info *items;
    size_t count;
    json_t *owner; /* private */
};

/* One that is there already is success (and keeps its labels). */
int volume_create(struct engine *engine, const struct ctx *ctx, const char *name, struct engine_pairs labels,
                  struct err *err);
int volume_list(struct engine *engine, const struct ctx *ctx, struct engine_pairs labels,
                struct volume_list *ret_list, struct err *err);
void volume_list_done(struct volume_list *list);
/* Absent is success. ERR_ENGINE 409: a container uses it. */
int volume_remove(struct engine *engine, const struct ctx *ctx, const char *name, struct err *err);

#define AUTO_NETWORK_INFO CLEANUP(network_info_done)
#define AUTO_NETWORK_LIST CLEANUP(network_list_done)
#define AUTO_VOLUME_LIST CLEANUP(volume_list_done)

#endif
