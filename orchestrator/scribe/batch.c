#include "orchestrator/scribe/batch.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "proto/fault_points.h"
#include "proto/retry.h"

enum { BATCH_REFUSED_AGAIN_MS = 5000, BATCH_POISON_TEXT_MAX = 700 };
#define BATCH_RANDOM_BELOW (INT64_C(1) << 32)

static struct ship_position to_ship(const struct pack_position *at) {
    struct ship_position to = {.log_bytes = at->log_bytes,
                               .lost_bytes = at->lost_bytes,
                               .unhashed = at->unhashed,
                               .sha_len = sizeof at->sha};
    memcpy(to.raw_pos, at->raw_pos, sizeof to.raw_pos);
    memcpy(to.source_bytes, at->output_bytes, sizeof to.source_bytes);
    _Static_assert(sizeof at->sha <= sizeof to.sha_state, "the hash's state fits");
    memcpy(to.sha_state, &at->sha, sizeof at->sha);
    return to;
}

/* Cuts the row that lies across the tail's begin, so that head and tail are exact. */
static int trim_tail(struct db *db, const struct ctx *ctx, const struct feed *feed, int64_t head_end,
                     int64_t tail_begin, struct err *err) {
    struct ship_edge edge = {0};
    int r = ship_edge(db, ctx, &feed->key, head_end, tail_begin, &edge, err);
    if (r <= 0)
        return r;
    AUTO_FREE unsigned char *segments = edge.segments;
    size_t len = segments ? pack_trim_segments(segments, edge.segments_len, tail_begin - edge.log_offset) : 0;
    return ship_cut(db, ctx, &feed->key, &edge, tail_begin, segments, len, err);
}

static int apply_limit(struct db *db, const struct ctx *ctx, const struct feed *feed, struct err *err) {
    int64_t log_bytes = feed->pack->at.log_bytes, window = feed->at_end ? 0 : FEED_WINDOW_BYTES;
    int64_t head_end = pack_head_end(feed->log_limit),
            kept_from = pack_window_begin(feed->log_limit, window, log_bytes);
    if (kept_from == head_end)
        return 0;
    if (ship_slide(db, ctx, &feed->key, head_end, kept_from, err) < 0)
        return -1;
    return feed->at_end ? trim_tail(db, ctx, feed, head_end, kept_from, err) : 0;
}

/* 1: done; 0: the attempt is not where it should be. */
static int ship_bytes(struct db *db, const struct ctx *ctx, const struct feed *feed, struct err *err) {
    const struct pack *pack = feed->pack;
    int moved = 1;
    if (feed_moved(feed)) {
        struct ship_chunk chunks[PACK_CHUNKS_MAX];
        for (size_t i = 0; i < pack->count; i++)
            chunks[i] = (struct ship_chunk){.log_offset = pack->chunks[i].log_offset,
                                            .gap_bytes = pack->chunks[i].gap_bytes,
                                            .bytes = pack->chunks[i].bytes.data,
                                            .len = pack->chunks[i].bytes.len,
                                            .segments = pack->chunks[i].segments.data,
                                            .segments_len = pack->chunks[i].segments.len};
        struct ship_position to = to_ship(&pack->at);
        moved = ship_log(db, ctx, &feed->key, feed->at.raw_pos, &to, chunks, pack->count, err);
    } else if (!feed->at_end) {
        return 1;
    }
    if (moved == 1 && apply_limit(db, ctx, feed, err) < 0)
        return -1;
    return moved;
}

static int64_t attempts_max(const struct feed *feed) {
    return (int64_t)feed->attempt->spec->retry.max + 1 + feed->freed;
}

/* What people read while the job waits for its next attempt; the time is added by the database. */
static char *retry_message(const struct feed *feed, const struct verdict *v) {
    const char *reason = reason_name(v->reason);
    size_t len = strlen(v->message);
    while (len > 0 && v->message[len - 1] == '.')
        len--;
    return mem_printf("Attempt %d of %lld ended as %s (%s): %.*s; the next one begins at ",
                      feed->attempt->number, (long long)attempts_max(feed), status_name(v->status),
                      reason ? reason : "-", (int)len, v->message);
}

/* A job that has been tried again ends with a word on how often. NULL: there is nothing to add. */
static char *last_message(const struct feed *feed, const struct verdict *v) {
    if (feed->attempt->number - feed->freed < 2)
        return NULL;
    return mem_printf("%s This was attempt %d of %lld.", v->message, feed->attempt->number,
                      (long long)attempts_max(feed));
}

static int ship_the_end(struct db *db, const struct ctx *ctx, const struct feed *feed, struct err *err) {
    const struct spec *spec = feed->attempt->spec;
    const struct pack_position *at = &feed->pack->at;
    unsigned char sha256[SHA256_DIGEST_SIZE];
    struct sha256_ctx state = at->sha;
    sha256_digest(&state, sizeof sha256, sha256);
    struct verdict verdict = feed->journal.verdict;
    struct ship_end end = {.verdict = &verdict,
                           .raw_pos = at->raw_pos,
                           .finished_us = feed->journal.time_us[JOURNAL_CLEANED],
                           .log_complete = feed->complete,
                           .sha256 = at->unhashed ? NULL : sha256,
                           .queue_ms = spec->deadlines.queue_ms};
    if (feed->poison) {
        verdict.status = STATUS_ERRORED;
        verdict.reason = REASON_INTERNAL;
        end.message = feed->poison;
        end.raw_pos = NULL;
        end.sha256 = NULL;
    }
    end.retry_ms = feed->poison ? -1
                                : retry_delay_ms(spec, &verdict, feed->attempt->number - feed->freed,
                                                 (uint32_t)db_random_below(BATCH_RANDOM_BELOW));
    AUTO_FREE char *message = end.retry_ms >= 0 ? retry_message(feed, &verdict) : NULL;
    end.retry_message = message;
    AUTO_FREE char *last = message || feed->poison ? NULL : last_message(feed, &verdict);
    if (last)
        end.message = last;
    FAULT(SCRIBE_ENDING);
    return ship_end(db, ctx, &feed->key, &end, err);
}

/* How far the run deadline is from now, in the past or in the future. By the clock that nobody can set: the
 * database judges it by its own, and a host whose wall clock is wrong must not look as if its jobs were late.
 * False: there is none. */
static bool deadline_in(const struct feed *feed, int64_t *ret_ms) {
    const struct journal *journal = &feed->journal;
    int64_t run_ms = feed->attempt->spec->deadlines.run_ms;
    char boot_id[CLOCK_BOOT_ID_MAX];
    if (!journal_has(journal, JOURNAL_STARTED) || run_ms <= 0 || clock_boot_id(boot_id, NULL) < 0 ||
        strcmp(boot_id, journal->started_boot_id) != 0)
        return false;
    *ret_ms = journal->started_boot_ns / NS_PER_MS + run_ms + journal->extended_ms - clock_boot_ms();
    return true;
}

/* As ship_bytes. Rows of jobs are touched last, so that they are locked for a short time only. */
static int ship_state(struct db *db, const struct ctx *ctx, const struct feed *feed, struct err *err) {
    int64_t in_ms = 0;
    bool has_deadline = deadline_in(feed, &in_ms);
    if (!feed->poison && feed->journal.used != feed->told &&
        ship_steps(db, ctx, &feed->key, &feed->journal, has_deadline ? &in_ms : NULL, err) < 0)
        return -1;
    return feed->at_end ? ship_the_end(db, ctx, feed, err) : 1;
}

static void forget(struct feed *feed) {
    feed_drop_pack(feed);
    feed->state = FEED_NEW;
    feed->dirty = true;
}

static int in_transaction(struct db *db, const struct ctx *ctx, struct feed **feeds, bool *ret_stale,
                          size_t count, struct err *err) {
    if (db_begin(db, ctx, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        int r = ship_bytes(db, ctx, feeds[i], err);
        if (r < 0)
            return -1;
        ret_stale[i] = r == 0;
    }
    FAULT(SCRIBE_BYTES);
    for (size_t i = 0; i < count; i++) {
        int r = ret_stale[i] ? 0 : ship_state(db, ctx, feeds[i], err);
        if (r < 0)
            return -1;
        ret_stale[i] = r == 0;
    }
    FAULT(SCRIBE_COMMITTING);
    if (db_commit(db, ctx, err) < 0)
        return -1;
    FAULT(SCRIBE_COMMITTED);
    return 0;
}

static int try_all(struct db *db, const struct ctx *ctx, struct feed **feeds, size_t count, struct err *err) {
    bool stale[BATCH_FEEDS_MAX] = {false};
    if (in_transaction(db, ctx, feeds, stale, count, err) < 0) {
        db_rollback(db, ctx);
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (stale[i])
            forget(feeds[i]);
        else
            feed_committed(feeds[i]);
    }
    return 0;
}

/* Its job is stopped; when nothing of it runs any more, it ends as errored with the database's words. */
static void give_up(struct db *db, const struct ctx *ctx, struct feed *feed, const struct err *why) {
    if (feed->poison) {
        feed->not_before_ns = clock_boot_ns() + BATCH_REFUSED_AGAIN_MS * NS_PER_MS;
    } else {
        feed->poison = mem_printf("The database refused what was to be stored of this job: %.*s",
                                  BATCH_POISON_TEXT_MAX, why->text);
        (void)ship_give_up(db, ctx, &feed->key, &feed->untold);
    }
    forget(feed);
}

int batch_ship(struct db *db, const struct ctx *ctx, struct feed **feeds, size_t count, struct err *err) {
    if (try_all(db, ctx, feeds, count, err) == 0)
        return 0;
    if (!ship_is_refusal(err)) {
        for (size_t i = 0; i < count; i++)
            forget(feeds[i]);
        return -1;
    }
    if (count == 1) {
        give_up(db, ctx, feeds[0], err);
        return 0;
    }
    int first = batch_ship(db, ctx, feeds, count / 2, err);
    if (first < 0) {
        for (size_t i = count / 2; i < count; i++)
            forget(feeds[i]);
        return -1;
    }
    return batch_ship(db, ctx, feeds + count / 2, count - count / 2, err);
}

void batch_hint(struct feed *const *feeds, size_t count, struct buf *out) {
    for (size_t i = 0; i < count; i++) {
        if (buf_addf(out, "%s%s", i ? " " : "", feeds[i]->key.job) < 0) {
            buf_clear(out);
            buf_adds(out, "*");
            return;
        }
    }
}
