/*
 * lru - which images go when those that Berth has pulled take too much room. Pure.
 */
#ifndef BERTH_REAPER_LRU_H
#define BERTH_REAPER_LRU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lru_image {
    int64_t used_ns, bytes; /* layers that two images share count for both */
    bool wanted;            /* by a job that has not ended, or by a container: it stays */
    bool goes;              /* the answer */
    size_t tag;             /* the caller's */
};

/* When all together are above `high`: marks the least recently used ones that nobody wants, until the others
 * are not above `low`. Sorts them by their last use. Returns how many go. */
size_t lru_choose(struct lru_image *images, size_t count, int64_t high, int64_t low);

#endif
