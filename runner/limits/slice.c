#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "runner/limits/limits_parts.h"

/* org.freedesktop.systemd1(5) */
#define MANAGER "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"

enum { CALL_MAX_US = 10 * 1000 * 1000 };

static void bus_done(sd_bus **bus) {
    sd_bus_flush_close_unref(*bus);
}
static void message_done(sd_bus_message **m) {
    sd_bus_message_unref(*m);
}
#define AUTO_BUS CLEANUP(bus_done)
#define AUTO_MESSAGE CLEANUP(message_done)

static int bus_open(sd_bus **ret_bus, struct err *err) {
    int rc = sd_bus_open_system(ret_bus);
    if (rc < 0)
        return err_set(
            err, ERR_AWAY, 0,
            "systemd, which the engine has its control groups from, cannot be asked for one (%s): its bus "
            "has to be reachable for berthd",
            strerror(-rc));
    sd_bus_set_method_call_timeout(*ret_bus, CALL_MAX_US);
    return 0;
}

static int failed(const char *what, const char *name, const sd_bus_error *error, int rc, struct err *err) {
    return err_set(err, ERR_AWAY, 0, "systemd does not %s %s: %s", what, name,
                   error->message ? error->message : strerror(-rc));
}

/* The array of properties of a transient unit, and of SetUnitProperties. */
static int add_properties(sd_bus_message *m, const struct limits_bound *bound) {
    int rc = sd_bus_message_open_container(m, 'a', "(sv)");
    const char *const accounting[] = {"MemoryAccounting", "CPUAccounting", "TasksAccounting"};
    for (size_t i = 0; rc >= 0 && i < ARRAY_LEN(accounting); i++)
        rc = sd_bus_message_append(m, "(sv)", accounting[i], "b", 1);
    if (rc >= 0 && bound) {
        uint64_t memory = bound->memory_bytes ? (uint64_t)bound->memory_bytes : UINT64_MAX;
        uint64_t cpu_us = bound->cpus_milli ? (uint64_t)bound->cpus_milli * 1000 : UINT64_MAX;
        rc = sd_bus_message_append(m, "(sv)(sv)(sv)", "MemoryMax", "t", memory, "CPUWeight", "t",
                                   (uint64_t)limits_for_processors(LIMITS_WEIGHT, LIMITS_WEIGHT_MAX),
                                   "CPUQuotaPerSecUSec", "t", cpu_us);
    }
    return rc < 0 ? rc : sd_bus_message_close_container(m);
}

static int start(sd_bus *bus, const char *name, const struct limits_bound *bound, sd_bus_error *error) {
    AUTO_MESSAGE sd_bus_message *m = NULL;
    int rc = sd_bus_message_new_method_call(bus, &m, MANAGER, "StartTransientUnit");
    if (rc >= 0)
        rc = sd_bus_message_append(m, "ss", name, "replace");
    if (rc >= 0)
        rc = add_properties(m, bound);
    if (rc >= 0)
        rc = sd_bus_message_append(m, "a(sa(sv))", 0);
    return rc < 0 ? rc : sd_bus_call(bus, m, 0, error, NULL);
}

static int change(sd_bus *bus, const char *name, const struct limits_bound *bound, sd_bus_error *error) {
    AUTO_MESSAGE sd_bus_message *m = NULL;
    int rc = sd_bus_message_new_method_call(bus, &m, MANAGER, "SetUnitProperties");
    if (rc >= 0)
        rc = sd_bus_message_append(m, "sb", name, 1); /* runtime: gone with the next boot, as the slice is */
    if (rc >= 0)
        rc = add_properties(m, bound);
    return rc < 0 ? rc : sd_bus_call(bus, m, 0, error, NULL);
}

int slice_make(const char *name, const struct limits_bound *bound, struct err *err) {
    AUTO_BUS sd_bus *bus = NULL;
    CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    if (bus_open(&bus, err) < 0)
        return -1;
    int rc = start(bus, name, bound, &error);
    if (rc < 0 && sd_bus_error_has_name(&error, "org.freedesktop.systemd1.UnitExists")) {
        sd_bus_error_free(&error);
        rc = bound ? change(bus, name, bound, &error) : 0;
    }
    return rc < 0 ? failed("make the slice", name, &error, rc, err) : 0;
}

/* Stopping a slice ends all that runs in it: only one in which nothing does. */
static bool in_use(const char *name) {
    char path[LIMITS_PATH_MAX];
    struct limits_dirs dirs;
    AUTO_BUF struct buf text = BUF(LIMITS_FILE_MAX);
    if (limits_slice_path(name, path, sizeof path) < 0 || group_ready(NULL) < 0)
        return true;
    group_dirs(path, &dirs);
    AUTO_FREE char *events = mem_printf("%s/cgroup.events", dirs.memory);
    AUTO_DIR DIR *dir = opendir(dirs.memory);
    if (!dir)
        return errno != ENOENT;
    if (file_read(AT_FDCWD, events, LIMITS_FILE_MAX, &text, NULL) == 0)
        return !strstr(buf_str(&text), "populated 0");
    for (struct dirent *e; (e = readdir(dir));) /* v1 does not tell: a group below is a container's */
        if (e->d_type == DT_DIR && e->d_name[0] != '.')
            return true;
    return false;
}

int slice_remove(const char *name, struct err *err) {
    AUTO_BUS sd_bus *bus = NULL;
    CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    if (in_use(name))
        return err_set(err, ERR_AWAY, 0, "the slice %s cannot be removed: something is left in it", name);
    if (bus_open(&bus, err) < 0)
        return -1;
    int rc = sd_bus_call_method(bus, MANAGER, "StopUnit", &error, NULL, "ss", name, "replace");
    if (rc < 0 && !sd_bus_error_has_name(&error, "org.freedesktop.systemd1.NoSuchUnit"))
        return failed("stop the slice", name, &error, rc, err);
    return 0;
}
