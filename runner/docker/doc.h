/*
 * doc - reading the engine's answers and building its bodies. Private to this folder.
 *
 * Reading is lenient where the API may leave a field out (Go's omitempty, null for an empty map) and strict
 * about types where a wrong reading would mislead. Texts and objects are borrowed from what they are in.
 */
#ifndef BERTH_RUNNER_DOCKER_DOC_H
#define BERTH_RUNNER_DOCKER_DOC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "runner/docker/engine.h"

/* "" when absent or not a string; an empty object or array when absent or of another type. */
const char *doc_text(const json_t *object, const char *key);
const json_t *doc_map(const json_t *object, const char *key);
const json_t *doc_list(const json_t *object, const char *key);
/* RFC 3339 text as microseconds since 1970; 0 when absent or before 1970 (Go's zero time is the year 1). */
int64_t doc_time_us(const json_t *object, const char *key);

/* Copies a text that must be there and fit. ERR_INVALID names `what` and the key. */
int doc_copy(const json_t *object, const char *key, char *out, size_t size, const char *what,
             struct err *err);

/* A body under construction: `bad` sticks when a text is not UTF-8 (or memory ran out), so that it is asked
 * for once, at the end. Values are taken over; a NULL one sets `bad`. */
struct doc_body {
    json_t *root;
    bool bad;
};
void doc_put(struct doc_body *body, json_t *object, const char *key, json_t *value);
void doc_put_text(struct doc_body *body, json_t *object, const char *key, const char *text); /* not if NULL */
void doc_put_number(struct doc_body *body, json_t *object, const char *key, int64_t value);  /* not if 0 */
json_t *doc_texts(struct doc_body *body, const char *const *list); /* ends with NULL; NULL: [] */
json_t *doc_pairs(struct doc_body *body, struct engine_pairs pairs);
/* 0, or ERR_INVALID saying that `what` has a text that is not UTF-8. */
int doc_body_check(const struct doc_body *body, const char *what, struct err *err);

/* {"label": ["k=v", "k"], …} as text for a query; the other lists (may be NULL) end with NULL. */
struct doc_filter {
    const char *key;
    const char *const *values;
};
int doc_filters(struct engine_pairs labels, const struct doc_filter *more, size_t count, char **ret_text,
                struct err *err);

#endif
