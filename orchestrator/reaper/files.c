#include "orchestrator/reaper/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "orchestrator/reaper/judge.h"
#include "proto/place.h"

enum { LINE_BYTES_MAX = 256 };

/* --- what is there --- */

static const char *judge_any_init(const char *name, int64_t age_s) {
    (void)name;
    return age_s > JUDGE_FILE_AGE_MAX_S ? "" : NULL; /* judged once the containers are known */
}

static const struct place {
    const char *dir;
    enum orphan_kind kind;
    const char *(*judge)(const char *name, int64_t age_s);
} places[] = {
    {PLACE_ATTEMPTS, ORPHAN_DIRECTORY, judge_unnamed},
    {PLACE_LOCKS, ORPHAN_LOCK, judge_lock},
    {PLACE_PROBE, ORPHAN_PROBE, judge_probe},
    {PLACE_BIN, ORPHAN_INIT, judge_any_init},
};

/* Takes the lock of a pull. -1: somebody has it, or it is gone. */
static int open_locked(int dir_fd, const char *name) {
    AUTO_FD int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 ? STEAL_FD(fd) : -1;
}

static bool is_held(int dir_fd, const char *name) {
    AUTO_FD int fd = open_locked(dir_fd, name);
    return fd < 0;
}

static void look_at(const struct place *place, int dir_fd, const char *name, struct plan *found) {
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        (place->kind == ORPHAN_DIRECTORY ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode)))
        return;
    int64_t age_s = clock_real_us() / US_PER_S - st.st_mtim.tv_sec;
    const char *why = place->judge(name, age_s);
    if (!why || (place->kind == ORPHAN_LOCK && is_held(dir_fd, name)))
        return;
    AUTO_FREE char *path = mem_printf("%s/%s", place->dir, name);
    plan_add(found, place->kind, path, path, why)->seen = age_s;
}

static int look_into(const struct sweep *sweep, const struct place *place, struct plan *found,
                     struct err *err) {
    AUTO_FD int fd = openat(sweep->state_fd, place->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_sys(err, "open %s/%s", sweep->state_dir, place->dir);
    AUTO_DIR DIR *dir = dir_open(fd);
    if (!dir)
        return err_sys(err, "read %s/%s", sweep->state_dir, place->dir);
    size_t count = 0;
    for (const struct dirent *e; count < FILES_MAX && (e = readdir(dir)); count++)
        look_at(place, fd, e->d_name, found);
    return 0;
}

int files_look(const struct sweep *sweep, struct files *ret, struct err *err) {
    struct files files = {0};
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (look_into(sweep, &places[i], &files.found, err) < 0) {
            files_done(&files);
            return -1;
        }
    *ret = files;
    return 0;
}

/* --- what is of no use --- */

/* By the end of the path: the engine has the state directory's path without symbolic links. */
static bool is_mounted(const struct sides *seen, const char *path) {
    for (size_t i = 0; i < seen->containers.count; i++) {
        const json_t *mounts = seen->containers.items[i].mounts;
        for (size_t k = 0; k < json_array_size(mounts); k++) {
            const char *source = container_label(json_array_get(mounts, k), "Source");
            size_t len = source ? strlen(source) : 0, end = strlen(path);
            if (len > end && source[len - end - 1] == '/' && strcmp(source + len - end, path) == 0)
                return true;
        }
    }
    return false;
}

/* The parent notes which copy it uses before that is there, so whatever was seen is noted. */
static void read_current(const struct sweep *sweep, char current[LINE_BYTES_MAX]) {
    AUTO_BUF struct buf text = BUF(LINE_BYTES_MAX);
    current[0] = '\0';
    if (file_read(sweep->state_fd, PLACE_INIT_NOTE, LINE_BYTES_MAX, &text, NULL) == 0)
        snprintf(current, LINE_BYTES_MAX, "%.*s", (int)strcspn(buf_str(&text), "\n"), buf_str(&text));
}

void files_plan(const struct sweep *sweep, const struct files *files, const struct sides *seen,
                struct plan *plan) {
    char current[LINE_BYTES_MAX];
    read_current(sweep, current);
    for (size_t i = 0; i < files->found.count; i++) {
        const struct orphan *one = &files->found.items[i];
        const char *why = one->why;
        if (one->kind == ORPHAN_INIT)
            why = judge_init(one->id + sizeof PLACE_BIN, current, is_mounted(seen, one->id), one->seen);
        if (why)
            plan_add(plan, one->kind, one->id, one->name, why);
    }
}

/* --- how it goes --- */

/* Under its lock, so that nobody waits for it; a runner that has it open already sees that it is gone. */
static int remove_lock(const struct sweep *sweep, const char *path, struct err *err) {
    AUTO_FD int fd = open_locked(sweep->state_fd, path);
    struct stat named, held;
    if (fstatat(sweep->state_fd, path, &named, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &held) < 0 || held.st_ino != named.st_ino)
        return err_set(err, ERR_AWAY, 0, "somebody uses it again");
    return unlinkat(sweep->state_fd, path, 0) < 0 ? err_sys(err, "remove %s", path) : 0;
}

int files_remove(const struct sweep *sweep, const struct ctx *ctx, const struct orphan *orphan,
                 struct err *err) {
    (void)ctx;
    if (orphan->kind == ORPHAN_DIRECTORY)
        return dir_remove_tree(sweep->attempts_fd, orphan->id + sizeof PLACE_ATTEMPTS, err);
    if (orphan->kind == ORPHAN_LOCK)
        return remove_lock(sweep, orphan->id, err);
    if (unlinkat(sweep->state_fd, orphan->id, 0) < 0 && errno != ENOENT)
        return err_sys(err, "remove %s", orphan->id);
    return 0;
}

void files_done(struct files *files) {
    plan_done(&files->found);
}
