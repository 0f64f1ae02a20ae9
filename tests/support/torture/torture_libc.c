/* System calls and what of stdio and directories opens or reads. Names with 64 are what libraries call. */
#define _LARGEFILE64_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "torture.h"

/* A connection that was reset is of no use to the calls that follow either. */
static bool fails_on(int fd, const char *how) {
    if (torture_is(how, "ECONNRESET"))
        shutdown(fd, SHUT_RDWR);
    return torture_errno(how);
}

/* --- calls that do their work or fail with -1 --- */

#define FAILING(type, name, params, args, hows)                                                              \
    type name params {                                                                                       \
        REAL(name);                                                                                          \
        return torture_errno(torture_now(#name, hows)) ? -1 : real args;                                     \
    }

#define TALKING(name, params, args, hows)                                                                    \
    ssize_t name params {                                                                                    \
        REAL(name);                                                                                          \
        return fails_on(fd, torture_now(#name, hows)) ? -1 : real args;                                      \
    }

FAILING(int, fsync, (int fd), (fd), "EIO")
FAILING(int, fdatasync, (int fd), (fd), "EIO,ENOSPC")
FAILING(int, rename, (const char *from, const char *to), (from, to), "EIO")
FAILING(int, renameat, (int from_fd, const char *from, int to_fd, const char *to), (from_fd, from, to_fd, to),
        "EIO")
FAILING(int, renameat2, (int from_fd, const char *from, int to_fd, const char *to, unsigned flags),
        (from_fd, from, to_fd, to, flags), "EIO")
FAILING(int, unlink, (const char *name), (name), "EIO")
FAILING(int, unlinkat, (int fd, const char *name, int flags), (fd, name, flags), "EIO")
FAILING(int, rmdir, (const char *name), (name), "EIO")
FAILING(int, mkdir, (const char *name, mode_t mode), (name, mode), "ENOSPC")
FAILING(int, mkdirat, (int fd, const char *name, mode_t mode), (fd, name, mode), "ENOSPC")
FAILING(int, fchmod, (int fd, mode_t mode), (fd, mode), "EIO")
FAILING(int, fchmodat, (int fd, const char *name, mode_t mode, int flags), (fd, name, mode, flags), "EIO")
FAILING(int, fstat, (int fd, struct stat *st), (fd, st), "EIO")
FAILING(int, fstatat, (int fd, const char *name, struct stat *st, int flags), (fd, name, st, flags), "EIO")
FAILING(int, stat, (const char *name, struct stat *st), (name, st), "EIO")
FAILING(int, lstat, (const char *name, struct stat *st), (name, st), "EIO")
FAILING(int, faccessat, (int fd, const char *name, int mode, int flags), (fd, name, mode, flags), "EIO")
FAILING(int, access, (const char *name, int mode), (name, mode), "EIO")
FAILING(off_t, lseek, (int fd, off_t at, int whence), (fd, at, whence), "EIO")
FAILING(int, ftruncate, (int fd, off_t len), (fd, len), "EIO")
FAILING(int, fallocate, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len), "ENOSPC")
FAILING(int, flock, (int fd, int what), (fd, what), "ENOLCK,EINTR")
FAILING(int, dup, (int fd), (fd), "EMFILE")
FAILING(int, dup2, (int fd, int as), (fd, as), "EIO")
FAILING(int, pipe2, (int fds[2], int flags), (fds, flags), "EMFILE")
FAILING(int, poll, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms), "EINTR,ENOMEM")
FAILING(int, ppoll, (struct pollfd * fds, nfds_t n, const struct timespec *t, const sigset_t *mask),
        (fds, n, t, mask), "EINTR,ENOMEM")
FAILING(int, epoll_create1, (int flags), (flags), "EMFILE")
FAILING(int, epoll_ctl, (int fd, int op, int what, struct epoll_event *event), (fd, op, what, event),
        "ENOSPC,ENOMEM")
FAILING(int, epoll_wait, (int fd, struct epoll_event *events, int most, int ms), (fd, events, most, ms),
        "EINTR")
FAILING(int, socket, (int domain, int type, int protocol), (domain, type, protocol), "EMFILE")
FAILING(int, socketpair, (int domain, int type, int protocol, int fds[2]), (domain, type, protocol, fds),
        "EMFILE")
FAILING(int, connect, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len),
        "ECONNREFUSED,EAGAIN,EINTR")
TALKING(sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), "ECONNRESET,EAGAIN,EINTR")
TALKING(recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags), "ECONNRESET,EINTR")
TALKING(sendto,
        (int fd, const void *bytes, size_t len, int flags, const struct sockaddr *to, socklen_t to_len),
        (fd, bytes, len, flags, to, to_len), "ECONNRESET,EINTR")
FAILING(int, inotify_init1, (int flags), (flags), "EMFILE")
FAILING(int, inotify_add_watch, (int fd, const char *name, uint32_t mask), (fd, name, mask), "ENOSPC")
FAILING(int, timerfd_create, (clockid_t clock, int flags), (clock, flags), "EMFILE")
FAILING(int, timerfd_settime, (int fd, int flags, const struct itimerspec *in, struct itimerspec *was),
        (fd, flags, in, was), "ENOMEM")
FAILING(int, signalfd, (int fd, const sigset_t *mask, int flags), (fd, mask, flags), "EMFILE")
FAILING(ssize_t, readlink, (const char *name, char *out, size_t len), (name, out, len), "EIO")
FAILING(ssize_t, writev, (int fd, const struct iovec *parts, int n), (fd, parts, n), "ENOSPC,EINTR")
FAILING(ssize_t, getline, (char **line, size_t *room, FILE *file), (line, room, file), "EIO")

/* --- those that take a mode only sometimes --- */

static const char open_hows[] = "EMFILE,ENOSPC,EINTR";

#define WITH_MODE(mode, flags)                                                                               \
    va_list args;                                                                                            \
    va_start(args, flags);                                                                                   \
    mode_t mode = (flags) & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;                                \
    va_end(args)

#define OPENING(name)                                                                                        \
    int name(const char *path, int flags, ...) {                                                             \
        REAL(name);                                                                                          \
        WITH_MODE(mode, flags);                                                                              \
        return torture_errno(torture_now("open", open_hows)) ? -1 : real(path, flags, mode);                 \
    }
#define OPENING_AT(name)                                                                                     \
    int name(int fd, const char *path, int flags, ...) {                                                     \
        REAL(name);                                                                                          \
        WITH_MODE(mode, flags);                                                                              \
        return torture_errno(torture_now("openat", open_hows)) ? -1 : real(fd, path, flags, mode);           \
    }
OPENING(open)
OPENING(open64)
OPENING_AT(openat)
OPENING_AT(openat64)

#define CONTROLLING(name)                                                                                    \
    int name(int fd, int what, ...) {                                                                        \
        REAL(name);                                                                                          \
        va_list args;                                                                                        \
        va_start(args, what);                                                                                \
        void *arg = va_arg(args, void *);                                                                    \
        va_end(args);                                                                                        \
        return torture_errno(torture_now("fcntl", "EMFILE")) ? -1 : real(fd, what, arg);                     \
    }
CONTROLLING(fcntl)
CONTROLLING(fcntl64)

/* --- those that may do less --- */

#define MOVING(name, type, params, args, hows)                                                               \
    ssize_t name params {                                                                                    \
        REAL(name);                                                                                          \
        const char *how = torture_now(#name, hows);                                                          \
        if (fails_on(fd, how))                                                                               \
            return -1;                                                                                       \
        if (torture_is(how, "short"))                                                                        \
            len = torture_half(len);                                                                         \
        return real args;                                                                                    \
    }

MOVING(read, void *, (int fd, void *bytes, size_t len), (fd, bytes, len), "EIO,EINTR,short")
MOVING(pread, void *, (int fd, void *bytes, size_t len, off_t at), (fd, bytes, len, at), "EIO,EINTR,short")
MOVING(write, const void *, (int fd, const void *bytes, size_t len), (fd, bytes, len), "ENOSPC,EINTR,short")
MOVING(pwrite, const void *, (int fd, const void *bytes, size_t len, off_t at), (fd, bytes, len, at),
       "ENOSPC,EINTR,short")
MOVING(send, const void *, (int fd, const void *bytes, size_t len, int flags), (fd, bytes, len, flags),
       "ECONNRESET,EAGAIN,EINTR")
MOVING(recv, void *, (int fd, void *bytes, size_t len, int flags), (fd, bytes, len, flags),
       "ECONNRESET,EAGAIN,EINTR")

/* --- the rest --- */

/* The descriptor is gone all the same: close(2). */
int close(int fd) {
    REAL(close);
    const char *how = torture_now("close", "EIO,EINTR");
    int done = real(fd);
    return torture_errno(how) ? -1 : done;
}

#define GIVING(type, name, params, args, hows)                                                               \
    type *name params {                                                                                      \
        REAL(name);                                                                                          \
        return torture_errno(torture_now(#name, hows)) ? NULL : real args;                                   \
    }
GIVING(FILE, fopen, (const char *name, const char *mode), (name, mode), "EMFILE")
GIVING(FILE, fopen64, (const char *name, const char *mode), (name, mode), "EMFILE")
GIVING(DIR, opendir, (const char *name), (name), "EMFILE")
GIVING(DIR, fdopendir, (int fd), (fd), "ENOMEM")
GIVING(struct dirent, readdir, (DIR * dir), (dir), "EIO")
GIVING(struct dirent64, readdir64, (DIR * dir), (dir), "EIO")
