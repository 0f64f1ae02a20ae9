/*
 * run_flags - the words behind `berth run` become a job: the flags of docker run where there is one of that
 * meaning. Reads env files and our own environment, asks nobody.
 */
#ifndef BERTH_CLIENT_RUN_FLAGS_H
#define BERTH_CLIENT_RUN_FLAGS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct run_flags {
    json_t *spec; /* an object; the caller's */
    bool detach, quiet, help;
};

/* Flags, IMAGE and COMMAND into *flags. ERR_USAGE. With --help nothing more is looked at. */
int run_flags_parse(struct run_flags *flags, int argc, char **argv, struct err *err);
void run_flags_print(void); /* for --help */

#endif
