#include "runner/init/launchfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "proto/launch.h"

/* Where the next string of each list goes. */
struct counts {
    size_t argv, env, command;
};

/* A decimal number and what stands behind it; NULL: none, or above max. */
static const char *number_read(const char *text, uint64_t max, uint64_t *ret) {
    char *rest;
    errno = 0;
    uint64_t number = strtoull(text, &rest, 10);
    if (*text < '0' || *text > '9' || errno || number > max)
        return NULL;
    *ret = number;
    return rest;
}

static const char *bind_add(const char *text, struct launchfile *launch) {
    struct launchfile_bind *bind = &launch->binds[launch->bind_count];
    const char *at = number_read(text, UINT64_MAX, &bind->dev);
    at = at && *at == ':' ? number_read(at + 1, UINT64_MAX, &bind->inode) : NULL;
    if (!at || at[0] != ':' || at[1] != '/')
        return "a bind is not DEV:INODE:/TARGET";
    bind->target = at + 1;
    launch->bind_count++;
    return NULL;
}

static const char *ready_set(enum launchfile_ready ready, struct launchfile *launch) {
    bool first = launch->ready == LAUNCHFILE_READY_EXECUTED;
    bool more_words = ready == LAUNCHFILE_READY_COMMAND && launch->ready == ready;
    launch->ready = ready;
    return first || more_words ? NULL : "it says twice when the service is ready";
}

static const char *port_set(const char *text, enum launchfile_ready ready, struct launchfile *launch) {
    uint64_t port = 0;
    const char *rest = number_read(text, UINT16_MAX, &port);
    if (!rest || !port || (ready == LAUNCHFILE_READY_TCP && *rest))
        return "its port is no port";
    if (ready == LAUNCHFILE_READY_HTTP && (*rest != '/' || strlen(rest) > LAUNCHFILE_PATH_MAX))
        return "its HTTP path does not begin with / or is too long";
    launch->port = (uint16_t)port;
    launch->path = rest;
    return ready_set(ready, launch);
}

/* Checks one entry behind the version line and puts it where it belongs. */
static const char *entry_add(char *entry, struct launchfile *launch, struct counts *counts) {
    switch (entry[0]) {
    case 'a':
        launch->argv[counts->argv++] = entry + 1;
        return NULL;
    case 'e': {
        const char *equals = strchr(entry + 1, '=');
        if (!equals || equals == entry + 1)
            return "an environment entry is not NAME=value";
        launch->env[counts->env++] = entry + 1;
        return NULL;
    }
    case 'i':
        launch->has_input = true;
        return entry[1] ? "the input entry has a value" : NULL;
    case 't':
        return port_set(entry + 1, LAUNCHFILE_READY_TCP, launch);
    case 'h':
        return port_set(entry + 1, LAUNCHFILE_READY_HTTP, launch);
    case 'c':
        launch->command[counts->command++] = entry + 1;
        return ready_set(LAUNCHFILE_READY_COMMAND, launch);
    case 'l':
        launch->expression = entry + 1;
        return ready_set(LAUNCHFILE_READY_LOG, launch);
    case 'b':
        return bind_add(entry + 1, launch);
    default:
        return "an entry has an unknown key";
    }
}

static const char *entries_parse(char *bytes, size_t len, struct launchfile *launch) {
    struct counts counts = {0};
    for (size_t at = sizeof LAUNCH_VERSION; at < len;) {
        char *entry = bytes + at;
        size_t entry_len = strlen(entry);
        at += entry_len + 1;
        if (strcmp(entry, ".") == 0) {
            if (at != len)
                return "bytes follow its end";
            return counts.argv ? NULL : "it names no command";
        }
        const char *wrong = entry_add(entry, launch, &counts);
        if (wrong)
            return wrong;
    }
    return "it is torn: its end is missing";
}

static void lists_free(struct launchfile *launch) {
    free(launch->argv);
    free(launch->binds);
}

const char *launchfile_parse(char *bytes, size_t len, struct launchfile *ret) {
    enum { LISTS = 3 };
    if (len < sizeof LAUNCH_VERSION || memcmp(bytes, LAUNCH_VERSION, sizeof LAUNCH_VERSION) != 0)
        return "it does not begin with " LAUNCH_VERSION;
    if (bytes[len - 1])
        return "it is torn: its last string is not ended";
    size_t entries = 0, binds = 0;
    for (size_t i = sizeof LAUNCH_VERSION; i < len; i++) {
        entries += !bytes[i];
        binds += bytes[i] == 'b' && !bytes[i - 1];
    }
    if (entries > LAUNCH_ENTRIES_MAX)
        return "it has too many entries";
    struct launchfile launch = {.argv = calloc(LISTS * (entries + 1), sizeof *launch.argv),
                                .binds = calloc(binds + 1, sizeof *launch.binds),
                                .block = bytes};
    if (!launch.argv || !launch.binds) {
        lists_free(&launch);
        return "there is no memory for it";
    }
    launch.env = launch.argv + entries + 1;
    launch.command = launch.env + entries + 1;
    const char *wrong = entries_parse(bytes, len, &launch);
    if (wrong) {
        lists_free(&launch);
        return wrong;
    }
    *ret = launch;
    return NULL;
}

/* Reads up to `room` bytes; the count, or -1. */
static ssize_t read_up_to(int fd, char *bytes, size_t room) {
    size_t len = 0;
    while (len < room) {
        ssize_t got = read(fd, bytes + len, room - len);
        if (got == 0)
            break;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        len += (size_t)got;
    }
    return (ssize_t)len;
}

const char *launchfile_read(const char *path, struct launchfile *ret) {
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return "it cannot be opened";
    AUTO_FREE char *bytes = malloc(LAUNCH_BYTES_MAX + 2);
    if (!bytes)
        return "there is no memory for it";
    ssize_t len = read_up_to(fd, bytes, LAUNCH_BYTES_MAX + 1);
    if (len < 0)
        return "it cannot be read";
    errno = 0;
    if (len > LAUNCH_BYTES_MAX)
        return "it is larger than the bound";
    bytes[len] = '\0';
    const char *wrong = launchfile_parse(bytes, (size_t)len, ret);
    if (!wrong)
        bytes = NULL;
    return wrong;
}

void launchfile_done(struct launchfile *launch) {
    lists_free(launch);
    free(launch->block);
    *launch = (struct launchfile){0};
}

static bool same_name(const char *entry, const char *other) {
    size_t len = strcspn(entry, "=");
    return strncmp(entry, other, len) == 0 && other[len] == '=';
}

static size_t list_count(char *const *list) {
    size_t n = 0;
    while (list[n])
        n++;
    return n;
}

char **launchfile_environment(const struct launchfile *launch, char *const *inherited) {
    char **merged = calloc(list_count(launch->env) + list_count(inherited) + 1, sizeof *merged);
    if (!merged)
        return NULL;
    size_t count = 0;
    for (; *inherited; inherited++) {
        bool replaced = false;
        for (char **entry = launch->env; *entry && !replaced; entry++)
            replaced = same_name(*entry, *inherited);
        if (!replaced)
            merged[count++] = *inherited;
    }
    memcpy(merged + count, launch->env, list_count(launch->env) * sizeof *merged);
    return merged;
}
