/*
 * transfer - one HTTP exchange with the engine, round by round. Private to this folder.
 *
 * Here is the only place that waits: for curl and for the ctx together. Short calls use call.h; this is for
 * it and for streams that outlive a call (events). See engine.h for the errors.
 */
#ifndef BERTH_RUNNER_DOCKER_TRANSFER_H
#define BERTH_RUNNER_DOCKER_TRANSFER_H

#include <curl/curl.h>
#include <stdbool.h>

#include "base/buf.h"
#include "runner/docker/engine.h"

enum {
    CALL_VERSION_MAX = 16,
    CALL_CONNECT_MAX_MS = 30 * 1000, /* to make a connection, whatever the ctx allows */
    TRANSFER_PAUSE = 1,              /* from on_bytes: not now; the same bytes come again after unpausing */
};

struct call_slot {
    CURLM *multi;
    CURL *easy;
};

struct engine {
    char *host;                     /* as in DOCKER_HOST */
    char *base;                     /* "http://localhost" or "https://host:2376" */
    char *socket;                   /* path; NULL: TCP */
    char *ca, *cert, *key;          /* paths; NULL: none */
    char version[CALL_VERSION_MAX]; /* spoken; "": not negotiated */
    bool version_forced;
    unsigned depth; /* calls that are under way */
    struct call_slot slots[ENGINE_NEST_MAX];
};

struct call {
    const char *method;
    const char *path; /* from url_format(), without the version; with its query */
    bool unversioned;
    const void *body; /* NULL: none */
    size_t body_bytes;
    const char *content_type;
    const char *header; /* one more "Name: value"; NULL: none */
    /* Takes the bytes of an answer below 300 as they come, instead of answer.body; negative ends the call. */
    int (*on_bytes)(void *arg, const char *bytes, size_t len, struct err *err);
    void *arg;
};

struct call_answer {
    int status;
    struct buf body;
    char api_version[CALL_VERSION_MAX]; /* the header Api-Version; "": absent */
};
#define CALL_ANSWER ((struct call_answer){.body = BUF(ENGINE_BODY_MAX)})
static inline void call_answer_done(struct call_answer *answer) {
    buf_done(&answer->body);
}
#define AUTO_ANSWER CLEANUP(call_answer_done)

struct transfer {
    struct engine *engine;
    struct call_slot *slot;
    const struct call *call;
    struct call_answer *answer;
    struct curl_slist *headers;
    char curl_text[CURL_ERROR_SIZE];
    size_t header_bytes;
    bool header_done; /* of the answer itself, 100 Continue and the like not counted */
    bool failed;      /* err says why a callback of ours ended it */
    struct err err;
};

/* All but ret_transfer are borrowed until transfer_end(); the transfer must not move. */
int transfer_begin(struct engine *engine, struct call_slot *slot, const struct call *call,
                   struct call_answer *answer, struct transfer *ret_transfer, struct err *err);
/* Does what can be done now, without blocking. 1: the exchange is over, with *ret_code; 0: go on. */
int transfer_step(struct transfer *transfer, CURLcode *ret_code, struct err *err);
/* Waits until transfer_step() has something to do; -1 also when the ctx ended, which is checked first. */
int transfer_wait(struct transfer *transfer, const struct ctx *ctx, struct err *err);
/* Whether the answer has begun and is one that on_bytes gets. */
bool transfer_is_good(const struct transfer *transfer);
/* What its end means: success is an answer below 300, or 304. */
int transfer_verdict(struct transfer *transfer, CURLcode code, struct err *err);
/* May be called at any time after transfer_begin, whether that succeeded or not. */
void transfer_end(struct transfer *transfer);
#define AUTO_TRANSFER CLEANUP(transfer_end)

void call_slot_close(struct call_slot *slot);

#endif
