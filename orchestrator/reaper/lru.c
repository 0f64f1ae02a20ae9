#include "orchestrator/reaper/lru.h"

#include <stdlib.h>

/* The larger one first of those that were used at the same time. */
static int compare(const void *a, const void *b) {
    const struct lru_image *one = a, *other = b;
    if (one->used_ns != other->used_ns)
        return one->used_ns < other->used_ns ? -1 : 1;
    return (other->bytes > one->bytes) - (other->bytes < one->bytes);
}

size_t lru_choose(struct lru_image *images, size_t count, int64_t high, int64_t low) {
    int64_t sum = 0;
    size_t chosen = 0;
    for (size_t i = 0; i < count; i++)
        sum += images[i].bytes;
    if (sum <= high)
        return 0;
    qsort(images, count, sizeof *images, compare);
    for (size_t i = 0; i < count && sum > low; i++) {
        if (images[i].wanted)
            continue;
        images[i].goes = true;
        sum -= images[i].bytes;
        chosen++;
    }
    return chosen;
}
