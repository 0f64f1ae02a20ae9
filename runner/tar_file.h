/*
 * tar_file - an archive of one executable file, in the form of POSIX.1-1988 (ustar), for an image made on the
 * spot.
 */
#ifndef BERTH_RUNNER_TAR_FILE_H
#define BERTH_RUNNER_TAR_FILE_H

#include <stddef.h>

#include "base/buf.h"

/* Adds directory `dir` ("x/") and in it the file `path` ("x/y", both shorter than 100 bytes), mode 0755,
 * owner root, and the archive's end. -1: out's maximum. */
int tar_file_build(struct buf *out, const char *dir, const char *path, const void *bytes, size_t len);

#endif
