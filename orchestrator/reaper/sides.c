#include "orchestrator/reaper/sides.h"

#include <string.h>

#include "proto/labels.h"
#include "runner/limits/limits.h"

int sides_look(struct engine *engine, const struct ctx *ctx, const char *cluster, const char *group,
               struct sides *ret, struct err *err) {
    const struct engine_pair pairs[] = {{LABEL_MANAGED, "true"}, {LABEL_CLUSTER, cluster}};
    const struct engine_pairs labels = {pairs, ARRAY_LEN(pairs)};
    struct sides sides = {0};
    if (container_list(engine, ctx, labels, true, &sides.containers, err) < 0 ||
        network_list(engine, ctx, labels, &sides.networks, err) < 0 ||
        volume_list(engine, ctx, labels, &sides.volumes, err) < 0) {
        sides_done(&sides);
        return err_wrap(err, "list what is ours on the engine");
    }
    if (group && *group)
        limits_list(group, &sides.groups, NULL); /* where they cannot be seen, none is removed */
    *ret = sides;
    return 0;
}

static bool has_container(const struct sides *s, const char *group, const char *id) {
    (void)group;
    for (size_t i = 0; i < s->containers.count; i++)
        if (strcmp(s->containers.items[i].id, id) == 0)
            return true;
    return false;
}

static bool has_network(const struct sides *s, const char *group, const char *id) {
    (void)group;
    for (size_t i = 0; i < s->networks.count; i++)
        if (strcmp(s->networks.items[i].id, id) == 0)
            return true;
    return false;
}

static bool has_volume(const struct sides *s, const char *group, const char *name) {
    (void)group;
    for (size_t i = 0; i < s->volumes.count; i++)
        if (strcmp(s->volumes.items[i].name, name) == 0)
            return true;
    return false;
}

static bool has_group(const struct sides *s, const char *group, const char *path) {
    char its[LIMITS_GROUP_MAX];
    for (char **name = s->groups; name && *name; name++)
        if (limits_name(group, *name, its, NULL) == 0 && strcmp(its, path) == 0)
            return true;
    return false;
}

bool sides_have(const struct sides *sides, const char *group, const struct orphan *orphan) {
    static bool (*const has[ORPHAN_COUNT])(const struct sides *, const char *, const char *) = {
        [ORPHAN_CONTAINER] = has_container, [ORPHAN_OVERDUE] = has_container, [ORPHAN_NETWORK] = has_network,
        [ORPHAN_VOLUME] = has_volume,       [ORPHAN_CGROUP] = has_group,
    };
    return !has[orphan->kind] || has[orphan->kind](sides, group, orphan->id);
}

void sides_done(struct sides *sides) {
    container_list_done(&sides->containers);
    network_list_done(&sides->networks);
    volume_list_done(&sides->volumes);
    limits_list_free(sides->groups);
    *sides = (struct sides){0};
}
