/* clear - what runs in a group that nobody answers for any more is killed, and the groups below it go. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "runner/limits/limits_parts.h"

enum {
    CLEAR_DEPTH_MAX = 16,  /* groups within groups; the engine makes one or two */
    CLEAR_PIDS_MAX = 1024, /* of one group at one time; the next call goes on */
};

static size_t read_pids(const char *dir, pid_t pids[CLEAR_PIDS_MAX]) {
    AUTO_FREE char *path = mem_printf("%s/cgroup.procs", dir);
    AUTO_FILE FILE *file = fopen(path, "re");
    AUTO_FREE char *line = NULL;
    size_t count = 0, size = 0;
    while (file && count < CLEAR_PIDS_MAX && getline(&line, &size, file) > 0) {
        pids[count] = (pid_t)strtol(line, NULL, 10);
        count += pids[count] > 0; /* 0: of another pid namespace */
    }
    return count;
}

static bool is_among(pid_t pid, const pid_t *pids, size_t count) {
    size_t i = 0;
    while (i < count && pids[i] != pid)
        i++;
    return i < count;
}

/* A number may be given to another process at any moment. The descriptor holds on to one process, and that
 * its number is still listed after it was opened says that it is the right one. */
static void kill_members(const char *dir) {
    pid_t pids[CLEAR_PIDS_MAX], again[CLEAR_PIDS_MAX];
    int fds[CLEAR_PIDS_MAX];
    size_t count = read_pids(dir, pids);
    for (size_t i = 0; i < count; i++)
        fds[i] = pidfd_open(pids[i], 0);
    size_t still = count ? read_pids(dir, again) : 0;
    for (size_t i = 0; i < count; i++) {
        if (fds[i] < 0)
            continue;
        if (is_among(pids[i], again, still))
            pidfd_send_signal(fds[i], SIGKILL, NULL, 0);
        close(fds[i]);
    }
}

/* cgroup v1 keeps even SIGKILL from what is frozen. */
static void thaw(const char *dir) {
    AUTO_FREE char *path = mem_printf("%s/freezer.state", dir);
    AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)fd_write_all(fd, "THAWED", sizeof "THAWED" - 1, NULL);
}

static void clear_within(const char *dir, int depth) {
    AUTO_DIR DIR *entries = depth < CLEAR_DEPTH_MAX ? opendir(dir) : NULL;
    if (!entries)
        return;
    kill_members(dir);
    thaw(dir);
    for (const struct dirent *e; (e = readdir(entries));) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        AUTO_FREE char *below = mem_printf("%s/%s", dir, e->d_name);
        clear_within(below, depth + 1);
        rmdir(below); /* where something is dying still, the next call does it */
    }
}

void clear_tree(const char *dir) {
    clear_within(dir, 0);
}
