#include "runner/pull_news.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "runner/pull.h"
#include "runner/system_log.h"

const char *pull_news_size(int64_t bytes, char out[PULL_NEWS_SIZE_MAX]) {
    enum { MIB = 1024 * 1024, TENTHS = 10 };
    int64_t tenths = (bytes * TENTHS + MIB / 2) / MIB;
    snprintf(out, PULL_NEWS_SIZE_MAX, "%lld.%lld MiB", (long long)(tenths / TENTHS),
             (long long)(tenths % TENTHS));
    return out;
}

/* NULL: there is no room for one more. */
static struct pull_news_layer *layer_of(struct pull_news *news, const char *id) {
    for (size_t i = 0; i < news->count; i++)
        if (strncmp(news->layers[i].id, id, PULL_NEWS_LAYER_ID_MAX - 1) == 0)
            return &news->layers[i];
    if (news->count == PULL_NEWS_LAYERS_MAX)
        return NULL;
    struct pull_news_layer *layer = &news->layers[news->count++];
    snprintf(layer->id, sizeof layer->id, "%s", id);
    return layer;
}

/* Other figures ("Extracting") are of the layer unpacked. */
static void layer_take(struct pull_news *news, const struct image_progress *progress) {
    static const char *const done[] = {"Download complete", "Pull complete", "Already exists"};
    bool bytes = strcmp(progress->status, "Downloading") == 0;
    bool ends = false;
    for (size_t i = 0; i < ARRAY_LEN(done); i++)
        ends |= strcmp(progress->status, done[i]) == 0;
    bool begins = strcmp(progress->status, "Pulling fs layer") == 0;
    struct pull_news_layer *layer = bytes || ends || begins ? layer_of(news, progress->layer) : NULL;
    if (!layer)
        return;
    if (bytes) {
        layer->bytes = progress->current_bytes;
        layer->of_bytes = progress->total_bytes;
    }
    if (ends) {
        layer->bytes = layer->of_bytes;
        layer->done = true;
    }
}

static void tell(const struct pull_news *news) {
    char have[PULL_NEWS_SIZE_MAX];
    char all[PULL_NEWS_SIZE_MAX];
    int64_t bytes = 0, of_bytes = 0;
    size_t done = 0;
    for (size_t i = 0; i < news->count; i++) {
        bytes += news->layers[i].bytes;
        of_bytes += news->layers[i].of_bytes;
        done += news->layers[i].done;
    }
    system_log(news->dir_fd, "Pulling image %s: %s of %s, %zu of %zu layers", news->image,
               pull_news_size(bytes, have), pull_news_size(of_bytes, all), done, news->count);
}

void pull_news_take(void *arg, const struct image_progress *progress) {
    struct pull_news *news = arg;
    int64_t now_ns = clock_boot_ns();
    if (progress->layer[0])
        layer_take(news, progress);
    if (!news->told_ns)
        news->told_ns = now_ns; /* "Pulling image" was just said */
    if (now_ns - news->told_ns < PULL_PROGRESS_MS * NS_PER_MS)
        return;
    news->told_ns = now_ns;
    tell(news);
}
