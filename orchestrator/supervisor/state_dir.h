/*
 * state_dir - the state directory: made, proved writable, locked, and what lies in it.
 *
 *   lock         held by the one berthd that uses the directory
 *   id           uuid of the directory, made once: tells two orchestrators of one name apart
 *   instance     the name at the first start
 *   cgroup       the group over all jobs, as the engine's last probe said
 *   admin_token  0600
 *   attempts/    0700, proto/attempt.h
 *   bin/         0755: berth-init-<first 12 hex digits of its SHA-256>; the engine mounts it from there
 *
 * The runner is told by the setting init_path, which the parent sets to the copy: an absolute path below the
 * state directory, no symbolic link, whose content never changes under its name. An upgrade adds another
 * file; copies of other versions stay for containers that still run with them.
 */
#ifndef BERTH_SUPERVISOR_STATE_DIR_H
#define BERTH_SUPERVISOR_STATE_DIR_H

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "proto/attempt.h"

enum { STATE_INIT_MAX_BYTES = 16 * 1024 * 1024, STATE_TOKEN_BYTES = 32, STATE_HOME_MAX = 64 };
#define STATE_TOKEN_PREFIX "berth_"

struct state_dir {
    int fd, lock_fd, attempts_fd; /* -1: not open */
    char id[ATTEMPT_ID_MAX];
    char home[STATE_HOME_MAX]; /* boot id and inode of the lock: a copy of the directory has another one */
};
#define STATE_DIR_NONE ((struct state_dir){.fd = -1, .lock_fd = -1, .attempts_fd = -1})

/* ERR_LIMIT when another berthd has it, else what is wrong with the remedy. */
int state_dir_open(const char *path, struct state_dir *ret_dir, struct err *err);
void state_dir_close(struct state_dir *dir);
/* The name at the first start: of the host. Owned by the caller. */
int state_dir_instance(const struct state_dir *dir, char **ret_name, struct err *err);
/* *ret_new: it was made by this call and should be shown to the operator, once. */
int state_dir_admin_token(const struct state_dir *dir, char **ret_token, bool *ret_new, struct err *err);
/* "" when none was noted. Owned by the caller. */
int state_dir_cgroup(const struct state_dir *dir, char **ret_cgroup, struct err *err);
int state_dir_keep_cgroup(const struct state_dir *dir, const char *cgroup, struct err *err);
/* Copies berth-init into bin/ unless it is there. *ret_path: of the copy, absolute; owned by the caller. */
int state_dir_copy_init(const struct state_dir *dir, const char *dir_path, const char *init_path,
                        char **ret_path, struct err *err);

#endif
