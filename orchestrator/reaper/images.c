#include "orchestrator/reaper/images.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/mem.h"
#include "orchestrator/db/live.h"
#include "orchestrator/reaper/lru.h"
#include "proto/place.h"
#include "proto/pulled.h"
#include "runner/docker/container.h"
#include "runner/docker/image.h"

static const char least_used[] =
    "the images that Berth has pulled take too much room, and jobs have not used "
    "this one for the longest time";
static const char only_noted[] = "somebody has removed it from the engine, only Berth's note of it is left";

/* --- references of a note, a line each --- */

typedef bool on_ref(void *arg, const char *ref); /* false: enough */

static bool each_ref(const char *refs, on_ref *on, void *arg) {
    for (const char *line = refs; *line; line += strcspn(line, "\n") + 1) {
        AUTO_FREE char *ref = mem_strndup(line, strcspn(line, "\n"));
        if (!on(arg, ref))
            return false;
    }
    return true;
}

static bool is_other(void *arg, const char *text) {
    struct image_ref ref;
    char familiar[IMAGE_REF_MAX];
    return image_ref_parse(text, &ref, NULL) < 0 || strcmp(image_ref_familiar(&ref, familiar), arg) != 0;
}

/* Whether it bears a name by which Berth has not pulled it. */
static bool has_other_names(const struct image_info *info, const char *refs) {
    for (size_t i = 0; i < json_array_size(info->tags); i++) {
        AUTO_FREE char *tag = mem_strdup(json_string_value(json_array_get(info->tags, i)));
        if (!tag || each_ref(refs, is_other, tag))
            return true;
    }
    return false;
}

/* --- who wants which --- */

/* Ids of all images of which there is a container, whoever's. */
static int used_by_containers(struct engine *engine, const struct ctx *ctx, struct container_list *ret,
                              struct err *err) {
    return container_list(engine, ctx, (struct engine_pairs){0}, true, ret, err);
}

static void mark(struct lru_image *images, size_t count, const struct pulled_list *pulled, const char *id) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(pulled->items[images[i].tag].id, id) == 0)
            images[i].wanted = true;
}

/* What a job names may be an id or a part of one, or a name that has moved: the engine knows. */
static int mark_wanted(const struct sweep *sweep, const struct ctx *ctx, const struct pulled_list *pulled,
                       struct lru_image *images, size_t count, struct err *err) {
    AUTO_LIVE_NAMES struct live_names wanted = {0};
    if (live_wanted(sweep->db, ctx, &wanted, err) < 0)
        return -1;
    for (size_t i = 0; i < wanted.count; i++) {
        AUTO_IMAGE_INFO struct image_info info = {0};
        struct err why = {0};
        if (*wanted.items[i] == '\0')
            continue;
        if (image_inspect(sweep->engine, ctx, wanted.items[i], &info, &why) == 0) {
            mark(images, count, pulled, info.id);
        } else if (why.kind != ERR_ENGINE) { /* refused or not there: no image of ours */
            if (err)
                *err = why;
            return -1;
        }
    }
    return 0;
}

/* --- which there are --- */

static void plan_image(struct plan *plan, const struct pulled *one, const char *reason) {
    AUTO_FREE char *name = mem_strndup(one->refs, strcspn(one->refs, "\n"));
    plan_add(plan, ORPHAN_IMAGE, one->id, *name ? name : one->id, reason)->seen = one->used_ns;
}

/* 1: it counts; 0: it is gone, or not ours to remove. */
static int look_at(const struct sweep *sweep, const struct ctx *ctx, const struct pulled *one,
                   struct plan *plan, struct lru_image *ret, struct err *err) {
    AUTO_IMAGE_INFO struct image_info info = {0};
    struct err why = {0};
    if (image_inspect(sweep->engine, ctx, one->id, &info, &why) < 0) {
        if (engine_status_is(&why, 404)) {
            plan_image(plan, one, only_noted);
            return 0;
        }
        if (err)
            *err = why;
        return -1;
    }
    if (has_other_names(&info, one->refs))
        return 0;
    *ret = (struct lru_image){.used_ns = one->used_ns, .bytes = info.size_bytes};
    return 1;
}

static int look_at_all(const struct sweep *sweep, const struct ctx *ctx, const struct pulled_list *pulled,
                       struct plan *plan, struct lru_image *images, size_t *ret_count, struct err *err) {
    size_t count = 0;
    for (size_t i = 0; i < pulled->count; i++) {
        int counts = look_at(sweep, ctx, &pulled->items[i], plan, &images[count], err);
        if (counts < 0)
            return -1;
        if (counts)
            images[count++].tag = i;
    }
    *ret_count = count;
    return 0;
}

static int choose(const struct sweep *sweep, const struct ctx *ctx, const struct pulled_list *pulled,
                  struct plan *plan, struct err *err) {
    AUTO_FREE struct lru_image *images = mem_alloc((pulled->count + 1) * sizeof *images);
    AUTO_CONTAINER_LIST struct container_list containers = {0};
    int64_t sum = 0;
    size_t count = 0;
    if (look_at_all(sweep, ctx, pulled, plan, images, &count, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        sum += images[i].bytes;
    if (sum <= sweep->images_high_bytes)
        return 0;
    if (used_by_containers(sweep->engine, ctx, &containers, err) < 0 ||
        mark_wanted(sweep, ctx, pulled, images, count, err) < 0)
        return -1;
    for (size_t i = 0; i < containers.count; i++)
        mark(images, count, pulled, containers.items[i].image_id);
    lru_choose(images, count, sweep->images_high_bytes, sweep->images_low_bytes);
    for (size_t i = 0; i < count; i++)
        if (images[i].goes)
            plan_image(plan, &pulled->items[images[i].tag], least_used);
    return 0;
}

static int open_notes(const struct sweep *sweep) {
    return openat(sweep->state_fd, PLACE_IMAGES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int images_plan(const struct sweep *sweep, const struct ctx *ctx, struct plan *plan, struct err *err) {
    AUTO_PULLED_LIST struct pulled_list pulled = {0};
    if (!sweep->images_high_bytes)
        return 0;
    AUTO_FD int fd = open_notes(sweep);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_sys(err, "open %s/" PLACE_IMAGES, sweep->state_dir);
    if (pulled_list(fd, &pulled, err) < 0 || choose(sweep, ctx, &pulled, plan, err) < 0)
        return err_wrap(err, "look for images that are not used");
    return 0;
}

/* --- how it goes --- */

struct removal {
    const struct sweep *sweep;
    const struct ctx *ctx;
    const char *id;
    struct err err;
};

/* Only if the name has not moved to another image meanwhile. Without force: what a container needs stays. */
static bool remove_name(void *arg, const char *ref) {
    struct removal *r = arg;
    AUTO_IMAGE_INFO struct image_info info = {0};
    if (image_inspect(r->sweep->engine, r->ctx, ref, &info, &r->err) < 0) {
        bool gone = engine_status_is(&r->err, 404);
        r->err = gone ? (struct err){0} : r->err;
        return gone;
    }
    return strcmp(info.id, r->id) != 0 || image_remove(r->sweep->engine, r->ctx, ref, false, &r->err) == 0;
}

/* What is left when its names have moved on: an image without any. */
static int remove_nameless(const struct removal *r, struct err *err) {
    AUTO_IMAGE_INFO struct image_info info = {0};
    struct err why = {0};
    if (image_inspect(r->sweep->engine, r->ctx, r->id, &info, &why) < 0) {
        if (engine_status_is(&why, 404))
            return 0;
        *err = why;
        return -1;
    }
    return json_array_size(info.tags) ? 0 : image_remove(r->sweep->engine, r->ctx, r->id, false, err);
}

/* The note of the use is locked: a runner that wants it waits, and looks for the image anew. */
int images_remove(const struct sweep *sweep, const struct ctx *ctx, const struct orphan *orphan,
                  struct err *err) {
    AUTO_FD int dir_fd = open_notes(sweep);
    AUTO_FD int lock_fd = -1;
    AUTO_PULLED_LIST struct pulled_list pulled = {0};
    struct removal removal = {.sweep = sweep, .ctx = ctx, .id = orphan->id};
    if (dir_fd < 0)
        return err_sys(err, "open %s/" PLACE_IMAGES, sweep->state_dir);
    if (pulled_take(dir_fd, orphan->id, orphan->seen, &lock_fd, err) < 0 ||
        pulled_list(dir_fd, &pulled, err) < 0)
        return -1;
    for (size_t i = 0; i < pulled.count; i++)
        if (strcmp(pulled.items[i].id, orphan->id) == 0 &&
            !each_ref(pulled.items[i].refs, remove_name, &removal)) {
            *err = removal.err;
            return -1;
        }
    return remove_nameless(&removal, err) < 0 ? -1 : pulled_forget(dir_fd, orphan->id, err);
}
