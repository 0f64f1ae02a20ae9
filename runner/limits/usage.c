#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "runner/limits/limits_parts.h"

enum { NS_PER_US = 1000 };

static int64_t digits(const char *text) {
    char *end = NULL;
    long long n = strtoll(text, &end, 10);
    return end != text && n >= 0 ? n : -1;
}

/* The number in the file, or behind `key` at the beginning of one of its lines. -1: there is none. */
static int64_t value(const char *dir, const char *file, const char *key) {
    AUTO_BUF struct buf text = BUF(LIMITS_FILE_MAX);
    AUTO_FREE char *path = mem_printf("%s/%s", dir, file);
    if (!dir[0] || file_read(AT_FDCWD, path, LIMITS_FILE_MAX, &text, NULL) < 0)
        return -1;
    const char *line = buf_str(&text);
    if (!key)
        return digits(line);
    for (size_t len = strlen(key); line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, key, len) == 0 && line[len] == ' ')
            return digits(line + len + 1);
    return -1;
}

static int64_t either(int64_t v2, int64_t v1) {
    return v2 >= 0 ? v2 : v1;
}

/* Kernel: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/. What v1's oom_control counts are the kills
 * of the group itself and not of those below it, and a group is throttled by its own ceiling only, which an
 * attempt's has not: both are known from the containers alone. */
void limits_read(const struct limits_dirs *dirs, struct usage *ret_usage) {
    int64_t v1_cpu_ns = value(dirs->cpu, "cpuacct.usage", NULL);
    *ret_usage = (struct usage){
        .cpu_us =
            either(value(dirs->cpu, "cpu.stat", "usage_usec"), v1_cpu_ns < 0 ? -1 : v1_cpu_ns / NS_PER_US),
        .memory_peak_bytes = either(value(dirs->memory, "memory.peak", NULL),
                                    value(dirs->memory, "memory.max_usage_in_bytes", NULL)),
        .pids_peak = value(dirs->pids, "pids.peak", NULL),
        .oom_kills = value(dirs->memory, "memory.events", "oom_kill"),
        .throttled_us = -1,
    };
}
