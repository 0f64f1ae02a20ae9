/*
 * container_body - the body of POST /containers/create, field by field. Pure. Private to this folder.
 */
#ifndef BERTH_RUNNER_DOCKER_CONTAINER_BODY_H
#define BERTH_RUNNER_DOCKER_CONTAINER_BODY_H

#include "runner/docker/container.h"

/* The caller's reference. ERR_INVALID: a text is not UTF-8, or what is required is missing. */
int container_body(const struct container_spec *spec, json_t **ret_body, struct err *err);

#endif
