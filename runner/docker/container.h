/*
 * container - make, start, kill, wait for, look at and remove containers.
 *
 * `id` is an id or a name everywhere. Results borrow their texts from the engine's answer, which they own:
 * release them with their _done function (AUTO_*); then all their texts are gone. Errors: see engine.h.
 */
#ifndef BERTH_RUNNER_DOCKER_CONTAINER_H
#define BERTH_RUNNER_DOCKER_CONTAINER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "runner/docker/engine.h"

enum container_mount_type { CONTAINER_MOUNT_BIND, CONTAINER_MOUNT_VOLUME, CONTAINER_MOUNT_TMPFS };

struct container_mount {
    enum container_mount_type type;
    const char
        *source; /* bind: absolute path on the engine's host, must exist; volume: its name; tmpfs: NULL */
    const char *target; /* absolute path in the container */
    bool read_only;
    int64_t tmpfs_bytes; /* tmpfs only; 0: no limit of its own */
};

/* What is to be created; borrows everything, for the time of the call. Lists end with NULL; a NULL list, a
 * NULL text and a number 0 leave the engine's (or the image's) default. Always set: no environment of ours,
 * no standard input, no terminal, log driver none, no engine's init, no health check of the engine's, all
 * capabilities dropped but cap_add, no-new-privileges, never privileged. */
struct container_spec {
    const char *name;              /* required: [a-zA-Z0-9][a-zA-Z0-9_.-]+ */
    const char *image;             /* required: reference or id */
    const char *const *entrypoint; /* argv; the image's own when NULL. Setting it drops the image's command */
    const char *const *cmd;        /* argv behind the entrypoint */
    const char *user;              /* "uid:gid" or names */
    const char *workdir;
    const char *hostname;    /* not with network_mode "container:…" */
    const char *stop_signal; /* "SIGTERM" */
    struct engine_pairs labels;

    int64_t memory_bytes; /* swap is limited to the same, so there is none */
    int64_t nano_cpus;    /* 1e9 is one CPU */
    int64_t pids_limit;
    int64_t shm_bytes;
    int64_t nofile;    /* soft and hard */
    int oom_score_adj; /* -1000 to 1000 */
    bool read_only;    /* the root file system */
    const char *const *cap_add;
    const char *cgroup_parent; /* cgroupfs: a path; systemd: a slice */
    struct engine_pairs tmpfs; /* path -> mount options ("size=64m,mode=1777") */
    const struct container_mount *mounts;
    size_t mount_count;

    const char *network_mode;           /* "none", "container:<id>", a network's name or id */
    const char *const *network_aliases; /* its names there; only with a network of one's own */
};

/* ERR_ENGINE 409: the name is in use (someone, perhaps we, made it before); 404: no such image;
 * 400: the engine refuses the spec. */
int container_create(struct engine *engine, const struct ctx *ctx, const struct container_spec *spec,
                     char ret_id[ENGINE_ID_MAX], struct err *err);

/* Already started is success. ERR_ENGINE 404: no such container; 400: the command cannot be run (the
 * container exists still, with exit code 126 or 127 and an error in inspect). */
int container_start(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err);

/* signal: "SIGTERM", "KILL", "9". ERR_ENGINE 404: no such container; 409: it is not running. */
int container_kill(struct engine *engine, const struct ctx *ctx, const char *id, const char *signal,
                   struct err *err);

int container_pause(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err);
int container_unpause(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err);

struct container_exit {
    int status_code; /* 0 to 255 */
    char error[256]; /* the engine's own trouble with the container; "" when none */
};

/* Until the container does not run. One that was not started yet counts as not running. The code is a hint
 * only: an engine that is being stopped reports what it likes (design.md, "Why berth-init"). An answer that
 * ends without a code is ERR_AWAY and says nothing about the container: inspect it. */
int container_wait(struct engine *engine, const struct ctx *ctx, const char *id,
                   struct container_exit *ret_exit, struct err *err);

struct container_info {
    const char *id, *name; /* the name without the leading slash */
    const char *image;     /* the image's id, "sha256:…" */
    const char *status;    /* created, running, paused, restarting, removing, exited, dead */
    bool running, paused, oom_killed;
    int exit_code;
    int64_t pid;        /* of PID 1, on the engine's host; 0: not running */
    const char *error;  /* why the last start failed; "" when it did not */
    const char *health; /* starting, healthy, unhealthy; "" when the image has no health check */
    int64_t created_us; /* since 1970-01-01T00:00:00Z, as the other two; 0: never */
    /* The engine notes the start after the fact: a short job may be finished_us some ms before started_us. */
    int64_t started_us, finished_us;
    const json_t *labels;   /* object of strings; never NULL */
    const json_t *networks; /* object: name -> {"IPAddress", "NetworkID", …}; never NULL */
    json_t *owner;          /* what holds it all; private */
};

/* ERR_ENGINE 404: no such container. */
int container_inspect(struct engine *engine, const struct ctx *ctx, const char *id,
                      struct container_info *ret_info, struct err *err);
void container_info_done(struct container_info *info);
/* The label's text; NULL when it is not there. Also for the labels of a summary. */
const char *container_label(const json_t *labels, const char *key);

/* Absent, and a removal that is going on already, are success. force: kill it first; volumes: also its
 * anonymous volumes. ERR_ENGINE 409: it runs, and force was not set. */
int container_remove(struct engine *engine, const struct ctx *ctx, const char *id, bool force, bool volumes,
                     struct err *err);

struct container_summary {
    const char *id, *name, *image;
    const char *image_id; /* "sha256:…" */
    const char *state;    /* as container_info.status */
    const json_t *labels; /* object of strings; never NULL */
    const json_t *mounts; /* array of objects: "Source" is a bind's path on the engine's host; never NULL */
    int64_t created_us;
};
struct container_list {
    struct container_summary *items;
    size_t count;
    json_t *owner; /* private */
};

/* Those that bear all of these labels; a label with a NULL value: whatever its value. all: not only those
 * that run. A container that vanishes meanwhile is simply not there. */
int container_list(struct engine *engine, const struct ctx *ctx, struct engine_pairs labels, bool all,
                   struct container_list *ret_list, struct err *err);
void container_list_done(struct container_list *list);

#define AUTO_CONTAINER_INFO CLEANUP(container_info_done)
#define AUTO_CONTAINER_LIST CLEANUP(container_list_done)

#endif
