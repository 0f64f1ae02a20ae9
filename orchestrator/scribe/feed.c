#include "orchestrator/scribe/feed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "proto/fault_points.h"
#include "proto/place.h"

/* {"db","cache"}: a service may be called null, which without quotes is none. */
static char *services_text(const struct spec *spec) {
    struct buf text = BUF((size_t)SPEC_SERVICES_MAX * (SPEC_SERVICE_NAME_MAX + 3) + 2);
    buf_adds(&text, "{");
    for (size_t i = 0; i < spec->services_count; i++)
        buf_addf(&text, "%s\"%s\"", i ? "," : "", spec->services[i].name);
    buf_adds(&text, "}");
    return buf_steal(&text);
}

static void take_attempt(struct feed *feed) {
    const struct attempt *a = feed->attempt;
    feed->services = services_text(a->spec);
    feed->source_count = PACK_SERVICE + (unsigned)a->spec->services_count;
    feed->key = (struct ship_key){
        .job = a->job, .number = a->number, .id = a->id, .token = a->token, .services = feed->services};
}

/* The host is short of something, or a disk hiccups; what is not there or not to be read stays so. */
static bool may_pass(const struct err *err) {
    return err->kind == ERR_SYS && err->code != ENOENT && err->code != EISDIR && err->code != ELOOP;
}

static void free_p(struct feed **feed) {
    feed_free(*feed);
}
#define AUTO_FEED CLEANUP(free_p)

int feed_open(int attempts_fd, const char *name, struct feed **ret_feed, struct err *err) {
    int dir_fd = openat(attempts_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir_fd < 0)
        return err_sys(err, "open attempt %s", name);
    AUTO_FEED struct feed *feed = mem_alloc(sizeof *feed);
    snprintf(feed->name, sizeof feed->name, "%s", name);
    feed->dir_fd = dir_fd;
    feed->dirty = true;
    for (unsigned i = 0; i < PACK_SOURCES_MAX; i++)
        feed->sources[i].fd = -1;
    struct err why = {0};
    if (attempt_load(dir_fd, &feed->attempt, &why) == 0)
        take_attempt(feed);
    else if (may_pass(&why))
        return err_set(err, why.kind, why.code, "%s", why.text);
    else
        feed->state = FEED_BROKEN;
    if (err)
        *err = why;
    *ret_feed = STEAL(feed);
    return 0;
}

void feed_free(struct feed *feed) {
    if (!feed)
        return;
    feed_drop_pack(feed);
    for (unsigned i = 0; i < PACK_SOURCES_MAX; i++)
        source_close(&feed->sources[i]);
    close(feed->dir_fd);
    attempt_free(feed->attempt);
    free(feed->services);
    free(feed->poison);
    free(feed);
}

void feed_load(struct feed *feed, const struct ship_attempt *known) {
    feed->told = 0;
    feed->dirty = true;
    if (!known->ours || known->finished) {
        feed->state = FEED_GONE;
        feed->fenced = !known->ours;
        return;
    }
    feed->state = FEED_LIVE;
    feed->moved_ms = clock_boot_ms();
    feed->log_limit = known->log_limit;
    feed->freed = (int)known->freed;
    feed->at = (struct pack_position){
        .log_bytes = known->at.log_bytes, .lost_bytes = known->at.lost_bytes, .unhashed = known->at.unhashed};
    memcpy(feed->at.raw_pos, known->at.raw_pos, sizeof feed->at.raw_pos);
    memcpy(feed->at.output_bytes, known->at.source_bytes, sizeof feed->at.output_bytes);
    for (unsigned i = 0; i < feed->source_count; i++)
        source_reset(&feed->sources[i], feed->at.raw_pos[i]);
    sha256_init(&feed->at.sha);
    if (known->at.sha_len == sizeof feed->at.sha)
        memcpy(&feed->at.sha, known->at.sha_state, sizeof feed->at.sha);
    else if (known->at.sha_len > 0) /* of a version that hashed with another library */
        feed->at.unhashed = true;
}

static int open_sources(struct feed *feed, struct err *err) {
    char name[ATTEMPT_FILE_NAME_MAX];
    for (unsigned i = 0; i < feed->source_count; i++) {
        const char *file =
            i == PACK_MAIN ? ATTEMPT_SPOOL
            : i == PACK_SYSTEM
                ? ATTEMPT_SYSTEM
                : attempt_file_name(ATTEMPT_SPOOL, feed->attempt->spec->services[i - PACK_SERVICE].name,
                                    name);
        if (source_open(&feed->sources[i], feed->dir_fd, file, err) < 0)
            return err_wrap(err, "attempt %s", feed->name);
    }
    return 0;
}

int64_t feed_unread(const struct feed *feed) {
    int64_t sum = 0;
    for (unsigned i = 0; i < feed->source_count; i++)
        sum += source_unread(&feed->sources[i], feed->at.raw_pos[i]);
    return sum;
}

static int take_source(struct feed *feed, unsigned which, unsigned shares, bool *ret_end, bool *ret_more,
                       struct err *err) {
    struct source *source = &feed->sources[which];
    if (source_unread(source, feed->at.raw_pos[which]) == 0)
        return 0;
    int r = source_take(source, feed->pack, which, shares, feed->final, err);
    if (r < 0)
        return err_wrap(err, "attempt %s", feed->name);
    *ret_more = *ret_more || r == SOURCE_MORE;
    *ret_end = *ret_end && r == SOURCE_END;
    return 0;
}

static int take_sources(struct feed *feed, bool *ret_end, bool *ret_more, struct err *err) {
    unsigned shares = 0;
    for (unsigned i = 0; i < feed->source_count; i++)
        shares += source_unread(&feed->sources[i], feed->at.raw_pos[i]) > 0;
    for (unsigned i = PACK_SYSTEM; shares > 0 && i < feed->source_count; i++)
        if (take_source(feed, i, shares, ret_end, ret_more, err) < 0)
            return -1;
    return shares > 0 ? take_source(feed, PACK_MAIN, shares, ret_end, ret_more, err) : 0;
}

/* The transaction that ends an attempt leaves head and tail: live viewers have a moment to read what it takes
 * away. */
static bool holds_the_end(struct feed *feed) {
    int64_t log_bytes = feed->pack->at.log_bytes, now_ms = clock_boot_ms();
    int64_t since_ms = log_bytes == feed->at.log_bytes ? feed->moved_ms : now_ms;
    if (feed->poison || now_ms >= since_ms + FEED_WINDOW_MS ||
        pack_window_begin(feed->log_limit, FEED_WINDOW_BYTES, log_bytes) ==
            pack_tail_begin(feed->log_limit, log_bytes))
        return false;
    feed->not_before_ns = (since_ms + FEED_WINDOW_MS) * NS_PER_MS;
    return true;
}

int feed_fill(struct feed *feed, bool *ret_more, struct err *err) {
    /* The journal first: when it is complete, the spools will not grow any more. */
    if (journal_read(feed->dir_fd, &feed->journal, err) < 0)
        return -1;
    feed->final =
        journal_has(&feed->journal, JOURNAL_VERDICT) && journal_has(&feed->journal, JOURNAL_CLEANED);
    feed->at_end = false;
    feed_drop_pack(feed);
    feed->pack = mem_alloc(sizeof *feed->pack);
    pack_begin(feed->pack, &feed->at, feed->log_limit, FEED_WINDOW_BYTES);
    bool end = true, more = false;
    if (!feed->poison && (open_sources(feed, err) < 0 || take_sources(feed, &end, &more, err) < 0))
        return -1;
    pack_finish(feed->pack);
    bool over = feed->final && end, held = over && holds_the_end(feed);
    feed->at_end = over && !held;
    int complete = feed->at_end ? feed_is_complete(feed, err) : 0;
    if (complete < 0)
        return err_wrap(err, "attempt %s", feed->name);
    feed->complete = complete > 0;
    *ret_more = more || held;
    return feed->at_end || feed->journal.used != feed->told || feed_moved(feed);
}

bool feed_moved(const struct feed *feed) {
    return memcmp(feed->pack->at.raw_pos, feed->at.raw_pos, sizeof feed->at.raw_pos) != 0;
}

void feed_drop_pack(struct feed *feed) {
    if (!feed->pack)
        return;
    pack_done(feed->pack);
    free(STEAL(feed->pack));
}

void feed_committed(struct feed *feed) {
    for (unsigned i = 0; i < feed->source_count; i++)
        source_committed(&feed->sources[i], feed->pack, i);
    if (feed->pack->at.log_bytes != feed->at.log_bytes)
        feed->moved_ms = clock_boot_ms();
    feed->at = feed->pack->at;
    feed->told = feed->journal.used;
    if (feed->at_end) {
        feed->state = FEED_GONE;
        feed->ended_here = true;
        feed->dirty = true;
    }
    feed_drop_pack(feed);
}

static int is_complete(const struct feed *feed, unsigned i, const struct pack_position *at, struct err *err) {
    return source_is_complete(&feed->sources[i], at->raw_pos[i], at->output_bytes[i], err);
}

int feed_is_complete(const struct feed *feed, struct err *err) {
    const struct pack_position *at = feed->pack ? &feed->pack->at : &feed->at;
    if (feed->poison || at->lost_bytes > 0)
        return 0;
    for (unsigned i = PACK_SERVICE; i < feed->source_count; i++) {
        int whole = source_has_end(&feed->sources[i], err);
        if (whole < 0 || (whole > 0 && (whole = is_complete(feed, i, at, err)) <= 0))
            return whole;
    }
    if (at->raw_pos[PACK_MAIN] == 0 && !journal_has(&feed->journal, JOURNAL_STARTED))
        return 1;
    return is_complete(feed, PACK_MAIN, at, err);
}

/* A directory that goes loses its name first, so that nobody meets half of one. */
static int remove_named(int attempts_fd, const char *name, struct err *err) {
    char hidden[sizeof PLACE_REMOVED + ATTEMPT_NAME_MAX];
    snprintf(hidden, sizeof hidden, PLACE_REMOVED "%s", name);
    FAULT(SCRIBE_REMOVING);
    if (renameat(attempts_fd, name, attempts_fd, hidden) < 0 && errno != ENOENT)
        return err_sys(err, "remove attempt %s", name);
    FAULT(SCRIBE_UNNAMED);
    return dir_remove_tree(attempts_fd, hidden, err);
}

int feed_remove(struct feed *feed, int attempts_fd, struct err *err) {
    AUTO_FD int lock = -1;
    struct err why = {0};
    if (!feed->ended_here && attempt_lock(attempts_fd, feed->name, &lock, &why) < 0) {
        if (why.kind == ERR_AWAY)
            return 0;
        if (why.kind != ERR_SYS || why.code != ENOENT) /* a runner may be at work behind it */
            return err_set(err, why.kind, why.code, "%s", why.text);
    }
    return remove_named(attempts_fd, feed->name, err) < 0 ? -1 : 1;
}

void feed_sweep(int attempts_fd) {
    AUTO_DIR DIR *dir = dir_open(attempts_fd);
    if (!dir)
        return;
    for (const struct dirent *e; (e = readdir(dir));)
        if (strncmp(e->d_name, PLACE_REMOVED, sizeof PLACE_REMOVED - 1) == 0)
            (void)dir_remove_tree(attempts_fd, e->d_name, NULL);
}
