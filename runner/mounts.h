/*
 * mounts - the mounts that a job asked for, turned into the engine's: volumes made and labelled, binds looked
 * at as files.
 *
 * A bind's source is opened below the operator's root that it names: symbolic links are followed as long as
 * they stay below that root (openat2(2), RESOLVE_BENEATH). The engine gets the path without any links, and
 * init compares device and inode of what it finds at the target (proto/launch.h, "b") before it executes
 * anything, so a name that is moved in between gives a job that did not start, never one that sees another
 * directory.
 *
 * No bind may reach the state directory or a directory that holds it or the engine's socket, whatever links
 * and mounts lead there: settings refuse such roots by name, this looks at what is found.
 */
#ifndef BERTH_RUNNER_MOUNTS_H
#define BERTH_RUNNER_MOUNTS_H

#include <sys/types.h>

#include "proto/attempt.h"
#include "proto/status.h"
#include "runner/docker/container.h"

struct mounts {
    struct container_mount items[SPEC_MOUNTS_MAX];
    size_t count;
    struct mounts_file { /* of binds, in the order of items; dev 0: not a bind */
        dev_t dev;
        ino_t inode;
    } files[SPEC_MOUNTS_MAX];
    char *texts[2 * SPEC_MOUNTS_MAX]; /* what the items borrow; private */
};

/* "berth_<tenant>_<source>": what a named volume of a job is called on the engine. Owned by the caller. */
char *mounts_volume_name(const char *tenant, const char *source);

/* Volumes are made (labels: managed, cluster, instance, role "volume"; not of one job: they last).
 * bind_roots: BERTH_BIND_ROOTS, may be NULL, as may state_dir. -1 as pull_image(): *ret_reason is
 * spec_refused where the job is at fault (a source that does not exist, a link that leaves the root). */
int mounts_resolve(const struct attempt *attempt, const char *bind_roots, const char *state_dir,
                   struct engine *engine, const struct ctx *ctx, struct mounts *ret_mounts,
                   enum reason *ret_reason, struct err *err);
void mounts_done(struct mounts *mounts);

#define AUTO_MOUNTS CLEANUP(mounts_done)

#endif
