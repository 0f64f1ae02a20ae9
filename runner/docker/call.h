/*
 * call - one request to the engine, start to end. Private to this folder.
 */
#ifndef BERTH_RUNNER_DOCKER_CALL_H
#define BERTH_RUNNER_DOCKER_CALL_H

#include <jansson.h>

#include "runner/docker/transfer.h"

/* Under engine->version unless the call is unversioned. Success is an answer below 300, or 304. */
int call_run(struct engine *engine, const struct ctx *ctx, const struct call *call,
             struct call_answer *answer, struct err *err);
/* The same, and the answer must be a JSON object or array (the caller's reference). */
int call_json(struct engine *engine, const struct ctx *ctx, const struct call *call, json_t **ret_json,
              struct err *err);
int call_get_json(struct engine *engine, const struct ctx *ctx, const char *path, json_t **ret_json,
                  struct err *err);
/* With a JSON body (may be NULL); the answer is not of interest unless ret_json is there. */
int call_post_json(struct engine *engine, const struct ctx *ctx, const char *path, const json_t *body,
                   json_t **ret_json, struct err *err);
/* "removed" and "not there" are the same: an answer 404 is success. */
int call_delete(struct engine *engine, const struct ctx *ctx, const char *path, struct err *err);

#endif
