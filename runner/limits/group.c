#include <errno.h>
#include <inttypes.h>
#include <libcgroup.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "runner/limits/limits_parts.h"

/* The cgroup namespace that the machine boots with (PROC_CGROUP_INIT_INO in the kernel's proc_ns.h). */
#define FIRST_NAMESPACE "cgroup:[4026531835]"

/* memory must be there; the others are made where they are. cpuacct: v1 only. */
static const char *const controllers[] = {"memory", "cpu", "cpuacct", "pids"};

static void group_free(struct cgroup **g) {
    cgroup_free(g);
}
#define AUTO_GROUP CLEANUP(group_free)

/* Where nothing is set the library writes to standard output. What it says comes back as a code as well. */
static void hush(void *arg, int level, const char *fmt, va_list args) {
    (void)arg, (void)level, (void)fmt, (void)args;
}

/* --- where the hierarchies are mounted --- */

/* All of them: the library leaves out name=systemd, in which the engine makes its groups, too. */
struct mounts {
    FILE *file;
    struct mntent at;
    char text[LIMITS_FILE_MAX];
};

static bool mounts_next(struct mounts *m) {
    if (!m->file)
        m->file = setmntent("/proc/self/mounts", "re");
    while (m->file && getmntent_r(m->file, &m->at, m->text, sizeof m->text))
        if (strcmp(m->at.mnt_type, "cgroup") == 0 || strcmp(m->at.mnt_type, "cgroup2") == 0)
            return true;
    return false;
}

static void mounts_done(struct mounts *m) {
    if (m->file)
        endmntent(m->file);
}
#define AUTO_MOUNTS CLEANUP(mounts_done)

static bool mount_of(const char *controller, char out[LIMITS_PATH_MAX]) {
    AUTO_FREE char *path = NULL;
    if (cgroup_get_subsys_mount_point(controller, &path) != 0 || strlen(path) >= LIMITS_PATH_MAX)
        return false;
    snprintf(out, LIMITS_PATH_MAX, "%s", path);
    return true;
}

/* --- getting ready --- */

/* In a namespace of its own, and over a mount that is only a branch, paths are not those of the engine. */
static int check_view(const char *mount, struct err *err) {
    char namespace[64] = "";
    ssize_t len = readlink("/proc/self/ns/cgroup", namespace, sizeof namespace - 1);
    if (len > 0 && strcmp(namespace, FIRST_NAMESPACE) != 0)
        return err_set(
            err, ERR_AWAY, 0,
            "berthd runs in a cgroup namespace of its own and cannot make groups that the engine sees "
            "(docker run --cgroupns=host and a writable /sys/fs/cgroup would allow it)");
    AUTO_FILE FILE *file = fopen("/proc/self/mountinfo", "re");
    AUTO_FREE char *line = NULL;
    char root[LIMITS_PATH_MAX], at[LIMITS_PATH_MAX];
    for (size_t size = 0; file && getline(&line, &size, file) >= 0;)
        if (sscanf(line, "%*d %*d %*s %511s %511s", root, at) == 2 && strcmp(at, mount) == 0 &&
            strcmp(root, "/") != 0)
            return err_set(err, ERR_AWAY, 0, "%.200s shows only the branch %.200s of the control groups",
                           mount, root);
    return 0;
}

int group_ready(struct err *err) {
    static bool ready; /* the library keeps its own table of mounts for the whole process */
    char mount[LIMITS_PATH_MAX];
    int rc;
    if (ready)
        return 0;
    cgroup_set_logger(hush, CGROUP_LOG_ERROR, NULL);
    if ((rc = cgroup_init()) != 0)
        return err_set(err, ERR_AWAY, 0, "control groups cannot be used: %s", cgroup_strerror(rc));
    if (!mount_of("memory", mount))
        return err_set(err, ERR_AWAY, 0, "the kernel has no control group controller for memory");
    if (check_view(mount, err) < 0)
        return -1;
    ready = true;
    return 0;
}

/* --- making and bounding --- */

int group_make(const char *name, struct err *err) {
    AUTO_GROUP struct cgroup *g = cgroup_new_cgroup(name);
    char mount[LIMITS_PATH_MAX];
    for (size_t i = 0; g && i < ARRAY_LEN(controllers); i++) {
        if (!mount_of(controllers[i], mount))
            continue;
        if (access(mount, W_OK) < 0)
            return err_sys(err, "%s cannot be written", mount);
        if (!cgroup_add_controller(g, controllers[i]))
            return err_set(err, ERR_LIMIT, 0, "no memory for the group %s", name);
    }
    int rc = g ? cgroup_create_cgroup(g, 1) : ECGFAIL;
    return rc == 0 ? 0
                   : err_set(err, ERR_AWAY, 0, "the control group %s cannot be made: %s", name,
                             cgroup_strerror(rc));
}

static bool has_file(const char *name, const char *controller, const char *file) {
    char mount[LIMITS_PATH_MAX];
    if (!mount_of(controller, mount))
        return false;
    AUTO_FREE char *path = mem_printf("%s/%s/%s", mount, name, file);
    return access(path, F_OK) == 0;
}

/* 0 also where the kernel has no such file. */
static int set(const char *name, const char *controller, const char *file, const char *value,
               struct err *err) {
    if (!has_file(name, controller, file))
        return 0;
    AUTO_GROUP struct cgroup *g = cgroup_new_cgroup(name);
    struct cgroup_controller *c = g ? cgroup_add_controller(g, controller) : NULL;
    int rc = c ? cgroup_add_value_string(c, file, value) : ECGFAIL;
    if (rc == 0)
        rc = cgroup_modify_cgroup(g);
    if (rc != 0)
        return err_set(err, ERR_AWAY, 0, "%s of the control group %s cannot be set to %s: %s", file, name,
                       value, cgroup_strerror(rc));
    return 0;
}

int group_bound(const char *name, const struct limits_bound *bound, struct err *err) {
    AUTO_FREE char *bytes = mem_printf("%" PRId64, bound->memory_bytes ? bound->memory_bytes : -1);
    AUTO_FREE char *quota =
        mem_printf("%" PRId64, bound->cpus_milli ? bound->cpus_milli * LIMITS_PERIOD_US / 1000 : -1);
    AUTO_FREE char *max = mem_printf("%s %d", bound->cpus_milli ? quota : "max", LIMITS_PERIOD_US);
    AUTO_FREE char *shares = mem_printf("%d", limits_for_processors(LIMITS_SHARES, LIMITS_SHARES_MAX));
    AUTO_FREE char *weight = mem_printf("%d", limits_for_processors(LIMITS_WEIGHT, LIMITS_WEIGHT_MAX));
    AUTO_FREE char *period = mem_printf("%d", LIMITS_PERIOD_US);
    const struct {
        const char *controller, *file, *value;
    } rows[] = {
        {"memory", "memory.use_hierarchy", "1"}, /* before kernel 5.11 a group did not bound those below it */
        {"memory", "memory.limit_in_bytes", bytes},
        {"memory", "memory.max", bound->memory_bytes ? bytes : "max"},
        {"cpu", "cpu.shares", shares},
        {"cpu", "cpu.weight", weight},
        {"cpu", "cpu.cfs_period_us", period},
        {"cpu", "cpu.cfs_quota_us", quota},
        {"cpu", "cpu.max", max},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (set(name, rows[i].controller, rows[i].file, rows[i].value, err) < 0)
            return -1;
    return 0;
}

/* --- removing, looking --- */

/* The engine has made the same path in every hierarchy, so all of them are gone through. Nothing is ever
 * moved out of a group: CGFLAG_DELETE_EMPTY_ONLY; and as that reports success for a group in use
 * (libcgroup 2.0.2), it is looked whether the group is still there. */
int group_remove(const char *name, struct err *err) {
    AUTO_GROUP struct cgroup *g = cgroup_new_cgroup(name);
    AUTO_MOUNTS struct mounts m = {0};
    if (g && cgroup_add_all_controllers(g) == 0)
        cgroup_delete_cgroup_ext(g, CGFLAG_DELETE_EMPTY_ONLY);
    while (mounts_next(&m)) {
        AUTO_FREE char *path = mem_printf("%s/%s", m.at.mnt_dir, name);
        if (rmdir(path) == 0 || errno == ENOENT)
            continue;
        if (errno == EBUSY)
            return err_set(err, ERR_AWAY, 0,
                           "the control group %s cannot be removed: something is left in it", path);
        return err_sys(err, "remove the control group %s", path);
    }
    return 0;
}

void group_clear(const char *name) {
    AUTO_MOUNTS struct mounts m = {0};
    while (mounts_next(&m)) {
        AUTO_FREE char *path = mem_printf("%s/%s", m.at.mnt_dir, name);
        clear_tree(path);
    }
}

void group_dirs(const char *name, struct limits_dirs *ret_dirs) {
    struct {
        const char *controller;
        char *dir;
    } rows[] = {{"memory", ret_dirs->memory},
                {"cpu", ret_dirs->cpu},
                {"cpuacct", ret_dirs->cpu},
                {"pids", ret_dirs->pids}};
    *ret_dirs = (struct limits_dirs){0};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char mount[LIMITS_PATH_MAX];
        if (mount_of(rows[i].controller, mount) && strlen(mount) + strlen(name) + 2 <= LIMITS_PATH_MAX)
            snprintf(rows[i].dir, LIMITS_PATH_MAX, "%.255s/%.254s", mount, name);
    }
}

int group_each(const char *name, void (*on_child)(void *arg, const char *child), void *arg, struct err *err) {
    AUTO_MOUNTS struct mounts m = {0};
    while (mounts_next(&m)) {
        AUTO_FREE char *path = mem_printf("%s/%s", m.at.mnt_dir, name);
        AUTO_DIR DIR *dir = opendir(path);
        if (!dir && errno != ENOENT)
            return err_sys(err, "list the control group %s", path);
        for (struct dirent *e; dir && (e = readdir(dir));)
            if (e->d_type == DT_DIR && e->d_name[0] != '.')
                on_child(arg, e->d_name);
    }
    return 0;
}
