#include "orchestrator/scribe/scribe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "orchestrator/db/migrate.h"
#include "orchestrator/scribe/batch.h"
#include "proto/child.h"
#include "proto/control.h"
#include "proto/fault_points.h"

enum {
    SCRIBE_FEEDS_MAX = 2048, /* more directories wait until others are gone */
    SCRIBE_TICK_MS = 1000,   /* a look at everything, for notifications that were lost */
    SCRIBE_BACKOFF_MIN_MS = 100,
    SCRIBE_BACKOFF_MAX_MS = 5000,
    SCRIBE_DIR_MODE = 0700,
};

struct scribe {
    sd_event *loop;
    sd_event_source *work, *later;
    char *attempts_path;
    int attempts_fd;
    struct db *db;
    char cluster[ATTEMPT_ID_MAX]; /* of the database; "": not known yet */
    bool checked;                 /* this connection leads to the database of that cluster */
    struct ctx ctx;
    struct ctx_watch watch;
    struct feed *feeds[SCRIBE_FEEDS_MAX];
    size_t count, next, next_behind; /* next, next_behind: where the next batch begins to look */
    int64_t backoff_ms;              /* 0: the database answers */
};

static void wake(struct scribe *s) {
    if (!s->backoff_ms)
        sd_event_source_set_enabled(s->work, SD_EVENT_ONESHOT);
}

/* --- the parent --- */

static void on_parent(void *arg) {
    struct scribe *s = arg;
    struct control message = {0};
    struct err err = {0};
    int r = control_recv(CHILD_FD, &message, &err);
    if (r == 0)
        ctx_cancel(&s->ctx);
    else if (r < 0 && err.code != EAGAIN)
        log_warn("message of the parent not understood", LERR(&err));
    else if (r > 0)
        control_answer_alive(CHILD_FD, &message);
    control_done(&message);
    if (ctx_state(&s->ctx) != CTX_LIVE)
        sd_event_exit(s->loop, CHILD_EXIT_DONE);
}

static int on_parent_io(sd_event_source *source, int fd, uint32_t revents, void *arg) {
    (void)source;
    (void)fd;
    (void)revents;
    on_parent(arg);
    return 0;
}

/* --- the directories --- */

static int on_feed(sd_event_source *source, const struct inotify_event *event, void *arg) {
    struct feed *feed = arg;
    (void)source;
    (void)event;
    feed->dirty = true;
    wake(feed->owner);
    return 0;
}

static void add_feed(struct scribe *s, const char *name) {
    struct err err = {0};
    struct feed *feed = NULL;
    if (feed_open(s->attempts_fd, name, &feed, &err) < 0) {
        log_warn("attempt cannot be opened", LS("attempt", name), LERR(&err));
        return;
    }
    if (feed->state == FEED_BROKEN)
        log_error("attempt cannot be read and is left alone", LS("attempt", name), LERR(&err));
    AUTO_FREE char *path = mem_printf("%s/%s", s->attempts_path, name);
    sd_event_source *source = NULL;
    feed->owner = s;
    if (sd_event_add_inotify(s->loop, &source, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO, on_feed, feed) < 0)
        log_warn("attempt cannot be watched and is looked at every second", LS("attempt", name));
    feed->source = source;
    s->feeds[s->count++] = feed;
}

static bool is_known(const struct scribe *s, const char *name) {
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->feeds[i]->name, name) == 0)
            return true;
    return false;
}

static void scan(struct scribe *s) {
    AUTO_DIR DIR *dir = dir_open(s->attempts_fd);
    if (!dir) {
        log_error("attempts cannot be listed", LS("dir", s->attempts_path), LI("errno", errno));
        return;
    }
    char job[ATTEMPT_ID_MAX];
    int number;
    for (const struct dirent *e; s->count < SCRIBE_FEEDS_MAX && (e = readdir(dir));)
        if (attempt_parse_dir_name(e->d_name, job, &number) == 0 && !is_known(s, e->d_name))
            add_feed(s, e->d_name);
    wake(s);
}

static int on_attempts(sd_event_source *source, const struct inotify_event *event, void *arg) {
    (void)source;
    (void)event;
    scan(arg);
    return 0;
}

static void drop_feed(struct scribe *s, size_t i) {
    sd_event_source_disable_unref(s->feeds[i]->source);
    feed_free(s->feeds[i]);
    s->feeds[i] = s->feeds[--s->count];
    s->feeds[s->count] = NULL;
}

static void remove_gone(struct scribe *s) {
    for (size_t i = s->count; i-- > 0;) {
        struct feed *feed = s->feeds[i];
        if (feed->state != FEED_GONE || !feed->dirty)
            continue;
        struct err err = {0};
        feed->dirty = false;
        int r = feed_remove(feed, s->attempts_fd, &err);
        FAULT_IF(r > 0, SCRIBE_REMOVED);
        if (r < 0)
            log_error("attempt cannot be removed", LS("attempt", feed->name), LERR(&err));
        else if (r > 0)
            drop_feed(s, i);
        ctx_pump(&s->ctx); /* thousands may go at once, and the watchdog asks all the same */
    }
}

static int on_tick(sd_event_source *source, uint64_t usec, void *arg) {
    struct scribe *s = arg;
    (void)usec;
    for (size_t i = s->count; i-- > 0;) {
        struct stat st;
        if (fstat(s->feeds[i]->dir_fd, &st) == 0 && st.st_nlink == 0)
            drop_feed(s, i);
        else
            s->feeds[i]->dirty = true;
    }
    scan(s);
    sd_event_source_set_time_relative(source, SCRIBE_TICK_MS * US_PER_MS);
    sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

/* --- the work --- */

static void wake_in(struct scribe *s, int64_t ms) {
    sd_event_source_set_time_relative(s->later, (uint64_t)(ms * US_PER_MS));
    sd_event_source_set_enabled(s->later, SD_EVENT_ONESHOT);
}

static void back_off(struct scribe *s, const struct err *err) {
    if (ctx_state(&s->ctx) != CTX_LIVE)
        return;
    if (!s->backoff_ms)
        log_warn("database cannot be written to; jobs go on into their spools", LERR(err));
    s->backoff_ms = s->backoff_ms ? 2 * s->backoff_ms : SCRIBE_BACKOFF_MIN_MS;
    if (s->backoff_ms > SCRIBE_BACKOFF_MAX_MS)
        s->backoff_ms = SCRIBE_BACKOFF_MAX_MS;
    wake_in(s, s->backoff_ms / 2 + db_random_below(s->backoff_ms / 2 + 1));
}

static int on_later(sd_event_source *source, uint64_t usec, void *arg) {
    struct scribe *s = arg;
    (void)source;
    (void)usec;
    sd_event_source_set_enabled(s->work, SD_EVENT_ONESHOT);
    return 0;
}

/* A new connection may lead to another database than the one whose attempts lie here: one that was made anew
 * knows none of them, and what it does not know would be removed. */
static int connect_to_ours(struct scribe *s, struct err *err) {
    char there[ATTEMPT_ID_MAX] = "";
    int made = db_connect(s->db, &s->ctx, err);
    if (made < 0)
        return -1;
    s->checked = s->checked && made == 0;
    if (s->checked)
        return 0;
    if (migrate_cluster_id(s->db, &s->ctx, there, err) < 0)
        return -1;
    if (*s->cluster && strcmp(s->cluster, there) != 0)
        return err_set(err, ERR_INVALID, 0,
                       "the database is of cluster %s, not %s as at the start; nothing is stored in it",
                       there, s->cluster);
    memcpy(s->cluster, there, sizeof there);
    s->checked = true;
    return 0;
}

static bool is_of_our_cluster(struct scribe *s, struct feed *feed) {
    if (strcmp(feed->attempt->cluster, s->cluster) == 0)
        return true;
    log_error("attempt is of another database and is left alone", LS("attempt", feed->name),
              LS("its_cluster", feed->attempt->cluster), LS("cluster", s->cluster));
    feed->state = FEED_BROKEN;
    return false;
}

/* What is wrong with one row is no reason to hold up the others. */
static bool is_bad_row(const struct err *err) {
    return err->kind == ERR_INVALID || ship_is_refusal(err);
}

static int load_new(struct scribe *s, struct err *err) {
    for (size_t i = 0; i < s->count; i++) {
        struct feed *feed = s->feeds[i];
        struct ship_attempt known;
        if (feed->state != FEED_NEW || !is_of_our_cluster(s, feed))
            continue;
        if (ship_load(s->db, &s->ctx, &feed->key, &known, err) < 0) {
            if (!is_bad_row(err))
                return -1;
            log_error("attempt's row cannot be read, its directory is left alone", LS("attempt", feed->name),
                      LERR(err));
            feed->state = FEED_BROKEN;
            continue;
        }
        feed_load(feed, &known);
        FAULT(SCRIBE_LOADED);
        if (feed->fenced)
            log_warn("attempt belongs to others now; its directory goes when nobody works on it",
                     LS("attempt", feed->name), LI("token", feed->key.token));
    }
    return 0;
}

/* Looks at the file too, since its notification may still be waiting in the loop: what has come in while a
 * batch was in flight goes into the next one, all of it. */
static bool may_have_news(const struct feed *feed) {
    return feed->dirty || feed_unread(feed) > 0;
}

struct gathering {
    struct feed **batch;
    size_t n;
    int64_t bytes, until_ms;
};

/* One feed's share. What is only skipped costs time, not room. */
static void gather_one(struct feed *feed, struct gathering *g) {
    struct err err = {0};
    bool more = false;
    int r = feed_fill(feed, &more, &err);
    feed->dirty = more;
    if (r < 0)
        log_error("attempt cannot be read, trying again", LS("attempt", feed->name), LERR(&err));
    if (r <= 0) {
        feed_drop_pack(feed);
        return;
    }
    for (size_t i = 0; i < feed->pack->count; i++)
        g->bytes += (int64_t)feed->pack->chunks[i].bytes.len;
    g->batch[g->n++] = feed;
}

/* Fills the feeds that have something new, each in its turn, up to the batch's bounds. First those with
 * little to read: a line is not to wait for somebody else's flood; then as many of the others as there is
 * time for, one at least. */
static size_t gather(struct scribe *s, struct feed **batch) {
    int64_t now = clock_boot_ns();
    struct gathering g = {.batch = batch, .until_ms = clock_boot_ms() + BATCH_FILL_MS};
    for (int behind = 0; behind < 2; behind++) {
        size_t begin = behind ? s->next_behind : s->next;
        for (size_t i = 0; i < s->count && g.n < BATCH_FEEDS_MAX && g.bytes < BATCH_BYTES_MAX; i++) {
            size_t at = (begin + i) % s->count;
            struct feed *feed = s->feeds[at];
            if (feed->state != FEED_LIVE || feed->pack || feed->not_before_ns > now || !may_have_news(feed) ||
                (feed_unread(feed) > FEED_BEHIND_BYTES) != behind)
                continue;
            gather_one(feed, &g);
            *(behind ? &s->next_behind : &s->next) = at + 1;
            if (behind && clock_boot_ms() >= g.until_ms)
                break;
        }
    }
    return g.n;
}

static void tell_given_up(struct feed *const *batch, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (batch[i]->poison && batch[i]->state == FEED_NEW)
            log_error("job given up", LS("job", batch[i]->key.job), LS("error", batch[i]->poison));
        if (batch[i]->untold.kind)
            log_error("job given up but not canceled, it runs until it ends by itself",
                      LS("job", batch[i]->key.job), LERR(&batch[i]->untold));
        batch[i]->untold = (struct err){0};
    }
}

static int ship_once(struct scribe *s, struct err *err) {
    struct feed *batch[BATCH_FEEDS_MAX];
    if (connect_to_ours(s, err) < 0 || load_new(s, err) < 0)
        return -1;
    size_t n = gather(s, batch);
    if (n) {
        /* Before the commit: a feed's job is not known any more when its directory has gone. */
        AUTO_BUF struct buf hint = BUF(SHIP_NOTIFY_BYTES_MAX);
        batch_hint(batch, n, &hint);
        FAULT(SCRIBE_GATHERED);
        if (batch_ship(s->db, &s->ctx, batch, n, err) < 0)
            return -1;
        FAULT(SCRIBE_SHIPPED);
        tell_given_up(batch, n);
        if (ship_notify(s->db, &s->ctx, buf_str(&hint), err) < 0)
            log_debug("hint not sent", LERR(err));
        FAULT(SCRIBE_HINTED);
    }
    remove_gone(s);
    return 0;
}

/* CLOCK_BOOTTIME; INT64_MAX: there is none. */
static int64_t next_work_ns(const struct scribe *s) {
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < s->count; i++) {
        const struct feed *feed = s->feeds[i];
        if (feed->state == FEED_NEW)
            return 0;
        if (feed->state == FEED_LIVE && feed->dirty && feed->not_before_ns < next)
            next = feed->not_before_ns;
    }
    return next;
}

static int on_work(sd_event_source *source, void *arg) {
    struct scribe *s = arg;
    struct err err = {0};
    (void)source;
    if (ship_once(s, &err) < 0) {
        back_off(s, &err);
        return 0;
    }
    if (s->backoff_ms) {
        log_info("database can be written to again");
        s->backoff_ms = 0;
    }
    int64_t next = next_work_ns(s), now = clock_boot_ns();
    if (next <= now)
        wake(s);
    else if (next != INT64_MAX)
        wake_in(s, (next - now) / NS_PER_MS + 1);
    return 0;
}

/* --- life --- */

static int open_attempts(struct scribe *s, const struct control *config, struct err *err) {
    const char *state_dir = json_get_string(config->settings, "state_dir");
    const char *url = json_get_string(config->settings, "database_url");
    if (!state_dir || !url)
        return err_set(err, ERR_USAGE, 0, "the parent's settings lack state_dir or database_url");
    s->attempts_path = mem_printf("%s/" ATTEMPT_DIR, state_dir);
    if (dir_make(s->attempts_path, SCRIBE_DIR_MODE, err) < 0)
        return -1;
    s->attempts_fd = open(s->attempts_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->attempts_fd < 0)
        return err_sys(err, "open %s", s->attempts_path);
    AUTO_FREE char *application = mem_printf("berth:%s:scribe", config->instance ? config->instance : "");
    s->db = db_new(url, application);
    snprintf(s->cluster, sizeof s->cluster, "%s", config->cluster ? config->cluster : "");
    return 0;
}

static int add_sources(struct scribe *s) {
    sd_event_source *tick = NULL;
    int r = sd_event_default(&s->loop);
    if (r >= 0)
        r = sd_event_add_io(s->loop, NULL, CHILD_FD, EPOLLIN, on_parent_io, s);
    if (r >= 0)
        r = sd_event_add_defer(s->loop, &s->work, on_work, s);
    if (r >= 0)
        r = sd_event_add_time_relative(s->loop, &s->later, CLOCK_BOOTTIME, 0, 1000, on_later, s);
    if (r >= 0)
        r = sd_event_source_set_enabled(s->later, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_time_relative(s->loop, &tick, CLOCK_BOOTTIME, 0, 1000, on_tick, s);
    if (r >= 0)
        r = sd_event_source_set_floating(tick, true);
    sd_event_source_unref(tick);
    if (r >= 0)
        r = sd_event_add_inotify(s->loop, NULL, s->attempts_path, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR,
                                 on_attempts, s);
    return r;
}

static int run(struct scribe *s) {
    struct err err = {0};
    struct control config = {0};
    if (control_recv_config(CHILD_FD, &config, &err) < 0) {
        log_error("no settings from the parent", LERR(&err));
        return CHILD_EXIT_BUG;
    }
    log_set_level_word(json_get_string(config.settings, "log_level"));
    int opened = open_attempts(s, &config, &err);
    control_done(&config);
    if (opened < 0) {
        log_error("scribe cannot begin", LERR(&err));
        return err.kind == ERR_USAGE ? CHILD_EXIT_NEVER : CHILD_EXIT_AGAIN;
    }
    feed_sweep(s->attempts_fd);
    int r = add_sources(s);
    if (r < 0) {
        log_error("event loop", LI("errno", -r));
        return CHILD_EXIT_BUG;
    }
    if (control_send(CHILD_FD, &(struct control){.type = CONTROL_READY}, &err) < 0)
        return CHILD_EXIT_DONE;
    FAULT(SCRIBE_STARTED);
    r = sd_event_loop(s->loop);
    return r < 0 ? CHILD_EXIT_BUG : r;
}

int scribe_main(void) {
    log_init("scribe", NULL);
    struct scribe *s = mem_alloc(sizeof *s);
    s->attempts_fd = -1;
    s->watch = (struct ctx_watch){.fd = CHILD_FD, .on_ready = on_parent, .arg = s};
    s->ctx = ctx_root(&s->watch);
    int status = run(s);
    while (s->count)
        drop_feed(s, s->count - 1);
    sd_event_source_unref(s->work);
    sd_event_source_unref(s->later);
    sd_event_unref(s->loop);
    db_free(s->db);
    if (s->attempts_fd >= 0)
        close(s->attempts_fd);
    free(s->attempts_path);
    free(s);
    return status;
}
