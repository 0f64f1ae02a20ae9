/*
 * url - paths and queries of the Engine API, escaped. Pure. Private to this folder.
 */
#ifndef BERTH_RUNNER_DOCKER_URL_H
#define BERTH_RUNNER_DOCKER_URL_H

#include "base/buf.h"
#include "base/err.h"

enum { URL_MAX = 16 * 1024 }; /* bytes of one path with its query */

/* Appends the pattern; each "{}" in it is replaced by the next argument (const char *), percent-escaped but
 * for RFC 3986's unreserved characters. An argument that is NULL or "" is refused (ERR_INVALID): it would
 * name another resource than the one that was meant. ERR_LIMIT when out->max is passed. */
int url_format(struct buf *out, struct err *err, const char *pattern, ...);

#endif
