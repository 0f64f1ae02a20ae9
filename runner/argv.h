/*
 * argv - which words the container's command consists of, as the engine would have it. Pure.
 *
 * The job's entrypoint replaces the image's and drops the image's command, even when it is empty; the job's
 * command replaces the image's.
 * (https://docs.docker.com/reference/dockerfile/#understand-how-cmd-and-entrypoint-interact)
 */
#ifndef BERTH_RUNNER_ARGV_H
#define BERTH_RUNNER_ARGV_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"
#include "proto/spec.h"

enum { ARGV_MAX = 2 * SPEC_ARGS_MAX };

struct argv {
    const char **items; /* the words are borrowed from the spec and the image */
    size_t count;       /* >= 1 */
};

/* What the job says of one container; NULL: nothing, which is not the same as an empty list. */
struct argv_own {
    const char *image; /* as the job names it; for the text of an error */
    const struct spec_list *entrypoint, *command;
};
static inline struct argv_own argv_own_main(const struct spec *spec) {
    return (struct argv_own){.image = spec->image,
                             .entrypoint = spec->has_entrypoint ? &spec->entrypoint : NULL,
                             .command = spec->has_command ? &spec->command : NULL};
}
static inline struct argv_own argv_own_service(const struct spec_service *service) {
    return (struct argv_own){.image = service->image,
                             .command = service->has_command ? &service->command : NULL};
}

/* entrypoint, cmd: the image's, arrays of strings or NULL. ERR_INVALID: nothing is left to run; the text is
 * meant for people. ERR_LIMIT: more than ARGV_MAX words. */
int argv_resolve(struct argv_own own, const json_t *entrypoint, const json_t *cmd, struct argv *ret_argv,
                 struct err *err);
void argv_done(struct argv *argv);

#define AUTO_ARGV CLEANUP(argv_done)

#endif
