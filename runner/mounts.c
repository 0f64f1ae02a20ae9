#include "runner/mounts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "proto/labels.h"
#include "runner/docker/network.h"

enum { VOLUME_NAME_MAX = 4096, OPEN_TRIES_MAX = 16, FD_PATH_MAX = 40 };

/* One call of mounts_resolve(). */
struct mounting {
    const struct attempt *attempt;
    const char *bind_roots, *state_dir;
    struct engine *engine;
    const struct ctx *ctx;
    struct mounts *mounts;
    enum reason reason;
};

static int fault(struct mounting *m, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int fault(struct mounting *m, struct err *err, const char *fmt, ...) {
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    m->reason = REASON_SPEC_REFUSED;
    return err_set(err, ERR_INVALID, 0, "%s", text);
}

/* --- volumes --- */

/* A tenant's name may have any characters, a volume's only some; with "_" among those that are written as
 * ".5f", no two pairs of tenant and source have one name. */
char *mounts_volume_name(const char *tenant, const char *source) {
    AUTO_BUF struct buf name = BUF(VOLUME_NAME_MAX);
    int bad = buf_adds(&name, "berth_");
    for (; *tenant; tenant++) {
        unsigned char c = (unsigned char)*tenant;
        bool plain = isascii(c) && (isalnum(c) || c == '-');
        bad |= plain ? buf_add(&name, &c, 1) : buf_addf(&name, ".%02x", c);
    }
    bad |= buf_addf(&name, "_%s", source);
    return bad ? mem_strdup("") : buf_steal(&name);
}

/* A volume that is not Berth's may have this name, and making it again is no error. 1: it is ours. */
static int volume_is_ours(struct mounting *m, const char *name, struct err *err) {
    const struct engine_pair labels[] = {{LABEL_CLUSTER, m->attempt->cluster}, {LABEL_ROLE, ROLE_VOLUME}};
    AUTO_VOLUME_LIST struct volume_list list = {0};
    if (volume_list(m->engine, m->ctx, (struct engine_pairs){labels, ARRAY_LEN(labels)}, &list, err) < 0)
        return -1;
    for (size_t i = 0; i < list.count; i++)
        if (strcmp(list.items[i].name, name) == 0)
            return 1;
    return 0;
}

static int volume_resolve(struct mounting *m, const char *source, char **ret_name, struct err *err) {
    const struct engine_pair labels[] = {{LABEL_MANAGED, "true"},
                                         {LABEL_CLUSTER, m->attempt->cluster},
                                         {LABEL_INSTANCE, m->attempt->instance},
                                         {LABEL_ROLE, ROLE_VOLUME}};
    AUTO_FREE char *name = mounts_volume_name(m->attempt->tenant, source);
    if (!*name)
        return fault(m, err, "The name of the volume \"%.100s\" is too long with its tenant's.", source);
    struct err why = {0};
    if (volume_create(m->engine, m->ctx, name, (struct engine_pairs){labels, ARRAY_LEN(labels)}, &why) < 0) {
        if (engine_status_is(&why, 400))
            return fault(m, err, "The engine does not take the volume \"%.100s\": %.300s", name, why.text);
        if (err)
            *err = why;
        return -1;
    }
    int ours = volume_is_ours(m, name, err);
    if (ours == 0)
        return fault(
            m, err,
            "The engine has a volume %.200s that is not of this Berth (its labels say so). Rename it.", name);
    if (ours > 0)
        *ret_name = STEAL(name);
    return ours < 0 ? -1 : 0;
}

/* --- binds --- */

/* openat2(2): EAGAIN means that a name was moved on the way. */
static int open_beneath(int root_fd, const char *path) {
    const struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = -1;
    for (int tries = 0; tries < OPEN_TRIES_MAX; tries++) {
        fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    return fd;
}

/* What stands behind the root in the path, "." for the root itself; NULL: it is not below it. */
static const char *rest_below(const char *path, const char *root, size_t root_len) {
    while (root_len && root[root_len - 1] == '/')
        root_len--;
    if (strncmp(path, root, root_len) != 0 || (path[root_len] && path[root_len] != '/'))
        return NULL;
    path += root_len + strspn(path + root_len, "/");
    return *path ? path : ".";
}

/* Below the first root that has it. -1: errno is that of the last root that the path names; EXDEV: none. */
static int bind_open(const char *bind_roots, const char *source) {
    int error = EXDEV;
    for (const char *root = bind_roots; root && *root;) {
        size_t len = strcspn(root, ":");
        const char *rest = rest_below(source, root, len);
        AUTO_FREE char *path = mem_strndup(root, len);
        AUTO_FD int root_fd = rest && len ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
        if (root_fd >= 0) {
            int fd = open_beneath(root_fd, rest);
            if (fd >= 0)
                return fd;
        }
        if (rest && len)
            error = errno;
        root += len + (root[len] == ':');
    }
    errno = error;
    return -1;
}

/* The path without any links under which the descriptor's file is to be found now; NULL: it has none. */
static char *path_of(int fd, const struct stat *st) {
    char link[FD_PATH_MAX];
    char path[PATH_MAX];
    struct stat found;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0)
        return NULL;
    path[len] = '\0';
    if (lstat(path, &found) < 0 || found.st_dev != st->st_dev || found.st_ino != st->st_ino)
        return NULL;
    return mem_strdup(path);
}

static int bind_fault(struct mounting *m, const char *source, struct err *err) {
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
        return fault(m, err, "The bind's source %.200s does not exist on the host that runs the job.",
                     source);
    case EXDEV:
    case ELOOP:
        return fault(m, err,
                     "The bind's source %.200s does not lie below one of the operator's directories "
                     "(BERTH_BIND_ROOTS): a symbolic link leads out of it, or is absolute.",
                     source);
    case EACCES:
    case EPERM:
        m->reason = REASON_INTERNAL;
        break;
    default: /* may pass */
        break;
    }
    return err_sys(err, "The bind's source %.200s cannot be opened", source);
}

/* What is not there, or no directory, is nothing that could be reached; of anything else nobody can tell. */
static bool is_absent(void) {
    return errno == ENOENT || errno == ENOTDIR;
}

/* Whether a path is the file or lies in it, or below it: by device and inode, so that a mount of a directory
 * at another place is that directory. The path is without links. 1, 0, or -1: errno. */
static int is_on_the_way(const char *path, const struct stat *file) {
    AUTO_FREE char *prefix = mem_strdup(path);
    for (struct stat st; *prefix;) {
        bool there = stat(prefix, &st) == 0;
        if (there && st.st_dev == file->st_dev && st.st_ino == file->st_ino)
            return 1;
        if (!there && !is_absent())
            return -1;
        char *slash = strrchr(prefix, '/');
        if (!slash || !slash[1])
            break;
        slash[slash == prefix] = '\0';
    }
    return 0;
}

/* `path` (of `found`) would give the job what it must not reach: `kept`, or with `below` a part of it. 1, 0,
 * or -1: errno. */
static int gives(const char *path, const struct stat *found, const char *kept, bool below) {
    char real[PATH_MAX];
    struct stat st;
    if (!kept)
        return 0;
    if (!realpath(kept, real) || stat(real, &st) < 0)
        return is_absent() ? 0 : -1;
    int reached = is_on_the_way(real, found);
    return reached == 0 && below ? is_on_the_way(path, &st) : reached;
}

/* What cannot be told now is no permission. */
static int bind_check_reach(struct mounting *m, const char *path, const struct stat *found, struct err *err) {
    static const char unix_host[] = "unix://";
    const char *host = m->engine ? engine_host(m->engine) : "";
    const char *const sockets[] = {strncmp(host, unix_host, strlen(unix_host)) == 0 ? host + strlen(unix_host)
                                                                                    : NULL,
                                   ENGINE_DEFAULT_HOST + strlen(unix_host)};
    int reached = gives(path, found, m->state_dir, true);
    for (size_t i = 0; i < ARRAY_LEN(sockets) && reached == 0; i++)
        reached = gives(path, found, sockets[i], false);
    if (reached < 0)
        return err_sys(err, "look what the bind's source %.200s would give the job", path);
    if (reached == 0)
        return 0;
    return fault(m, err,
                 "The bind's source %.200s would give the job the engine's socket or Berth's own state "
                 "directory. Bind a directory that neither holds one of them nor lies below the latter.",
                 path);
}

static int bind_resolve(struct mounting *m, const char *source, struct mounts_file *ret_file, char **ret_path,
                        struct err *err) {
    struct stat st;
    AUTO_FD int fd = bind_open(m->bind_roots, source);
    if (fd < 0 || fstat(fd, &st) < 0)
        return bind_fault(m, source, err);
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return fault(m, err, "The bind's source %.200s is neither a directory nor a regular file.", source);
    char *path = path_of(fd, &st);
    if (!path)
        return fault(m, err, "The bind's source %.200s was moved or removed while it was looked at.", source);
    *ret_path = path;
    *ret_file = (struct mounts_file){.dev = st.st_dev, .inode = st.st_ino};
    return bind_check_reach(m, path, &st, err);
}

/* --- all of them --- */

static int add(struct mounting *m, const struct spec_mount *wanted, struct err *err) {
    static const enum container_mount_type types[] = {[SPEC_MOUNT_VOLUME] = CONTAINER_MOUNT_VOLUME,
                                                      [SPEC_MOUNT_BIND] = CONTAINER_MOUNT_BIND,
                                                      [SPEC_MOUNT_TMPFS] = CONTAINER_MOUNT_TMPFS};
    struct mounts *mounts = m->mounts;
    size_t at = mounts->count;
    AUTO_FREE char *source = NULL;
    if (at == SPEC_MOUNTS_MAX)
        return fault(m, err, "The job has more than %d mounts.", SPEC_MOUNTS_MAX);
    if (wanted->type == SPEC_MOUNT_VOLUME && volume_resolve(m, wanted->source, &source, err) < 0)
        return -1;
    if (wanted->type == SPEC_MOUNT_BIND &&
        bind_resolve(m, wanted->source, &mounts->files[at], &source, err) < 0)
        return -1;
    mounts->texts[2 * at] = STEAL(source);
    mounts->texts[2 * at + 1] = mem_strdup(wanted->target);
    mounts->items[at] = (struct container_mount){.type = types[wanted->type],
                                                 .source = mounts->texts[2 * at],
                                                 .target = mounts->texts[2 * at + 1],
                                                 .read_only = wanted->read_only,
                                                 .tmpfs_bytes = wanted->bytes};
    mounts->count++;
    return 0;
}

int mounts_resolve(const struct attempt *attempt, const char *bind_roots, const char *state_dir,
                   struct engine *engine, const struct ctx *ctx, struct mounts *ret_mounts,
                   enum reason *ret_reason, struct err *err) {
    AUTO_MOUNTS struct mounts mounts = {0};
    struct mounting m = {.attempt = attempt,
                         .bind_roots = bind_roots,
                         .state_dir = state_dir,
                         .engine = engine,
                         .ctx = ctx,
                         .mounts = &mounts};
    int result = 0;
    for (size_t i = 0; i < attempt->spec->mounts_count && result == 0; i++)
        result = add(&m, &attempt->spec->mounts[i], err);
    *ret_reason = m.reason;
    if (result < 0)
        return -1;
    *ret_mounts = mounts;
    mounts = (struct mounts){0};
    return 0;
}

void mounts_done(struct mounts *mounts) {
    for (size_t i = 0; i < ARRAY_LEN(mounts->texts); i++)
        free(mounts->texts[i]);
    *mounts = (struct mounts){0};
}
