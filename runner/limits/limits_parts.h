/*
 * limits_parts - what the files of this folder share: limits.c (the contract), group.c (control groups by
 * libcgroup, for the engine's driver cgroupfs), slice.c (by systemd, for its driver systemd), usage.c (what a
 * group has used), clear.c (what is left in one).
 */
#ifndef BERTH_RUNNER_LIMITS_PARTS_H
#define BERTH_RUNNER_LIMITS_PARTS_H

#include "runner/limits/limits.h"

enum {
    LIMITS_PATH_MAX = 512,       /* of a group in the file system */
    LIMITS_INSTANCE_MAX = 64,    /* bytes of an instance's name in a group's, with the NUL */
    LIMITS_PERIOD_US = 100000,   /* of the CPU ceiling; the kernel's and systemd's default */
    LIMITS_SHARES_MAX = 262144,  /* the kernel's: MAX_SHARES in kernel/sched/sched.h */
    LIMITS_WEIGHT_MAX = 10000,   /* CGROUP_WEIGHT_MAX in include/linux/cgroup.h */
    LIMITS_FILE_MAX = 16 * 1024, /* bytes of a file of the kernel's */
};

#define LIMITS_SLICE_END ".slice"
#define LIMITS_PREFIX "berth-"

/* Of all jobs together: so much for each processor, within the kernel's bound. */
int limits_for_processors(int each, int max);

/* --- names (pure) --- */

/* What of the instance's name can stand in a group's: A-Z a-z 0-9 _ . and, but in slices, -. A hash is added
 * where anything had to be changed, so that two names stay two. */
const char *limits_safe_name(const char *instance, bool slice, char out[LIMITS_INSTANCE_MAX]);
bool limits_is_slice(const char *group);
/* "0193…-….2" as part of a slice's name, "0193….2", and back. -1: it is none. */
int limits_attempt_to_part(const char *attempt, char *out, size_t size);
int limits_part_to_attempt(const char *part, char *out, size_t size);
/* "berth-a-b.slice" lies in "berth.slice/berth-a.slice/berth-a-b.slice" (systemd.slice(5)). */
int limits_slice_path(const char *slice, char *out, size_t size);

/* --- usage.c --- */

/* Where the counters of one group lie; the same directory three times with cgroup v2. "": none. */
struct limits_dirs {
    char memory[LIMITS_PATH_MAX], cpu[LIMITS_PATH_MAX], pids[LIMITS_PATH_MAX];
};
void limits_read(const struct limits_dirs *dirs, struct usage *ret_usage);

/* --- group.c --- */

/* Makes libcgroup ready. -1: there are no control groups that the engine would see too. */
int group_ready(struct err *err);
/* The group in each of the hierarchies that are of use; there already is success. */
int group_make(const char *name, struct err *err);
int group_bound(const char *name, const struct limits_bound *bound, struct err *err);
int group_remove(const char *name, struct err *err);
/* Kills what runs in it and removes the groups below it, in every hierarchy, as far as that can be done now.
 */
void group_clear(const char *name);
/* Directories of the group by controller. */
void group_dirs(const char *name, struct limits_dirs *ret_dirs);
/* Calls for every group directly below, once in each hierarchy that has it. */
int group_each(const char *name, void (*on_child)(void *arg, const char *child), void *arg, struct err *err);

/* --- clear.c --- */

/* The same of one directory of a hierarchy; it stays itself. */
void clear_tree(const char *dir);

/* --- slice.c --- */

/* Makes and starts the slice, or takes over the one that is there. bound NULL: with accounting only. */
int slice_make(const char *name, const struct limits_bound *bound, struct err *err);
int slice_remove(const char *name, struct err *err);

#endif
