/* embed - files that were put into the program at build time (cmake/Embed.cmake). */
#ifndef BERTH_BASE_EMBED_H
#define BERTH_BASE_EMBED_H

#include <stddef.h>

struct embedded {
    const char *name;          /* the file's name without directory; NULL ends a table */
    const unsigned char *data; /* NUL-terminated behind len */
    size_t len;
};

#endif
