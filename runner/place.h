/*
 * place - where berth-init lies, and where the runners of a host take turns.
 */
#ifndef BERTH_RUNNER_PLACE_H
#define BERTH_RUNNER_PLACE_H

#include "base/err.h"

/* The static berth-init: the named one, or (given NULL or "") beside this program, in ../lib/berth, in
 * ../libexec/berth, or in the build tree. Absolute, without links; owned by the caller. ERR_USAGE names the
 * remedy. */
int place_find_init(const char *given, char **ret_path, struct err *err);

/* <state_dir>/locks, made where it is missing. *ret_fd is the caller's. */
int place_open_locks(const char *state_dir, int *ret_fd, struct err *err);

#endif
