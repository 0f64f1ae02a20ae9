#include "base/fdutil.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/mem.h"

enum { READ_STEP_BYTES = 16384, PATH_BYTES_MAX = 4096 };

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

int file_write_atomic(int dirfd, const char *name, const void *bytes, size_t len, mode_t mode,
                      struct err *err) {
    AUTO_FREE char *temp = mem_printf("%s.new", name);
    AUTO_FD int fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_sys(err, "create %s", temp);
    if (fd_write_all(fd, bytes, len, err) < 0)
        return err_wrap(err, "write %s", temp);
    if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
        return err_sys(err, "make %s durable", temp);
    if (renameat(dirfd, temp, dirfd, name) < 0)
        return err_sys(err, "rename %s to %s", temp, name);
    return 0;
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
            return 0;
        *slash = '/';
    }
}

static int remove_children(int fd, struct err *err) {
    AUTO_DIR DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return err_sys(err, "read directory");
    }
    for (struct dirent *e; (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (dir_remove_tree(dirfd(dir), e->d_name, err) < 0)
            return -1;
    }
    return 0;
}

int dir_remove_tree(int dirfd, const char *name, struct err *err) {
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return err_sys(err, "remove %s", name);
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_sys(err, "open %s", name);
    if (remove_children(fd, err) < 0)
        return err_wrap(err, "in %s", name);
    if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return err_sys(err, "remove directory %s", name);
    return 0;
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
        ssize_t n = recv(fd, bytes, max, MSG_DONTWAIT);
        if (n >= 0)
            return n;
        if (errno == EINTR)
            continue;
        if (errno == ECONNRESET)
            return 0;
        return err_sys(err, "receive");
    }
}
