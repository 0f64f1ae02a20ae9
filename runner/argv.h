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

/* entrypoint, cmd: the image's, arrays of strings or NULL. ERR_INVALID: nothing is left to run; the text is
 * meant for people. ERR_LIMIT: more than ARGV_MAX words. */
int argv_resolve(const struct spec *spec, const json_t *entrypoint, const json_t *cmd, struct argv *ret_argv,
                 struct err *err);
void argv_done(struct argv *argv);

#define AUTO_ARGV CLEANUP(argv_done)

#endif
