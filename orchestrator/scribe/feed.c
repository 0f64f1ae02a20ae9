#include "orchestrator/scribe/feed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "proto/spool.h"

#define FEED_REMOVED ".removed-"

enum { FEED_WINDOW_BYTES = 256 * 1024, FEED_BLOCK_BYTES = 4096 };
_Static_assert(FEED_WINDOW_BYTES > SPOOL_HEADER_BYTES + SPOOL_PAYLOAD_MAX, "a whole record fits");

int feed_open(int attempts_fd, const char *name, struct feed **ret_feed, struct err *err) {
    int dir_fd = openat(attempts_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir_fd < 0)
        return err_sys(err, "open attempt %s", name);
    struct feed *feed = mem_alloc(sizeof *feed);
    snprintf(feed->name, sizeof feed->name, "%s", name);
    feed->dir_fd = dir_fd;
    feed->spool_fd = -1;
    feed->dirty = true;
    if (attempt_load(dir_fd, &feed->attempt, err) < 0) {
        feed->state = FEED_BROKEN;
    } else {
        const struct attempt *a = feed->attempt;
        feed->key = (struct ship_key){.job = a->job, .number = a->number, .id = a->id, .token = a->token};
    }
    *ret_feed = feed;
    return 0;
}

void feed_free(struct feed *feed) {
    if (!feed)
        return;
    feed_drop_pack(feed);
    if (feed->spool_fd >= 0)
        close(feed->spool_fd);
    close(feed->dir_fd);
    attempt_free(feed->attempt);
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
    feed->log_limit = known->log_limit;
    feed->at = (struct pack_position){
        .raw_pos = known->at.raw_pos, .log_bytes = known->at.log_bytes, .lost_bytes = known->at.lost_bytes};
    if (known->at.sha_len == sizeof feed->at.sha)
        memcpy(&feed->at.sha, known->at.sha_state, sizeof feed->at.sha);
    else
        crypto_hash_sha256_init(&feed->at.sha);
}

/* The runner makes the spool some time after the directory. Opened for writing only to give space back. */
static int open_spool(struct feed *feed, struct err *err) {
    if (feed->spool_fd >= 0)
        return 0;
    AUTO_FD int fd = openat(feed->dir_fd, ATTEMPT_SPOOL, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_sys(err, "open spool of attempt %s", feed->name);
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, 0, "spool of attempt %s is no regular file", feed->name);
    feed->spool_fd = STEAL_FD(fd);
    return 0;
}

/* Reads from the position on, window by window, until nothing whole is left or the pack is full. */
static int read_spool(struct feed *feed, bool *ret_end, bool *ret_more, struct err *err) {
    static unsigned char window[FEED_WINDOW_BYTES];
    struct pack *pack = feed->pack;
    for (;;) {
        ssize_t got = pread(feed->spool_fd, window, sizeof window, pack->at.raw_pos);
        if (got < 0)
            return err_sys(err, "read spool of attempt %s", feed->name);
        bool last = (size_t)got < sizeof window;
        size_t used = pack_take(pack, window, (size_t)got, feed->final && last);
        if (pack_is_full(pack)) {
            *ret_more = true;
            return 0;
        }
        if (last && used < (size_t)got && !feed->final)
            return 0; /* the rest of the record is still to come */
        if (last) {
            *ret_end = true;
            return 0;
        }
    }
}

int feed_fill(struct feed *feed, bool *ret_more, struct err *err) {
    /* The journal first: when it is complete, the spool will not grow any more. */
    if (journal_read(feed->dir_fd, &feed->journal, err) < 0)
        return -1;
    feed->final =
        journal_has(&feed->journal, JOURNAL_VERDICT) && journal_has(&feed->journal, JOURNAL_CLEANED);
    feed->at_end = false;
    feed_drop_pack(feed);
    feed->pack = mem_alloc(sizeof *feed->pack);
    pack_begin(feed->pack, &feed->at, feed->log_limit);
    bool end = true, more = false;
    if (!feed->poison) {
        if (open_spool(feed, err) < 0)
            return -1;
        end = feed->spool_fd < 0;
        if (feed->spool_fd >= 0 && read_spool(feed, &end, &more, err) < 0)
            return -1;
    }
    pack_finish(feed->pack);
    feed->at_end = feed->final && end;
    *ret_more = more;
    return feed->at_end || feed->journal.used != feed->told || feed->pack->at.raw_pos != feed->at.raw_pos;
}

void feed_drop_pack(struct feed *feed) {
    if (!feed->pack)
        return;
    pack_done(feed->pack);
    free(STEAL(feed->pack));
}

/* Files that cannot give space back keep it until the directory goes. */
static void punch(struct feed *feed) {
    int64_t whole = feed->at.raw_pos / FEED_BLOCK_BYTES * FEED_BLOCK_BYTES;
    if (feed->spool_fd < 0 || whole - feed->punched < FEED_PUNCH_BYTES)
        return;
    (void)fallocate(feed->spool_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, feed->punched,
                    whole - feed->punched);
    feed->punched = whole;
}

void feed_committed(struct feed *feed) {
    feed->at = feed->pack->at;
    feed->told = feed->journal.used;
    if (feed->at_end) {
        feed->state = FEED_GONE;
        feed->ended_here = true;
        feed->dirty = true;
    } else {
        punch(feed);
    }
    feed_drop_pack(feed);
}

bool feed_is_complete(const struct feed *feed) {
    const struct pack_position *at = feed->pack ? &feed->pack->at : &feed->at;
    struct spool_end end;
    struct stat st;
    if (feed->poison || at->lost_bytes > 0)
        return false;
    if (at->raw_pos == 0 && !journal_has(&feed->journal, JOURNAL_STARTED))
        return true;
    return feed->spool_fd >= 0 && spool_read_end(feed->spool_fd, &end) == 1 &&
           fstat(feed->spool_fd, &st) == 0 && st.st_size >= at->raw_pos &&
           end.output_bytes == at->log_bytes - at->lost_bytes;
}

/* A directory that goes loses its name first, so that nobody meets half of one. */
static int remove_named(int attempts_fd, const char *name, struct err *err) {
    char hidden[sizeof FEED_REMOVED + ATTEMPT_NAME_MAX];
    snprintf(hidden, sizeof hidden, FEED_REMOVED "%s", name);
    if (renameat(attempts_fd, name, attempts_fd, hidden) < 0 && errno != ENOENT)
        return err_sys(err, "remove attempt %s", name);
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
        if (strncmp(e->d_name, FEED_REMOVED, sizeof FEED_REMOVED - 1) == 0)
            (void)dir_remove_tree(attempts_fd, e->d_name, NULL);
}
