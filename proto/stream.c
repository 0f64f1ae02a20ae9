#include "proto/stream.h"

#include <stdio.h>
#include <string.h>

static const char *const own[] = {
    [STREAM_STDOUT] = "stdout", [STREAM_STDERR] = "stderr", [STREAM_SYSTEM] = "system"};

const char *stream_name(int stream, const char *const *services, size_t count, char out[STREAM_NAME_MAX]) {
    const char *service = "?";
    if (stream >= STREAM_STDOUT && stream <= STREAM_SYSTEM) {
        snprintf(out, STREAM_NAME_MAX, "%s", own[stream]);
        return out;
    }
    if (stream >= STREAM_SERVICE && (size_t)(stream - STREAM_SERVICE) < count)
        service = services[stream - STREAM_SERVICE];
    snprintf(out, STREAM_NAME_MAX, STREAM_SERVICE_PREFIX "%s", service);
    return out;
}

int stream_find(const char *name, const char *const *services, size_t count) {
    static const size_t prefix = sizeof STREAM_SERVICE_PREFIX - 1;
    for (int i = STREAM_STDOUT; i <= STREAM_SYSTEM; i++)
        if (strcmp(name, own[i]) == 0)
            return i;
    if (strncmp(name, STREAM_SERVICE_PREFIX, prefix) != 0)
        return STREAM_NONE;
    for (size_t i = 0; i < count; i++)
        if (strcmp(name + prefix, services[i]) == 0)
            return STREAM_SERVICE + (int)i;
    return STREAM_NONE;
}
