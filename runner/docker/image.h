/*
 * image - references, pulling with progress, importing, looking at and removing images.
 *
 * Errors: see engine.h. Results own their texts until their _done function (AUTO_*).
 */
#ifndef BERTH_RUNNER_DOCKER_IMAGE_H
#define BERTH_RUNNER_DOCKER_IMAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runner/docker/engine.h"

enum { IMAGE_REF_MAX = 512 }; /* bytes of a reference with NUL */

/* "registry:5000/team/app:v1@sha256:…" taken apart, not completed: "docker.io/library/" is the engine's
 * affair. (https://pkg.go.dev/github.com/distribution/reference) */
struct image_ref {
    char registry[256];         /* "registry:5000"; "" when there is none */
    char name[IMAGE_REF_MAX];   /* with the registry: "registry:5000/team/app" */
    char tag[129];              /* "latest" when neither tag nor digest is given; "" with a digest alone */
    char digest[IMAGE_REF_MAX]; /* "sha256:…"; "" when there is none */
};

/* ERR_INVALID says what is wrong. No I/O. */
int image_ref_parse(const char *text, struct image_ref *ret_ref, struct err *err);

/* As the engine lists the reference among an image's names: "app:latest" for "docker.io/library/app"; "" for
 * one by digest, which is no name. */
const char *image_ref_familiar(const struct image_ref *ref, char out[IMAGE_REF_MAX]);

struct image_info {
    const char *id;          /* "sha256:…" */
    const char *repo_digest; /* "name@sha256:…", of the name asked for if there is one; "" for an image that
                                was never pulled or pushed */
    const json_t *entrypoint, *cmd, *env; /* arrays of strings; never NULL */
    const char *user, *workdir;           /* "" when the image does not say */
    const char *stop_signal;              /* "" likewise */
    bool has_healthcheck;
    const json_t *health; /* what it executes: ["CMD", "word", …], ["CMD-SHELL", "line"]; never NULL */
    int64_t size_bytes;
    const json_t *labels; /* object of strings; never NULL */
    const json_t
        *tags;     /* its names on this engine, "app:v1", as image_ref_familiar() writes them; never NULL */
    json_t *owner; /* private */
};

/* ERR_ENGINE 404: not on this engine. */
int image_inspect(struct engine *engine, const struct ctx *ctx, const char *ref, struct image_info *ret_info,
                  struct err *err);
void image_info_done(struct image_info *info);
#define AUTO_IMAGE_INFO CLEANUP(image_info_done)

struct image_progress {
    const char *status;                 /* "Downloading" */
    const char *layer;                  /* its id; "" for news about the whole */
    int64_t current_bytes, total_bytes; /* 0: not known */
};

/* Pulls one image (never all tags). auth: the value of X-Registry-Auth (base64url JSON), or NULL. An ended
 * ctx also ends the pull in the engine. An error that comes inside a 200 stream is ERR_ENGINE like any other;
 * on_progress (may be NULL) is called for each line of news, which lives for that call only.
 * image_pull_failure() tells what kind of failure err is. */
int image_pull(struct engine *engine, const struct ctx *ctx, const char *ref, const char *auth,
               void (*on_progress)(void *arg, const struct image_progress *progress), void *arg,
               struct err *err);

enum image_failure {
    IMAGE_NOT_FOUND, /* ERR_ENGINE 404: no such repository or tag (a registry that hides private ones says so
                        too) */
    IMAGE_DENIED,    /* ERR_ENGINE 401 or 403: credentials missing or refused */
    IMAGE_FAILED,    /* anything else: registry away, disk full, broken layer; trying again may help */
};
enum image_failure image_pull_failure(const struct err *pull_err);

/* Makes an image of one layer from a tar archive. changes: Dockerfile instructions (`ENTRYPOINT ["/init"]`),
 * ends with NULL, may be NULL. ret_id gets "sha256:…", owned by the caller. */
int image_import(struct engine *engine, const struct ctx *ctx, const void *tar, size_t tar_bytes,
                 const char *repo, const char *tag, const char *const *changes, struct engine_pairs labels,
                 char **ret_id, struct err *err);

/* Absent is success. ERR_ENGINE 409: a container needs it (force removes it only from stopped ones). */
int image_remove(struct engine *engine, const struct ctx *ctx, const char *ref, bool force, struct err *err);

#endif
