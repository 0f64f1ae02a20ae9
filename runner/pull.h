/*
 * pull - gets an image onto the engine as the job's rule says, once for all that want it at the same time.
 *
 * Runners of one host take turns on a lock for each reference; who had to wait looks again before it pulls,
 * and one that says "always" is content with a pull that began after it had asked. Credentials come from a
 * docker config.json (its "auths"; helpers are programs and are not run). Progress goes to the job's system
 * stream.
 */
#ifndef BERTH_RUNNER_PULL_H
#define BERTH_RUNNER_PULL_H

#include "proto/spec.h"
#include "proto/status.h"
#include "runner/docker/image.h"

enum { PULL_CONFIG_MAX = 256 * 1024, PULL_PROGRESS_MS = 5000 /* between two lines about one pull */ };

struct pull {
    struct engine *engine;
    const char *image;
    enum spec_pull rule;
    const char *config_path; /* BERTH_DOCKER_CONFIG; NULL: no credentials */
    int lock_dir_fd;         /* a directory that all runners of this host share */
    int dir_fd;              /* the attempt's, for the system stream; -1: nobody is told */
    bool *came; /* set when the image was not there before and came with this call's pull; NULL: not asked */
};

/* The image is there: *ret_info. -1: err; and *ret_reason is why the job cannot have it (image_not_found,
 * image_denied, pull_failed, spec_refused) with a sentence for people in err->text, or REASON_NONE where err
 * alone says it (ERR_AWAY, ERR_CANCELED, ERR_DEADLINE). */
int pull_image(const struct pull *pull, const struct ctx *ctx, struct image_info *ret_info,
               enum reason *ret_reason, struct err *err);

/* The value of X-Registry-Auth for an image, owned by the caller; NULL: the config has none for its registry.
 * ERR_INVALID: the config cannot be understood. */
int pull_auth(const char *config, size_t len, const char *image, char **ret_auth, struct err *err);

#endif
