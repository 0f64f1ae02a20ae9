/*
 * cleanup - release tied to the scope.
 *
 * A variable declared with AUTO_* is released when it leaves its scope; give it its "nothing" value (NULL,
 * -1) at once. STEAL(p) hands ownership on and leaves NULL behind; STEAL_FD likewise with -1. Other modules
 * define their own AUTO_* beside their free function.
 */
#ifndef BERTH_BASE_CLEANUP_H
#define BERTH_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

static inline void cleanup_free_p(void *p) {
    free(*(void **)p);
}
static inline void cleanup_fd_p(const int *fd) {
    if (*fd >= 0)
        close(*fd);
}
static inline void cleanup_dir_p(DIR **dir) {
    if (*dir)
        closedir(*dir);
}
static inline void cleanup_file_p(FILE **file) {
    if (*file)
        fclose(*file);
}

#define AUTO_FREE CLEANUP(cleanup_free_p)
#define AUTO_FD CLEANUP(cleanup_fd_p)
#define AUTO_DIR CLEANUP(cleanup_dir_p)
#define AUTO_FILE CLEANUP(cleanup_file_p)

#define STEAL(p)                                                                                             \
    __extension__({                                                                                          \
        __typeof__(p) stolen_ = (p);                                                                         \
        (p) = NULL;                                                                                          \
        stolen_;                                                                                             \
    })
#define STEAL_FD(fd)                                                                                         \
    __extension__({                                                                                          \
        int stolen_ = (fd);                                                                                  \
        (fd) = -1;                                                                                           \
        stolen_;                                                                                             \
    })

#define ARRAY_LEN(a) (sizeof(a) / sizeof *(a))

#endif
