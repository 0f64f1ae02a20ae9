#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "orchestrator/gateway/routes.h"

static bool matches(const char *pattern, const char *path, char ret_id[ID_TEXT_MAX]) {
    const char *hole = strstr(pattern, "{id}");
    if (!hole)
        return strcmp(pattern, path) == 0;
    size_t before = (size_t)(hole - pattern);
    if (strncmp(pattern, path, before) != 0 || strnlen(path + before, ID_TEXT_MAX) < ID_TEXT_MAX - 1)
        return false;
    char id[ID_TEXT_MAX];
    memcpy(id, path + before, ID_TEXT_MAX - 1);
    id[ID_TEXT_MAX - 1] = '\0';
    if (!id_valid(id) || strcmp(hole + strlen("{id}"), path + before + ID_TEXT_MAX - 1) != 0)
        return false;
    memcpy(ret_id, id, ID_TEXT_MAX);
    return true;
}

const struct route *route_find(const struct route *table, enum route_method method, const char *path,
                               char ret_id[ID_TEXT_MAX], unsigned *ret_allow) {
    *ret_allow = 0;
    ret_id[0] = '\0';
    for (const struct route *route = table; route->pattern; route++) {
        if (!matches(route->pattern, path, ret_id))
            continue;
        if (route->method == method)
            return route;
        *ret_allow |= (unsigned)route->method;
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
