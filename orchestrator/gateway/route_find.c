#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "orchestrator/gateway/routes.h"

static bool is_id(const char *part) {
    return id_valid(part);
}

/* What settings.c allows. */
static bool is_name(const char *part) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return *part && *part != '.' && !part[strspn(part, allowed)];
}

static const struct {
    const char *text;
    bool (*fits)(const char *part);
} holes[] = {{"{id}", is_id}, {"{name}", is_name}};

/* The part of the path in the pattern's hole, which ends at a slash. */
static bool fill_hole(const char *hole, size_t kind, const char *from, char ret_part[ROUTE_PART_MAX]) {
    size_t len = strcspn(from, "/");
    char part[ROUTE_PART_MAX];
    if (len >= sizeof part)
        return false;
    memcpy(part, from, len);
    part[len] = '\0';
    if (!holes[kind].fits(part) || strcmp(hole + strlen(holes[kind].text), from + len) != 0)
        return false;
    memcpy(ret_part, part, len + 1);
    return true;
}

static bool matches(const char *pattern, const char *path, char ret_part[ROUTE_PART_MAX]) {
    for (size_t i = 0; i < ARRAY_LEN(holes); i++) {
        const char *hole = strstr(pattern, holes[i].text);
        if (hole)
            return strncmp(pattern, path, (size_t)(hole - pattern)) == 0 &&
                   fill_hole(hole, i, path + (hole - pattern), ret_part);
    }
    return strcmp(pattern, path) == 0;
}

const struct route *route_find(const struct route *table, enum route_method method, const char *path,
                               char ret_part[ROUTE_PART_MAX], unsigned *ret_allow) {
    *ret_allow = 0;
    ret_part[0] = '\0';
    for (const struct route *route = table; route->pattern; route++) {
        if (!matches(route->pattern, path, ret_part))
            continue;
        if (route->method == method)
            return route;
        *ret_allow |= (unsigned)route->method;
        ret_part[0] = '\0';
    }
    return NULL;
}

const char *route_allow_text(unsigned allow, char out[64]) {
    static const struct {
        enum route_method method;
        const char *words;
    } names[] = {
        {ROUTE_GET, "GET, HEAD"}, {ROUTE_POST, "POST"},     {ROUTE_PUT, "PUT"},
        {ROUTE_PATCH, "PATCH"},   {ROUTE_DELETE, "DELETE"}, {ROUTE_OPTIONS, "OPTIONS"},
    };
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (allow & (unsigned)names[i].method)
            used += (size_t)snprintf(out + used, 64 - used, "%s%s", used ? ", " : "", names[i].words);
    return out;
}

const char *route_method_word(enum route_method method) {
    static const struct {
        enum route_method method;
        const char *word;
    } words[] = {
        {ROUTE_GET, "GET"},     {ROUTE_POST, "POST"},     {ROUTE_PUT, "PUT"},
        {ROUTE_PATCH, "PATCH"}, {ROUTE_DELETE, "DELETE"}, {ROUTE_OPTIONS, "OPTIONS"},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (words[i].method == method)
            return words[i].word;
    return "?";
}
