/*
 * routes - which handler answers which method and path. Pure: a table and a search.
 */
#ifndef BERTH_GATEWAY_ROUTES_H
#define BERTH_GATEWAY_ROUTES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/id.h"

enum { ROUTE_PART_MAX = 64 }; /* a UUID, or the name of an orchestrator (settings.c), and the NUL */
_Static_assert((int)ROUTE_PART_MAX >= (int)ID_TEXT_MAX, "an id fits");

struct request;

enum route_method {
    ROUTE_GET = 1 << 0,
    ROUTE_POST = 1 << 1,
    ROUTE_PUT = 1 << 2,
    ROUTE_PATCH = 1 << 3,
    ROUTE_DELETE = 1 << 4,
    ROUTE_OPTIONS = 1 << 5,
};

struct route {
    enum route_method method; /* HEAD is GET without the body */
    const char *pattern;      /* "{id}" is one UUID, "{name}" one orchestrator's name */
    void (*handler)(struct request *request);
    size_t body_max; /* bytes; 0: takes none */
    bool open;       /* needs no token */
    bool quiet;      /* asked all the time: not worth a line in the log */
};

extern const struct route routes[]; /* ended by a NULL pattern */

/* *ret_part: what stands in place of "{id}" or "{name}"; "" where there is none.
 * NULL when the path is unknown (*ret_allow is 0) or does not know the method (*ret_allow: those it does
 * know). */
const struct route *route_find(const struct route *table, enum route_method method, const char *path,
                               char ret_part[ROUTE_PART_MAX], unsigned *ret_allow);
/* "GET, HEAD, POST" for the Allow header. */
const char *route_allow_text(unsigned allow, char out[64]);
const char *route_method_word(enum route_method method); /* "GET" */

#endif
