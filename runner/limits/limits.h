/*
 * limits - control groups of ours around the engine's: one over all jobs of the instance, with the operator's
 * bound, so that no load of jobs starves the orchestrator and the host; below it one for each attempt, as
 * parent of its containers.
 *
 * libcgroup makes them, cgroup v1 and v2. Where the engine uses the systemd driver a parent is a slice's
 * name, and systemd makes it. Where the host does not allow any of it (no rights, a read-only mount), there
 * are no groups and the engine's own limits must do. Nothing here logs.
 */
#ifndef BERTH_RUNNER_LIMITS_H
#define BERTH_RUNNER_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "proto/journal.h"

enum {
    LIMITS_GROUP_MAX = 160, /* bytes of a group's path or slice with the NUL */
    /* CPU weight of all jobs together for each processor there is: busy on all of them, they count as one
     * process does on each; busy on fewer, as more. The kernel divides a group's weight by the processors
     * that it runs on, so with that of one process alone a job on two of them waits behind whatever else
     * runs. */
    LIMITS_SHARES = 1024, /* v1: cpu.shares */
    LIMITS_WEIGHT = 100,  /* v2 and systemd: cpu.weight */
};

struct limits_bound {
    int64_t memory_bytes; /* of all jobs together; 0: none */
    int64_t cpus_milli;   /* 0: none but the weight */
    bool systemd;         /* the engine's CgroupDriver */
    const char *instance;
};

/* Makes the group of the instance, or takes over the one that is there, and sets its bounds. ret_group is
 * what limits_make() wants. It stays when berthd ends, empty and harmless: the next one may have taken it
 * over by then. -1: the host does not allow it; the text says what. */
int limits_setup(const struct limits_bound *bound, char ret_group[LIMITS_GROUP_MAX], struct err *err);

/* The group of one attempt ("<job>.<number>"); there already is success. ret_parent is the CgroupParent for
 * its containers. group "": ret_parent is "" and all is well. */
int limits_make(const char *group, const char *attempt, char ret_parent[LIMITS_GROUP_MAX], struct err *err);
/* Only the name that limits_make() gives it. */
int limits_name(const char *group, const char *attempt, char ret_parent[LIMITS_GROUP_MAX], struct err *err);
/* What the whole group has used up to now; -1 each where it is not known. */
void limits_usage(const char *parent, struct usage *ret_usage);
/* Absent, and "", are success. ERR_AWAY: something still runs in it. */
int limits_remove(const char *parent, struct err *err);
/* The same, and whatever is left in it is killed before: for a group whose attempt is over, so that nothing
 * in it has a right to live. An engine that is killed itself may forget a container half-made, with its
 * process. ERR_AWAY: it is not gone yet, to be called again. */
int limits_clear(const char *parent, struct err *err);

/* Names of the attempts that have a group below `group`, for the reaper; NULL-terminated, owned by the
 * caller. */
int limits_list(const char *group, char ***ret_names, struct err *err);
void limits_list_free(char **names);

#endif
