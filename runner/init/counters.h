/*
 * counters - what the container's own cgroup has counted, for the END record.
 *
 * Read from inside, because on the host the group is gone as soon as the container has ended. In a container
 * the mount of a hierarchy usually begins at the container's own group, while /proc/self/cgroup may name the
 * path as the host sees it: the path is tried first, then the mount's root. cgroup v1, v2 and both at once.
 */
#ifndef BERTH_RUNNER_INIT_COUNTERS_H
#define BERTH_RUNNER_INIT_COUNTERS_H

#include "proto/spool.h"

#define COUNTERS_MEMBERSHIP "/proc/self/cgroup"
#define COUNTERS_MOUNT "/sys/fs/cgroup"

/* Sets the five counters of *end, SPOOL_UNKNOWN where the kernel's file cannot be read. */
void counters_read(const char *membership_path, const char *mount, struct spool_end *end);

#endif
