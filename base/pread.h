/*
 * pread - reads at a place until it has all, in the header, so that berth-init has it too (libc only).
 *
 * Regular files mostly give all at once, but nothing promises it: read(2).
 */
#ifndef BERTH_BASE_PREAD_H
#define BERTH_BASE_PREAD_H

#include <errno.h>
#include <sys/types.h>
#include <unistd.h>

/* As pread(2), but less than `len` only where the file ends. */
static inline ssize_t pread_whole(int fd, void *bytes, size_t len, off_t at) {
    size_t have = 0;
    while (have < len) {
        ssize_t got = pread(fd, (char *)bytes + have, len - have, at + (off_t)have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

#endif
