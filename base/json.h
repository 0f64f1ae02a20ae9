/*
 * json - what every room needs beside jansson: release tied to the scope, and members read with their type.
 *
 * The getters accept a NULL or non-object `obj` and then answer as if the member were absent.
 */
#ifndef BERTH_BASE_JSON_H
#define BERTH_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/mem.h"

/* For main(), before anything else: no call of jansson fails for want of memory (base/mem.h). */
static inline void json_use_mem(void) {
    json_set_alloc_funcs(mem_alloc, free);
}

static inline void json_decref_p(json_t **json) {
    json_decref(*json);
}
#define AUTO_JSON CLEANUP(json_decref_p)

/* Owned by obj; NULL when absent or not a string. A string with a NUL inside ends there for the caller. */
static inline const char *json_get_string(const json_t *obj, const char *key) {
    return json_string_value(json_object_get(obj, key));
}

/* otherwise: when absent or not an integer. */
static inline int64_t json_get_int(const json_t *obj, const char *key, int64_t otherwise) {
    const json_t *value = json_object_get(obj, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

/* otherwise: when absent or neither true nor false. */
static inline bool json_get_bool(const json_t *obj, const char *key, bool otherwise) {
    const json_t *value = json_object_get(obj, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

#endif
