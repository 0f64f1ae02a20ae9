/* Memory that cannot be had. Until the real functions are found there is only a small area of our own. */
#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "torture.h"

enum { EARLY_BYTES = 64 * 1024, EARLY_ALIGN = 16 };

static _Alignas(EARLY_ALIGN) unsigned char early[EARLY_BYTES];
static size_t early_used;
static bool searching;

static bool is_early(const void *p) {
    return (uintptr_t)p >= (uintptr_t)early && (uintptr_t)p < (uintptr_t)early + EARLY_BYTES;
}

static void *take_early(size_t bytes) {
    size_t whole = (bytes + EARLY_ALIGN) / EARLY_ALIGN * EARLY_ALIGN;
    if (early_used + whole > EARLY_BYTES)
        return NULL;
    early_used += whole;
    return early + early_used - whole;
}

static struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
} heap;

/* False: we are being asked for memory by the search itself. */
static bool find(void) {
    if (searching)
        return false;
    if (heap.free)
        return true;
    searching = true;
    heap.malloc = (void *(*)(size_t))torture_real("malloc");
    heap.calloc = (void *(*)(size_t, size_t))torture_real("calloc");
    heap.realloc = (void *(*)(void *, size_t))torture_real("realloc");
    heap.free = (void (*)(void *))torture_real("free");
    searching = false;
    return true;
}

static bool none_left(const char *call) {
    return torture_errno(torture_now(call, "ENOMEM"));
}

void *malloc(size_t bytes) {
    if (!find())
        return take_early(bytes);
    return none_left("malloc") ? NULL : heap.malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
    if (!find())
        return take_early(count * bytes);
    return none_left("calloc") ? NULL : heap.calloc(count, bytes);
}

void *realloc(void *p, size_t bytes) {
    if (is_early(p)) {
        void *copy = malloc(bytes);
        size_t most = EARLY_BYTES - ((uintptr_t)p - (uintptr_t)early);
        return copy ? memcpy(copy, p, bytes < most ? bytes : most) : NULL;
    }
    if (!find())
        return take_early(bytes);
    return none_left("realloc") ? NULL : heap.realloc(p, bytes);
}

void free(void *p) {
    if (p && !is_early(p) && find())
        heap.free(p);
}

char *strdup(const char *text) {
    REAL(strdup);
    return none_left("strdup") ? NULL : real(text);
}

char *strndup(const char *text, size_t len) {
    REAL(strndup);
    return none_left("strndup") ? NULL : real(text, len);
}

int vasprintf(char **ret, const char *fmt, va_list args) {
    REAL(vasprintf);
    return none_left("vasprintf") ? -1 : real(ret, fmt, args);
}
