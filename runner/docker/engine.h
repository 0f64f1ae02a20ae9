/*
 * engine - one Docker Engine: where it is, how to reach it, which API version both sides speak.
 *
 * This folder is the only place that knows Engine API URLs (https://docs.docker.com/reference/api/engine/).
 * All calls block, one at a time, each under the ctx of its caller: its deadline or cancellation ends the
 * call at once, and its watch is served while waiting. A watch may itself call the engine (ENGINE_NEST_MAX
 * deep). Connections are kept alive between calls. Nothing here logs, retries or reads the environment; the
 * process ignores SIGPIPE. One thread only. After fork() a child opens its own.
 *
 * Errors of every call in this folder:
 *   ERR_AWAY      the engine cannot be reached, or closed the connection before its answer was whole. Nothing
 *                 is known about what the call has done: look (inspect) before trying again.
 *   ERR_ENGINE    it answered with HTTP status `code` >= 400; the text has method, path and its message.
 *   ERR_INVALID   its answer is not what the API says (no HTTP, no JSON, a field missing).
 *   ERR_LIMIT     its answer goes past one of the bounds below.
 *   ERR_CANCELED, ERR_DEADLINE   the ctx ended. A call without a deadline may wait for ever.
 */
#ifndef BERTH_RUNNER_DOCKER_ENGINE_H
#define BERTH_RUNNER_DOCKER_ENGINE_H

#include <stddef.h>

#include "base/cleanup.h"
#include "base/ctx.h"
#include "base/err.h"

#define ENGINE_DEFAULT_HOST "unix:///var/run/docker.sock"

enum {
    ENGINE_HEADER_MAX = 64 * 1024,     /* bytes of an answer's header */
    ENGINE_BODY_MAX = 8 * 1024 * 1024, /* bytes of an answer that is taken as a whole */
    ENGINE_LINE_MAX = 1024 * 1024,     /* bytes of one JSON value of a stream (pull, events) */
    ENGINE_NEST_MAX = 4,               /* calls inside calls */
    ENGINE_ID_MAX = 65,                /* a container's or network's id (64 hex digits) and NUL */
};

/* The values of the docker CLI's variables; NULL and "" both mean unset. Borrowed during engine_open only. */
struct engine_settings {
    const char *host;        /* DOCKER_HOST: unix:///path or tcp://host[:port] (2375, with TLS 2376) */
    const char *tls_verify;  /* DOCKER_TLS_VERIFY: anything but "" turns TLS with verification on */
    const char *cert_path;   /* DOCKER_CERT_PATH: directory of ca.pem, cert.pem, key.pem; needed with TLS */
    const char *api_version; /* DOCKER_API_VERSION: "1.41": speak this, do not negotiate */
};

struct engine;

/* No input or output yet. ERR_USAGE when a setting is wrong; the text names the variable and the remedy. */
int engine_open(const struct engine_settings *settings, struct engine **ret_engine, struct err *err);
void engine_close(struct engine *engine); /* NULL is fine */

/* Agrees on an API version: the smaller of ours (1.47) and the engine's, and at least 1.40; ERR_USAGE when
 * there is none. To be called once before any other call, and again by who wants a ping: it is cheap. */
int engine_negotiate(struct engine *engine, const struct ctx *ctx, struct err *err);

const char *engine_host(const struct engine *engine);        /* as in DOCKER_HOST; for messages */
const char *engine_api_version(const struct engine *engine); /* "1.41"; "" before engine_negotiate */

/* Whether err is the engine's answer with this HTTP status. */
static inline int engine_status_is(const struct err *err, int status) {
    return err->kind == ERR_ENGINE && err->code == status;
}

/* A label, an option, a tmpfs: key and value. */
struct engine_pair {
    const char *key, *value;
};
struct engine_pairs {
    const struct engine_pair *items;
    size_t count;
};

static inline void engine_close_p(struct engine **engine) {
    engine_close(*engine);
}
#define AUTO_ENGINE CLEANUP(engine_close_p)

#endif
