/*
 * pull_news - the engine's news of a pull, summed up into a line every PULL_PROGRESS_MS. Private to this
 * folder.
 */
#ifndef BERTH_RUNNER_PULL_NEWS_H
#define BERTH_RUNNER_PULL_NEWS_H

#include "runner/docker/image.h"

enum { PULL_NEWS_LAYERS_MAX = 256, PULL_NEWS_LAYER_ID_MAX = 16, PULL_NEWS_SIZE_MAX = 24 };

struct pull_news {
    const char *image;
    int dir_fd;      /* as for system_log() */
    int64_t told_ns; /* when the last line was written; 0: not yet */
    struct pull_news_layer {
        char id[PULL_NEWS_LAYER_ID_MAX];
        int64_t bytes, of_bytes;
        bool done;
    } layers[PULL_NEWS_LAYERS_MAX]; /* more are not summed */
    size_t count;
};

/* on_progress of image_pull(); arg: the struct. */
void pull_news_take(void *arg, const struct image_progress *progress);
/* "12.3 MiB"; returns out. */
const char *pull_news_size(int64_t bytes, char out[PULL_NEWS_SIZE_MAX]);

#endif
