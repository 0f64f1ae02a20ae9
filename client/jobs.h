/* jobs - what the commands that ask one thing about jobs share (jobs.c, steps.c). */
#ifndef BERTH_CLIENT_JOBS_H
#define BERTH_CLIENT_JOBS_H

#include <stddef.h>

#include "client/command.h"

struct jobs_options {
    struct options common;
    const char *file;
    bool all, force, help;
};

int jobs_take_output(void *arg, const struct option_spec *self, const char *value, struct err *err);

#define OPTION_HELP                                                                                          \
    { "--help", 'h', false, option_take_flag, "show this", .offset = offsetof(struct jobs_options, help) }
#define OPTION_OUTPUT                                                                                        \
    { "--output", 'o', true, jobs_take_output, "FORM table, json or name" }
#define OPTION_QUIET                                                                                         \
    {                                                                                                        \
        "--quiet", 'q', false, option_take_flag, "say nothing but what is asked for",                        \
            .offset = offsetof(struct jobs_options, common.quiet)                                            \
    }

/* Parses, shows --help, opens the remote. 1: go on with argv[*ret_first]; else 0 and *ret_exit. */
int jobs_begin(const struct option_spec *table, size_t count, const char *usage, struct jobs_options *options,
               int argc, char **argv, int *ret_first, struct remote *remote, int *ret_exit);
/* Complains that no job is named; returns the exit status. */
int jobs_missing(const char *command);
/* Does one thing for every job named from argv[first] on; the worst exit status wins. */
typedef int jobs_act(struct remote *remote, const char *id, const struct jobs_options *options,
                     struct err *err);
int jobs_each(struct remote *remote, int argc, char **argv, int first, const struct jobs_options *options,
              jobs_act *act);

/* Of an answer of the server; "" where there is none. */
const char *text_of(const json_t *doc, const char *key);
/* "failed/oom" of a job or of what explains it. Owned by the caller. */
char *state_of(const json_t *doc);

#endif
