#include "runner/init/counters.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { FILE_BYTES_MAX = 8192 };

/* Where one counter stands. `key` NULL: the file is one number. The unit is what makes one of ours. */
struct source {
    const char *controller; /* v1: its name; v2: NULL */
    const char *file, *key;
    int64_t unit;
};

static bool file_text(const char *path, char text[FILE_BYTES_MAX]) {
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t len = 0;
    ssize_t got = 1;
    while (got > 0 && len < FILE_BYTES_MAX - 1) {
        got = read(fd, text + len, FILE_BYTES_MAX - 1 - len);
        len += got > 0 ? (size_t)got : 0;
    }
    text[len] = '\0';
    return got >= 0;
}

/* Whether `name` is one of the words of a comma-separated list that ends at ':'. */
static bool list_has(const char *list, const char *name) {
    size_t len = strlen(name);
    for (;;) {
        size_t word = strcspn(list, ",:\n");
        if (word == len && strncmp(list, name, len) == 0)
            return true;
        if (list[word] != ',')
            return false;
        list += word + 1;
    }
}

/* The line "id:controllers:path" of this controller (NULL: of v2, "0::path"). Returns its path and its
 * length. */
static const char *membership_find(const char *text, const char *controller, int *ret_len) {
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        const char *list = strchr(line, ':');
        const char *path = list ? strchr(list + 1, ':') : NULL;
        if (!path || memchr(line, '\n', (size_t)(path - line)))
            continue;
        if (controller ? !list_has(list + 1, controller) : strncmp(line, "0::", 3) != 0)
            continue;
        *ret_len = (int)strcspn(path + 1, "\n");
        return path + 1;
    }
    return NULL;
}

/* The number in the file, or behind "key " at the beginning of one of its lines. */
static int64_t number_find(const char *text, const char *key) {
    const char *at = text;
    size_t key_len = key ? strlen(key) : 0;
    while (key && at && (strncmp(at, key, key_len) != 0 || at[key_len] != ' ')) {
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    if (!at)
        return SPOOL_UNKNOWN;
    at += key ? key_len + 1 : 0;
    if (*at < '0' || *at > '9')
        return SPOOL_UNKNOWN;
    uintmax_t value = strtoumax(at, NULL, 10);
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static int64_t source_read(const char *membership, const char *mount, const struct source *source) {
    int len = 0;
    const char *group = membership_find(membership, source->controller, &len);
    if (!group)
        return SPOOL_UNKNOWN;
    char path[PATH_MAX];
    char text[FILE_BYTES_MAX];
    const char *slash = source->controller ? "/" : "";
    const char *controller = source->controller ? source->controller : "";
    int put =
        snprintf(path, sizeof path, "%s%s%s%.*s/%s", mount, slash, controller, len, group, source->file);
    if (put < 0 || (size_t)put >= sizeof path || !file_text(path, text)) {
        snprintf(path, sizeof path, "%s%s%s/%s", mount, slash, controller, source->file);
        if (!file_text(path, text))
            return SPOOL_UNKNOWN;
    }
    int64_t number = number_find(text, source->key);
    return number > 0 ? number / source->unit : number;
}

static int64_t first_known(const char *membership, const char *mount, const struct source *v1,
                           const struct source *v2) {
    int64_t number = source_read(membership, mount, v1);
    return number == SPOOL_UNKNOWN ? source_read(membership, mount, v2) : number;
}

void counters_read(const char *membership_path, const char *mount, struct spool_end *end) {
    static const struct {
        size_t offset;
        struct source v1, v2;
    } table[] = {
        {offsetof(struct spool_end, cpu_us),
         {"cpuacct", "cpuacct.usage", NULL, 1000},
         {NULL, "cpu.stat", "usage_usec", 1}},
        {offsetof(struct spool_end, memory_peak_bytes),
         {"memory", "memory.max_usage_in_bytes", NULL, 1},
         {NULL, "memory.peak", NULL, 1}},
        {offsetof(struct spool_end, pids_peak), {"pids", "pids.peak", NULL, 1}, {NULL, "pids.peak", NULL, 1}},
        {offsetof(struct spool_end, oom_kills),
         {"memory", "memory.oom_control", "oom_kill", 1},
         {NULL, "memory.events", "oom_kill", 1}},
        {offsetof(struct spool_end, throttled_us),
         {"cpu", "cpu.stat", "throttled_time", 1000},
         {NULL, "cpu.stat", "throttled_usec", 1}},
    };
    char membership[FILE_BYTES_MAX];
    if (!file_text(membership_path, membership))
        membership[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        int64_t number = first_known(membership, mount, &table[i].v1, &table[i].v2);
        memcpy((char *)end + table[i].offset, &number, sizeof number);
    }
}
