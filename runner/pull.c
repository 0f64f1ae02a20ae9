#include "runner/pull.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/units.h"
#include "proto/fault_points.h"
#include "proto/place.h"
#include "runner/pull_news.h"
#include "runner/system_log.h"

enum {
    LOCK_NAME_MAX = 32,
    LOCK_MODE = 0600,
    LOCK_TRIES_MAX = 16,
    STAMP_MAX = 8192, /* bytes of what a lock file says */
};

/* One call of pull_image(). */
struct turn {
    const struct pull *pull;
    const struct ctx *ctx;
    enum reason reason;
    int64_t asked_ns; /* CLOCK_BOOTTIME */
    char boot_id[CLOCK_BOOT_ID_MAX];
    int lock_fd;
    bool waited;
};

static int fault(struct turn *turn, struct err *err, enum reason reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static int fault(struct turn *turn, struct err *err, enum reason reason, const char *fmt, ...) {
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    turn->reason = reason;
    return err_set(err, ERR_INVALID, 0, "%s", text);
}

/* --- what an engine's refusal means for the job --- */

static int denied(struct turn *turn, bool with_auth, const struct err *why, struct err *err) {
    const char *image = turn->pull->image;
    const char *path = turn->pull->config_path;
    if (with_auth)
        return fault(turn, err, REASON_IMAGE_DENIED,
                     "The registry refused the image \"%.200s\" with the credentials that "
                     "BERTH_DOCKER_CONFIG has for it: %.200s",
                     image, why->text);
    return fault(turn, err, REASON_IMAGE_DENIED,
                 "The registry refused the image \"%.200s\", and BERTH_DOCKER_CONFIG %s: %.200s", image,
                 path ? "has no credentials for it" : "is not set, so there are no credentials", why->text);
}

static int pull_fault(struct turn *turn, bool with_auth, const struct err *why, struct err *err) {
    const char *image = turn->pull->image;
    if (engine_status_is(why, 400))
        return fault(turn, err, REASON_SPEC_REFUSED,
                     "The engine does not take \"%.200s\" as an image: %.250s", image, why->text);
    switch (image_pull_failure(why)) {
    case IMAGE_NOT_FOUND:
        return fault(
            turn, err, REASON_IMAGE_NOT_FOUND,
            "The image \"%.200s\" does not exist, or its registry hides it without credentials: %.200s",
            image, why->text);
    case IMAGE_DENIED:
        return denied(turn, with_auth, why, err);
    case IMAGE_FAILED:
        break;
    }
    return fault(turn, err, REASON_PULL_FAILED, "The image \"%.200s\" could not be pulled: %.250s", image,
                 why->text);
}

/* 1: it is there; 0: not on this engine. */
static int look(struct turn *turn, struct image_info *ret_info, struct err *err) {
    struct err why = {0};
    if (image_inspect(turn->pull->engine, turn->ctx, turn->pull->image, ret_info, &why) == 0)
        return 1;
    if (engine_status_is(&why, 404))
        return 0;
    if (engine_status_is(&why, 400))
        return pull_fault(turn, false, &why, err);
    if (err)
        *err = why;
    return -1;
}

/* --- taking turns --- */

static const char *lock_name(const char *image, char out[LOCK_NAME_MAX]) {
    /* Two of one hash only wait for each other. */
    snprintf(out, LOCK_NAME_MAX, PLACE_PULL_LOCK "%016" PRIx64, hash_text64(image));
    return out;
}

static int lock_once(struct turn *turn, struct err *err) {
    char name[LOCK_NAME_MAX];
    turn->lock_fd = openat(turn->pull->lock_dir_fd, lock_name(turn->pull->image, name),
                           O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, LOCK_MODE);
    if (turn->lock_fd < 0)
        return err_sys(err, "open the lock of pulls of %s", turn->pull->image);
    if (flock(turn->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK && !turn->waited) {
        turn->waited = true;
        system_log(turn->pull->dir_fd, "Waiting for image %s: another job is pulling it", turn->pull->image);
    }
    return lock_wait(turn->lock_fd, turn->ctx, "wait for another pull of the image", err);
}

/* The reaper removes old locks that nobody holds: one that was removed before we had it keeps nobody out. */
static int lock(struct turn *turn, struct err *err) {
    struct stat st = {0};
    for (int i = 0; i < LOCK_TRIES_MAX; i++) {
        if (lock_once(turn, err) < 0)
            return -1;
        if (fstat(turn->lock_fd, &st) == 0 && st.st_nlink > 0)
            return 0;
        close(STEAL_FD(turn->lock_fd));
    }
    return err_set(err, ERR_BUG, 0, "the lock of pulls of %s is removed again and again", turn->pull->image);
}

/* What came of the pull that began at this time. Losing it costs a pull. */
static void stamp_write(const struct turn *turn, int64_t began_ns, const struct err *err) {
    const char *why = turn->reason == REASON_NONE ? "" : err->text;
    AUTO_JSON json_t *stamp =
        json_pack("{s:s, s:s, s:I, s:i, s:s}", "image", turn->pull->image, "boot", turn->boot_id, "began_ns",
                  (json_int_t)began_ns, "reason", (int)turn->reason, "text", why);
    AUTO_FREE char *text = stamp ? json_dumps(stamp, JSON_COMPACT) : NULL;
    if (ftruncate(turn->lock_fd, 0) == 0 && text && lseek(turn->lock_fd, 0, SEEK_SET) == 0)
        fd_write_all(turn->lock_fd, text, strlen(text), NULL);
}

/* The stamp of a pull of this very image that began after we had asked; NULL: none. */
static json_t *stamp_read(const struct turn *turn) {
    AUTO_BUF struct buf text = BUF(STAMP_MAX);
    if (fd_read_all(turn->lock_fd, &text, NULL) < 0)
        return NULL;
    AUTO_JSON json_t *stamp = json_loadb(buf_str(&text), text.len, 0, NULL);
    const char *image = json_get_string(stamp, "image");
    const char *boot_id = json_get_string(stamp, "boot");
    if (!image || strcmp(image, turn->pull->image) != 0 || !boot_id || strcmp(boot_id, turn->boot_id) != 0 ||
        json_get_int(stamp, "began_ns", -1) < turn->asked_ns)
        return NULL;
    return STEAL(stamp);
}

/* What another pull has done for us meanwhile. 1: the image is there; 0: nothing, it is our turn. */
static int look_again(struct turn *turn, struct image_info *ret_info, struct err *err) {
    AUTO_JSON json_t *stamp = stamp_read(turn);
    int64_t reason = json_get_int(stamp, "reason", REASON_NONE);
    const char *text = json_get_string(stamp, "text");
    if (stamp && reason > REASON_NONE && reason < REASON_COUNT && text)
        return fault(turn, err, (enum reason)reason, "%s", text);
    if (stamp || turn->pull->rule == SPEC_PULL_MISSING)
        return look(turn, ret_info, err);
    return 0;
}

/* --- the pull --- */

/* A config that is not as it should be does not hinder images that need none. */
static char *auth_read(const struct pull *pull) {
    AUTO_BUF struct buf config = BUF(PULL_CONFIG_MAX);
    struct err why = {0};
    char *auth = NULL;
    if (pull->config_path && (file_read(AT_FDCWD, pull->config_path, PULL_CONFIG_MAX, &config, &why) < 0 ||
                              pull_auth(buf_str(&config), config.len, pull->image, &auth, &why) < 0))
        system_log(pull->dir_fd, "Pulling %s without credentials: BERTH_DOCKER_CONFIG cannot be used: %s",
                   pull->image, why.text);
    return auth;
}

static int pull_once(struct turn *turn, struct err *err) {
    const struct pull *pull = turn->pull;
    AUTO_FREE char *auth = auth_read(pull);
    struct pull_news news = {.image = pull->image, .dir_fd = pull->dir_fd};
    struct err why = {0};
    system_log(pull->dir_fd, "Pulling image %s", pull->image);
    FAULT(RUNNER_PULLING);
    if (image_pull(pull->engine, turn->ctx, pull->image, auth, pull_news_take, &news, &why) == 0)
        return 0;
    system_log(pull->dir_fd, "Pulling image %s failed: %s", pull->image, why.text);
    if (why.kind == ERR_ENGINE || why.kind == ERR_INVALID || why.kind == ERR_LIMIT)
        return pull_fault(turn, auth != NULL, &why, err);
    if (err)
        *err = why;
    return -1;
}

static void tell_done(const struct pull *pull, const struct image_info *info, int64_t took_ms) {
    char duration[UNITS_TEXT_MAX];
    char size[PULL_NEWS_SIZE_MAX];
    system_log(pull->dir_fd, "Pulled image %s in %s: %s, %s", pull->image,
               units_format_duration(took_ms, duration), info->repo_digest[0] ? info->repo_digest : info->id,
               pull_news_size(info->size_bytes, size));
}

/* The id that the reference has now; "" when it has none, "?" when that cannot be known. Owned by the caller.
 */
static char *id_now(const struct turn *turn) {
    AUTO_IMAGE_INFO struct image_info info = {0};
    struct err why = {0};
    if (image_inspect(turn->pull->engine, turn->ctx, turn->pull->image, &info, &why) == 0)
        return mem_strdup(info.id);
    return mem_strdup(engine_status_is(&why, 404) ? "" : "?");
}

static int pull_and_look(struct turn *turn, struct image_info *ret_info, struct err *err) {
    AUTO_FREE char *before = id_now(turn);
    int64_t began_ns = clock_boot_ns();
    if (pull_once(turn, err) < 0) {
        if (turn->reason != REASON_NONE)
            stamp_write(turn, began_ns, err);
        return -1;
    }
    FAULT(RUNNER_IMAGE_PULLED);
    stamp_write(turn, began_ns, err);
    int found = look(turn, ret_info, err);
    if (found == 0)
        return fault(turn, err, REASON_PULL_FAILED,
                     "The image \"%.200s\" was pulled, and was removed from the engine at once.",
                     turn->pull->image);
    if (found > 0 && turn->pull->came && *before != '?' && strcmp(before, ret_info->id) != 0)
        *turn->pull->came = true;
    if (found > 0)
        tell_done(turn->pull, ret_info, (clock_boot_ns() - began_ns) / NS_PER_MS);
    return found;
}

/* 1: the image is there. */
static int get(struct turn *turn, struct image_info *ret_info, struct err *err) {
    enum spec_pull rule = turn->pull->rule;
    int found = rule == SPEC_PULL_ALWAYS ? 0 : look(turn, ret_info, err);
    if (found != 0)
        return found;
    if (rule == SPEC_PULL_NEVER)
        return fault(turn, err, REASON_IMAGE_NOT_FOUND,
                     "The image \"%.200s\" is not on this engine, and the job says pull: never. Load it "
                     "there, or use pull: missing.",
                     turn->pull->image);
    if (clock_boot_id(turn->boot_id, err) < 0 || lock(turn, err) < 0)
        return -1;
    found = look_again(turn, ret_info, err);
    return found != 0 ? found : pull_and_look(turn, ret_info, err);
}

int pull_image(const struct pull *pull, const struct ctx *ctx, struct image_info *ret_info,
               enum reason *ret_reason, struct err *err) {
    struct turn turn = {.pull = pull, .ctx = ctx, .asked_ns = clock_boot_ns(), .lock_fd = -1};
    struct err why = {0};
    int found = get(&turn, ret_info, &why);
    if (turn.lock_fd >= 0)
        close(turn.lock_fd);
    *ret_reason = turn.reason;
    if (found < 0 && err)
        *err = why;
    return found < 0 ? -1 : 0;
}
