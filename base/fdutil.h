/*
 * fdutil - whole reads and writes, files written so that a crash leaves the old or the new one, datagrams.
 *
 * Every descriptor made here is close-on-exec. Paths in messages are the caller's own.
 */
#ifndef BERTH_BASE_FDUTIL_H
#define BERTH_BASE_FDUTIL_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* Writes all of it, through EINTR and short writes. */
int fd_write_all(int fd, const void *bytes, size_t len, struct err *err);
/* Appends until end of file; ERR_LIMIT when b->max would be exceeded. */
int fd_read_all(int fd, struct buf *b, struct err *err);
int fd_set_nonblock(int fd, struct err *err);

/* Reads a whole file below dirfd (AT_FDCWD: the working directory), at most max bytes, into a new buffer. */
int file_read(int dirfd, const char *name, size_t max, struct buf *out, struct err *err);
/* Writes name via a temporary file (name.new), fsync and rename, with this mode whatever the umask. On
 * success it outlives a power failure; on failure the old file is as it was. */
int file_write_atomic(int dirfd, const char *name, const void *bytes, size_t len, mode_t mode,
                      struct err *err);
/* The entries of an open directory; dirfd stays the caller's. NULL: errno. */
DIR *dir_open(int dirfd);
/* mkdir -p; every directory that has to be made gets this mode. */
int dir_make(const char *path, mode_t mode, struct err *err);
/* The same, and opens it. *ret_fd: owned by the caller. */
int dir_make_open(const char *path, mode_t mode, int *ret_fd, struct err *err);
/* rm -r of one entry below dirfd; does not follow symbolic links; absent is success. ERR_LIMIT when
 * it is more than 128 directories deep. */
int dir_remove_tree(int dirfd, const char *name, struct err *err);

/* One datagram on a SOCK_SEQPACKET socket. Send: never blocks; ERR_AWAY when the peer is gone or does not
 * read. Receive: returns the length, 0 at end of file, -1 with code EAGAIN when there is none, -1 with
 * ERR_LIMIT when the message was longer than max (it is gone then). */
int packet_send(int fd, const void *bytes, size_t len, struct err *err);
ssize_t packet_recv(int fd, void *bytes, size_t max, struct err *err);

#endif
