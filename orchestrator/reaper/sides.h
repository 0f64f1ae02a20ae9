/*
 * sides - what the engine and the kernel have of our cluster: containers, networks, volumes, control groups.
 */
#ifndef BERTH_REAPER_SIDES_H
#define BERTH_REAPER_SIDES_H

#include "orchestrator/reaper/plan.h"
#include "runner/docker/container.h"
#include "runner/docker/network.h"

struct sides {
    struct container_list containers;
    struct network_list networks;
    struct volume_list volumes;
    char **groups; /* names of attempts that have a control group; NULL: none, or they cannot be seen */
};

/* Of all instances of the cluster, since some may be dead; `group`: the control group over all jobs of this
 * one (NULL or "": there is none). -1: the engine did not answer whole. */
int sides_look(struct engine *engine, const struct ctx *ctx, const char *cluster, const char *group,
               struct sides *ret, struct err *err);
/* Whether it is (still) there; true for kinds that are none of these. */
bool sides_have(const struct sides *sides, const char *group, const struct orphan *orphan);
void sides_done(struct sides *sides);
#define AUTO_SIDES CLEANUP(sides_done)

#endif
