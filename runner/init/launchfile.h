/*
 * launchfile - reads what proto/launch.h describes.
 *
 * The strings point into one block that lives as long as the process: init reads one launch file and becomes
 * nothing else, so there is nothing to release (launchfile_done is for tests).
 */
#ifndef BERTH_RUNNER_INIT_LAUNCHFILE_H
#define BERTH_RUNNER_INIT_LAUNCHFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LAUNCHFILE_PATH_MAX = 4096 /* bytes of an HTTP path */ };

enum launchfile_ready {
    LAUNCHFILE_READY_EXECUTED, /* as soon as the command was executed */
    LAUNCHFILE_READY_TCP,
    LAUNCHFILE_READY_HTTP,
    LAUNCHFILE_READY_COMMAND,
    LAUNCHFILE_READY_LOG,
};

struct launchfile_bind {
    uint64_t dev, inode;
    const char *target;
};

struct launchfile {
    char **argv; /* NULL-terminated, at least one */
    char **env;  /* NULL-terminated, NAME=value; a name occurs once */
    bool has_input;
    enum launchfile_ready ready;
    uint16_t port;          /* TCP, HTTP */
    const char *path;       /* HTTP; begins with "/" */
    char **command;         /* COMMAND; NULL-terminated, at least one */
    const char *expression; /* LOG */
    struct launchfile_bind *binds;
    size_t bind_count;
    char *block; /* owns the strings */
};

/* bytes: the whole file, `len` of them followed by a NUL; taken over on success. NULL, or what is wrong with
 * it. */
const char *launchfile_parse(char *bytes, size_t len, struct launchfile *ret);
/* Reads dir/launch. NULL, or what is wrong; errno is 0 where no system call failed. */
const char *launchfile_read(const char *path, struct launchfile *ret);
void launchfile_done(struct launchfile *launch);

/* The inherited environment with the launch file's put over it; one allocation, NULL when memory is out. */
char **launchfile_environment(const struct launchfile *launch, char *const *inherited);

#endif
