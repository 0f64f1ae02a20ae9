#include "runner/tar_file.h"

#include <stdio.h>
#include <string.h>

enum { TAR_BLOCK = 512, TAR_NAME_MAX = 100 };

/* https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html, "ustar Interchange Format" */
struct tar_header {
    char name[TAR_NAME_MAX], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100],
        magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], padding[12];
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK, "a header is one block");

static int put_header(struct buf *out, const char *name, char type, size_t len) {
    struct tar_header h = {.type = type, .magic = "ustar", .version = {'0', '0'}};
    if (strlen(name) >= sizeof h.name)
        return -1;
    memcpy(h.name, name, strlen(name));
    snprintf(h.mode, sizeof h.mode, "%07o", 0755U);
    snprintf(h.uid, sizeof h.uid, "%07o", 0U);
    snprintf(h.gid, sizeof h.gid, "%07o", 0U);
    snprintf(h.size, sizeof h.size, "%011o", (unsigned)len);
    snprintf(h.mtime, sizeof h.mtime, "%011o", 0U);
    memset(h.checksum, ' ', sizeof h.checksum);
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof h; i++)
        sum += ((const unsigned char *)&h)[i];
    snprintf(h.checksum, sizeof h.checksum, "%06o", sum);
    return buf_add(out, &h, sizeof h);
}

int tar_file_build(struct buf *out, const char *dir, const char *path, const void *bytes, size_t len) {
    static const char zeros[2 * TAR_BLOCK];
    size_t rest = len % TAR_BLOCK;
    if (put_header(out, dir, '5', 0) < 0 || put_header(out, path, '0', len) < 0 ||
        buf_add(out, bytes, len) < 0)
        return -1;
    if (rest && buf_add(out, zeros, TAR_BLOCK - rest) < 0)
        return -1;
    return buf_add(out, zeros, sizeof zeros);
}
