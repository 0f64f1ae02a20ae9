#include "orchestrator/gateway/streams.h"

#include <stdio.h>
#include <string.h>

struct names {
    char text[STREAMS_SERVICES_MAX];
    const char *items[SPEC_SERVICES_MAX];
    size_t count;
};

static void split(const char *services, struct names *ret) {
    ret->count = 0;
    snprintf(ret->text, sizeof ret->text, "%s", services);
    char *rest = ret->text;
    for (char *name; ret->count < SPEC_SERVICES_MAX && (name = strsep(&rest, ","));)
        if (*name)
            ret->items[ret->count++] = name;
}

int streams_find(const char *services, const char *name) {
    struct names names;
    if (!*name)
        return STREAM_NONE;
    split(services, &names);
    int found = stream_find(name, names.items, names.count);
    return found == STREAM_NONE ? STREAMS_NO_SUCH : found;
}

const char *streams_name(const char *services, int stream, char out[STREAM_NAME_MAX]) {
    struct names names;
    split(services, &names);
    return stream_name(stream, names.items, names.count, out);
}

bool streams_name_ok(const char *name) {
    static const size_t prefix = sizeof STREAM_SERVICE_PREFIX - 1;
    if (stream_find(name, NULL, 0) != STREAM_NONE)
        return true;
    if (strncmp(name, STREAM_SERVICE_PREFIX, prefix) != 0)
        return false;
    const char *service = name + prefix;
    size_t len = strlen(service);
    return len > 0 && len <= SPEC_SERVICE_NAME_MAX && service[0] != '-' && service[len - 1] != '-' &&
           strspn(service, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

const char *streams_list(const char *services, char out[STREAMS_TEXT_MAX]) {
    struct names names;
    char name[STREAM_NAME_MAX];
    split(services, &names);
    size_t len = 0, count = STREAM_SYSTEM + names.count;
    for (size_t i = 0; i < count && len < STREAMS_TEXT_MAX; i++) {
        int stream = i < STREAM_SYSTEM ? (int)i + 1 : STREAM_SERVICE + (int)i - STREAM_SYSTEM;
        len += (size_t)snprintf(out + len, STREAMS_TEXT_MAX - len, "%s%s",
                                i == 0           ? ""
                                : i + 1 == count ? " and "
                                                 : ", ",
                                stream_name(stream, names.items, names.count, name));
    }
    return out;
}
