#include "base/fdutil.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/mem.h"

enum { READ_STEP_BYTES = 16384, PATH_BYTES_MAX = 4096, DIR_DEPTH_MAX = 128 };

int fd_write_all(int fd, const void *bytes, size_t len, struct err *err) {
    const char *p = bytes;
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "write");
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

int fd_read_all(int fd, struct buf *b, struct err *err) {
    char step[READ_STEP_BYTES];
    for (;;) {
        ssize_t n = read(fd, step, sizeof step);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "read");
        if (n == 0)
            return 0;
        if (buf_add(b, step, (size_t)n) < 0)
            return err_set(err, ERR_LIMIT, 0, "longer than %zu bytes", b->max);
    }
}

int fd_set_nonblock(int fd, struct err *err) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return err_sys(err, "set O_NONBLOCK");
    return 0;
}

int file_read(int dirfd, const char *name, size_t max, struct buf *out, struct err *err) {
    AUTO_FD int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "open %s", name);
    *out = BUF(max);
    if (fd_read_all(fd, out, err) < 0) {
        buf_done(out);
        return err_wrap(err, "read %s", name);
    }
    return 0;
}

/* Without this the rename itself may be forgotten when the power fails. */
static int sync_parent(int dirfd, const char *name, struct err *err) {
    const char *slash = strrchr(name, '/');
    size_t len = slash == name ? 1 : (size_t)(slash - name);
    AUTO_FREE char *parent = slash ? mem_strndup(name, len) : mem_strdup(".");
    AUTO_FD int fd = openat(dirfd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return err_sys(err, "make the entry of %s durable", name);
    return 0;
}

static int write_temp(int dirfd, const char *temp, const void *bytes, size_t len, mode_t mode,
                      struct err *err) {
    AUTO_FD int fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_sys(err, "create %s", temp);
    if (fd_write_all(fd, bytes, len, err) < 0)
        return err_wrap(err, "write %s", temp);
    if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
        return err_sys(err, "make %s durable", temp);
    return 0;
}

int file_write_atomic(int dirfd, const char *name, const void *bytes, size_t len, mode_t mode,
                      struct err *err) {
    AUTO_FREE char *temp = mem_printf("%s.new", name);
    /* Left over from a crash, or put there by someone else: either way not what we write into. */
    if (unlinkat(dirfd, temp, 0) < 0 && errno != ENOENT)
        return err_sys(err, "remove %s", temp);
    int done = write_temp(dirfd, temp, bytes, len, mode, err);
    FAULT_PASS("file.half");
    if (done == 0 && renameat(dirfd, temp, dirfd, name) < 0)
        done = err_sys(err, "rename %s to %s", temp, name);
    if (done < 0) {
        unlinkat(dirfd, temp, 0);
        return -1;
    }
    return sync_parent(dirfd, name, err);
}

int dir_make(const char *path, mode_t mode, struct err *err) {
    char part[PATH_BYTES_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return err_set(err, ERR_INVALID, 0, "a directory's name must have 1 to %d bytes", PATH_BYTES_MAX - 1);
    memcpy(part, path, len + 1);
    for (char *slash = strchr(part + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return err_sys(err, "make directory %s", part);
        if (!slash)
            break;
        *slash = '/';
    }
    struct stat st;
    if (stat(path, &st) < 0)
        return err_sys(err, "make directory %s", path);
    return S_ISDIR(st.st_mode) ? 0
                               : err_set(err, ERR_SYS, ENOTDIR, "%s is there already and no directory", path);
}

int dir_make_open(const char *path, mode_t mode, int *ret_fd, struct err *err) {
    if (dir_make(path, mode, err) < 0)
        return -1;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "open %s", path);
    *ret_fd = fd;
    return 0;
}

DIR *dir_open(int dirfd) {
    AUTO_FD int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir)
        (void)STEAL_FD(fd);
    return dir;
}

static int remove_tree(int dirfd, const char *name, int depth, struct err *err);

static int remove_children(int fd, int depth, struct err *err) {
    AUTO_DIR DIR *dir = fdopendir(fd);
    if (!dir) {
        err_sys(err, "read directory");
        close(fd);
        return -1;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (remove_tree(dirfd(dir), e->d_name, depth, err) < 0)
            return -1;
        FAULT_PASS("tree.half");
    }
    return 0;
}

static int remove_tree(int dirfd, const char *name, int depth, struct err *err) {
    if (depth > DIR_DEPTH_MAX)
        return err_set(err, ERR_LIMIT, 0, "%s: more than %d directories deep", name, DIR_DEPTH_MAX);
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    int why = errno;
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0) {
        errno = errno == ENOTDIR || errno == ELOOP ? why : errno;
        return err_sys(err, "remove %s", name);
    }
    if (remove_children(fd, depth + 1, err) < 0)
        return err_wrap(err, "in %s", name);
    if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return err_sys(err, "remove directory %s", name);
    return 0;
}

int dir_remove_tree(int dirfd, const char *name, struct err *err) {
    return remove_tree(dirfd, name, 0, err);
}

int packet_send(int fd, const void *bytes, size_t len, struct err *err) {
    for (;;) {
        if (send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return 0;
        if (errno == EINTR)
            continue;
        if (errno == EPIPE || errno == ECONNRESET || errno == EAGAIN)
            return err_set(err, ERR_AWAY, errno, "the other process is gone or does not read");
        return err_sys(err, "send");
    }
}

ssize_t packet_recv(int fd, void *bytes, size_t max, struct err *err) {
    for (;;) {
        /* With MSG_TRUNC the answer is the true length, also of what did not fit. */
        ssize_t n = recv(fd, bytes, max, MSG_DONTWAIT | MSG_TRUNC);
        if (n > (ssize_t)max)
            return err_set(err, ERR_LIMIT, 0, "a message of %zd bytes, at most %zu", n, max);
        if (n >= 0)
            return n;
        if (errno == EINTR)
            continue;
        if (errno == ECONNRESET)
            return 0;
        return err_sys(err, "receive");
    }
}
