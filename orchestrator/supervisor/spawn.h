/*
 * spawn - the only place in berthd that forks. The child's side of the contract is in proto/child.h.
 */
#ifndef BERTH_SUPERVISOR_SPAWN_H
#define BERTH_SUPERVISOR_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct spawn {
    const char *path;  /* of the program, absolute */
    char *const *argv; /* the first one names the program in errors */
    bool change_user;  /* to uid and gid, without supplementary groups */
    uid_t uid;
    gid_t gid;
};

/* *ret_fd: our end of the child's socket, non-blocking, owned by the caller. */
int spawn_child(const struct spawn *what, pid_t *ret_pid, int *ret_fd, struct err *err);

#endif
