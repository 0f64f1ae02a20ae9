/* The hub and its viewers on a log that lies in an array. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "orchestrator/gateway/opening.h"
#include "orchestrator/gateway/viewer.h"

#define JOB "01890a5d-ac96-774b-bcce-b302099a8057"

enum { CHUNKS_MAX = 64, READS_MAX = 16 };

static struct {
    struct api_chunk chunks[CHUNKS_MAX]; /* bytes borrowed */
    size_t count;
    struct api_head head;
    struct hub_read *reads[READS_MAX]; /* not answered yet */
    size_t read_count, reads_begun, heads_begun;
    bool away;
} db;

static struct hub *hub;
static unsigned wakes;

static bool ask_heads(void *arg, const struct api_log_key *keys, size_t count) {
    (void)arg, (void)keys, (void)count;
    db.heads_begun++;
    return !db.away;
}

static bool ask_read(void *arg, struct hub_read *read) {
    (void)arg;
    if (db.away)
        return false;
    db.reads_begun++;
    db.reads[db.read_count++] = read;
    return true;
}

static void answer_heads(void) {
    hub_heads_take(hub, &db.head, db.head.job ? 1 : 0);
}

/* From the chunk that holds the offset on, four at most: as few as the database gives. */
static void answer_read(struct hub_read *read) {
    struct api_chunk out[4];
    size_t n = 0, from = 0;
    while (from + 1 < db.count && db.chunks[from + 1].offset <= read->offset)
        from++;
    for (size_t i = from; i < db.count && n < 4; i++, n++) {
        out[n] = db.chunks[i];
        if (out[n].bytes)
            out[n].bytes = memcpy(mem_alloc(out[n].len), db.chunks[i].bytes, out[n].len);
        if (out[n].segments)
            out[n].segments =
                memcpy(mem_alloc(out[n].segments_len), db.chunks[i].segments, out[n].segments_len);
    }
    hub_read_done(read, true, out, n);
}

static void answer_reads(void) {
    while (db.read_count > 0)
        answer_read(db.reads[--db.read_count]);
}

static void add(const char *text) {
    db.chunks[db.count++] =
        (struct api_chunk){.offset = db.head.log_bytes, .bytes = (unsigned char *)text, .len = strlen(text)};
    db.head.log_bytes += (int64_t)strlen(text);
}

static void on_wake(void *arg) {
    (void)arg;
    wakes++;
}

static void begin(void) {
    static const struct hub_ops ops = {.heads = ask_heads, .read = ask_read};
    hub = hub_new(&ops, NULL);
    db.head = (struct api_head){.job = JOB,
                                .number = 1,
                                .attempt = 1,
                                .status = "running",
                                .attempt_id = 7,
                                .exit_code = API_NONE,
                                .status_us = 0,
                                .attempt_exit_code = API_NONE,
                                .created_on = "2026-11-22"};
}

static void end(void) {
    cr_expect_eq(hub->log_count, 0);
    cr_expect_eq(hub->member_count, 0);
    hub_free(hub);
}

static struct viewer *view(enum viewer_format format, int64_t cursor) {
    struct hub_head head;
    struct viewer *viewer = NULL;
    hub_head_copy(&db.head, &head);
    cr_assert_eq(viewer_new(hub, &head, on_wake, NULL, &viewer, NULL), 0);
    viewer->format = format;
    viewer->follow = true;
    viewer->cursor = cursor;
    return viewer;
}

/* All that comes until nothing more does, questions answered. */
static enum viewer_state drain(struct viewer *viewer, struct buf *out) {
    enum viewer_state state;
    buf_clear(out);
    do {
        answer_reads();
        state = viewer_fill(viewer, out, 1 << 20);
    } while (db.read_count > 0 || state == VIEWER_DATA);
    return state;
}

TestSuite(hub, .init = begin, .fini = end);

Test(hub, viewers_of_one_place_share_a_read) {
    AUTO_BUF struct buf out = BUF(1 << 20);
    struct viewer *a = view(VIEWER_TEXT, 0), *b = view(VIEWER_TEXT, 0);
    add("hello ");
    add("world");
    answer_heads();
    cr_expect_eq(wakes, 2);
    cr_expect_eq(viewer_fill(a, &out, 100), VIEWER_IDLE);
    cr_expect_eq(viewer_fill(b, &out, 100), VIEWER_IDLE);
    cr_expect_eq(db.reads_begun, 1);
    cr_expect_eq(drain(a, &out), VIEWER_IDLE);
    cr_expect_str_eq(buf_str(&out), "hello world");
    cr_expect_eq(drain(b, &out), VIEWER_IDLE);
    cr_expect_str_eq(buf_str(&out), "hello world");
    cr_expect_eq(db.reads_begun, 1);
    cr_expect_null(a->run, "an idle viewer holds no bytes");
    viewer_free(a);
    viewer_free(b);
}

Test(hub, hints_wake_only_what_changed) {
    struct viewer *a = view(VIEWER_TEXT, 0);
    size_t before = db.heads_begun;
    answer_heads();
    hub_hint(hub, "01890a5d-ac96-774b-bcce-000000000000");
    cr_expect_eq(db.heads_begun, before);
    hub_hint(hub, "x " JOB);
    cr_expect_eq(db.heads_begun, before + 1);
    hub_hint(hub, "*");
    cr_expect_eq(db.heads_begun, before + 1, "one question at a time");
    answer_heads();
    cr_expect_eq(db.heads_begun, before + 2, "and what came meanwhile is asked then");
    answer_heads();
    cr_expect_eq(wakes, 0);
    viewer_free(a);
}

/* Two logs are watched; the question about them is not taken, then one about all is answered. */
Test(hub, what_could_not_be_asked_is_not_missing) {
    struct viewer *a = view(VIEWER_TEXT, 0);
    answer_heads();
    db.away = true;
    hub_tick(hub);
    cr_expect_not(hub->heads_under_way);
    cr_expect(a->member.log->dirty && !a->member.log->asked, "it is still to be asked about");
    db.away = false;
    wakes = 0;
    hub_heads_take(hub, NULL, 0); /* the answer to a question that was not about it */
    cr_expect_not(a->member.log->missing);
    cr_expect_eq(wakes, 0);
    answer_heads();
    viewer_free(a);
}

/* As ?wait= does: it knows the job's id and nothing else. */
Test(hub, a_head_that_was_read_replaces_an_empty_one) {
    AUTO_BUF struct buf out = BUF(1 << 20);
    struct hub_head empty = {.job = JOB, .number = 1};
    struct hub_member waiter = {.wake = on_wake};
    cr_assert_eq(hub_watch(hub, &empty, &waiter, NULL), 0);
    struct viewer *a = view(VIEWER_NDJSON, 0);
    cr_expect_eq(wakes, 1, "the one that waits hears of it");
    drain(a, &out);
    cr_expect(strstr(buf_str(&out), "\"status\":\"running\""), "%s", buf_str(&out));
    hub_unwatch(&waiter);
    viewer_free(a);
}

Test(hub, idle_viewers_keep_no_bytes) {
    AUTO_BUF struct buf out = BUF(1 << 20);
    struct viewer *a = view(VIEWER_TEXT, 0);
    add("text");
    answer_heads();
    drain(a, &out);
    hub_tick(hub);
    cr_expect_not_null(a->member.log->runs[0], "for those who come a little later");
    hub_tick(hub);
    for (size_t i = 0; i < HUB_RUNS_MAX; i++)
        cr_expect_null(a->member.log->runs[i], "%zu", i);
    struct viewer *b = view(VIEWER_TEXT, 0);
    drain(b, &out);
    cr_expect_str_eq(buf_str(&out), "text", "it is read again");
    viewer_free(a);
    viewer_free(b);
}

Test(hub, a_failed_read_is_tried_again) {
    AUTO_BUF struct buf out = BUF(1 << 20);
    struct viewer *a = view(VIEWER_TEXT, 0);
    add("text");
    answer_heads();
    db.away = true;
    cr_expect_eq(viewer_fill(a, &out, 100), VIEWER_IDLE);
    db.away = false;
    wakes = 0;
    hub_tick(hub);
    cr_expect_eq(wakes, 1);
    cr_expect_eq(viewer_fill(a, &out, 100), VIEWER_IDLE);
    hub_read_done(db.reads[--db.read_count], false, NULL, 0);
    hub_tick(hub);
    cr_expect_eq(wakes, 2);
    cr_expect_eq(drain(a, &out), VIEWER_IDLE);
    cr_expect_str_eq(buf_str(&out), "text");
    viewer_free(a);
}

Test(hub, a_read_outlives_its_viewers) {
    AUTO_BUF struct buf out = BUF(1 << 20);
    struct viewer *a = view(VIEWER_TEXT, 0);
    add("text");
    answer_heads();
    cr_expect_eq(viewer_fill(a, &out, 100), VIEWER_IDLE);
    viewer_free(a);
    answer_reads();
}

Test(hub, holes_are_gaps) {
    AUTO_BUF struct buf out = BUF(1 << 20);
    struct viewer *a = view(VIEWER_NDJSON, 0);
    add("head");
    db.head.log_bytes += 100;
    add("tail");
    answer_heads();
    drain(a, &out);
    cr_expect(strstr(buf_str(&out), "{\"type\":\"gap\",\"offset\":4,\"bytes\":100,\"cause\":\"log_limit\"}"),
              "%s", buf_str(&out));
    cr_expect_eq(a->cursor, 108);
    db.head.log_bytes += 5; /* and one behind which nothing is stored yet */
    hub_tick(hub);
    answer_heads();
    drain(a, &out);
    cr_expect(strstr(buf_str(&out), "\"offset\":108,\"bytes\":5"), "%s", buf_str(&out));
    viewer_free(a);
}

Test(hub, a_character_is_held_back) {
    AUTO_BUF struct buf out = BUF(1 << 20);
    struct viewer *a = view(VIEWER_NDJSON, 0);
    add("a\xe2");
    answer_heads();
    drain(a, &out);
    cr_expect(strstr(buf_str(&out), "\"text\":\"a\""), "%s", buf_str(&out));
    add("\x82");
    add("\xac"
        "b");
    hub_tick(hub);
    answer_heads();
    drain(a, &out);
    cr_expect(strstr(buf_str(&out), "\"offset\":1,") && strstr(buf_str(&out), "\"text\":\"\xe2\x82\xac"
                                                                              "b\""),
              "%s", buf_str(&out));
    add("\xe2");
    db.head.attempt_status = db.head.status = "failed";
    db.head.exit_code = 1;
    hub_tick(hub);
    answer_heads();
    cr_expect_eq(drain(a, &out), VIEWER_END);
    cr_expect(strstr(buf_str(&out), "\"base64\":\"4g==\""), "%s", buf_str(&out));
    cr_expect(strstr(buf_str(&out),
                     "{\"type\":\"end\",\"offset\":6,\"status\":\"failed\",\"exit_code\":1,\"sha256\":null}"),
              "%s", buf_str(&out));
    viewer_free(a);
}

Test(hub, goes_on_with_the_next_attempt) {
    AUTO_BUF struct buf out = BUF(1 << 20);
    struct viewer *a = view(VIEWER_NDJSON, 0);
    add("one");
    db.head.status = "retrying";
    db.head.attempt_status = "failed";
    hub_tick(hub);
    answer_heads();
    cr_expect_eq(drain(a, &out), VIEWER_IDLE);
    cr_expect(strstr(buf_str(&out), "\"status\":\"retrying\""), "%s", buf_str(&out));
    db.head.attempt = 2;
    db.head.status = "running";
    hub_tick(hub);
    answer_heads();
    drain(a, &out);
    cr_expect(strstr(buf_str(&out), "{\"type\":\"attempt\",\"attempt\":2}"), "%s", buf_str(&out));
    cr_expect_eq(a->cursor, 0);
    cr_expect_eq(a->member.log->head.number, 2);
    viewer_free(a);
}

static void add_of(const char *text, const unsigned char segments[][SEGMENT_BYTES], size_t count) {
    add(text);
    db.chunks[db.count - 1].segments = (unsigned char *)segments;
    db.chunks[db.count - 1].segments_len = count * SEGMENT_BYTES;
}

Test(hub, streams_have_their_names_and_are_told_apart) {
    static const unsigned char segments[][SEGMENT_BYTES] = {
        {4, [4] = STREAM_STDOUT}, {4, [4] = STREAM_SYSTEM}, {3, [4] = STREAM_SERVICE + 1}};
    AUTO_BUF struct buf out = BUF(1 << 20);
    struct viewer *all = view(VIEWER_NDJSON, 0), *one = view(VIEWER_TEXT, 0), *none = view(VIEWER_TEXT, 0);
    snprintf(one->stream, sizeof one->stream, "service:cache");
    snprintf(none->stream, sizeof none->stream, "service:other");
    db.head.services = "db,cache";
    add_of("out\nsys\nsrv", segments, 3);
    answer_heads();
    drain(all, &out);
    cr_expect(strstr(buf_str(&out), "\"stream\":\"stdout\",\"text\":\"out\\n\""), "%s", buf_str(&out));
    cr_expect(strstr(buf_str(&out), "\"stream\":\"system\",\"text\":\"sys\\n\""), "%s", buf_str(&out));
    cr_expect(strstr(buf_str(&out), "\"offset\":8,"), "%s", buf_str(&out));
    cr_expect(strstr(buf_str(&out), "\"stream\":\"service:cache\",\"text\":\"srv\""), "%s", buf_str(&out));
    drain(one, &out);
    cr_expect_str_eq(buf_str(&out), "srv");
    cr_expect_eq(drain(none, &out), VIEWER_IDLE);
    cr_expect_str_eq(buf_str(&out), "");
    cr_expect_eq(none->cursor, 11);
    viewer_free(all);
    viewer_free(one);
    viewer_free(none);
}

Test(hub, the_tail_of_a_stream_jumps_over_the_others) {
    static const unsigned char segments[][SEGMENT_BYTES] = {{4, [4] = STREAM_STDOUT},
                                                            {4, [4] = STREAM_SERVICE},
                                                            {4, [4] = STREAM_STDOUT},
                                                            {4, [4] = STREAM_SYSTEM}};
    int64_t seen = 0;
    bool at_end = true;
    add_of("one\ndb1\ntwo\nsys\n", segments, 4);
    cr_expect_eq(opening_tail_in(&db.chunks[0], STREAM_STDOUT, 1, &seen, &at_end), 4);
    seen = 0, at_end = true;
    cr_expect_eq(opening_tail_in(&db.chunks[0], STREAM_NONE, 3, &seen, &at_end), 4);
    seen = 0, at_end = true;
    cr_expect_eq(opening_tail_in(&db.chunks[0], STREAM_SERVICE, 1, &seen, &at_end), -1);
}

Test(hub, waits_through_a_retry_and_ends_with_the_job) {
    AUTO_BUF struct buf out = BUF(1 << 20);
    db.head.status = "retrying";
    db.head.attempt_status = "failed";
    add("one");
    struct viewer *a = view(VIEWER_NDJSON, 2); /* comes back in the midst of the first attempt */
    answer_heads();
    cr_expect_eq(drain(a, &out), VIEWER_IDLE);
    cr_expect(strstr(buf_str(&out), "\"text\":\"e\"") && !strstr(buf_str(&out), "\"end\""), "%s",
              buf_str(&out));
    db.head.status = "canceled";
    hub_tick(hub);
    answer_heads();
    cr_expect_eq(drain(a, &out), VIEWER_END);
    cr_expect(
        strstr(buf_str(&out), "\"type\":\"end\",\"offset\":3,\"status\":\"canceled\",\"exit_code\":null"),
        "%s", buf_str(&out));
    viewer_free(a);
}

/* The head that it goes on with is put together from the last one, whose job has ended by now. */
Test(hub, does_not_end_before_the_next_attempt_was_read) {
    AUTO_BUF struct buf out = BUF(1 << 20);
    struct viewer *a = view(VIEWER_NDJSON, 0);
    db.head.attempt_status = "failed";
    db.head.status = "succeeded";
    db.head.attempt = 2;
    answer_heads();
    cr_expect_eq(drain(a, &out), VIEWER_IDLE);
    cr_expect(strstr(buf_str(&out), "\"type\":\"attempt\"") && !strstr(buf_str(&out), "\"end\""), "%s",
              buf_str(&out));
    db.head.number = 2;
    db.head.attempt_id = 8;
    db.head.attempt_status = "succeeded";
    db.head.exit_code = 0;
    add("two");
    answer_heads();
    cr_expect_eq(drain(a, &out), VIEWER_END);
    cr_expect(strstr(buf_str(&out), "\"text\":\"two\"") &&
                  strstr(buf_str(&out), "\"type\":\"end\",\"offset\":3"),
              "%s", buf_str(&out));
    viewer_free(a);
}

Test(hub, a_removed_job_is_lost) {
    AUTO_BUF struct buf out = BUF(1 << 20);
    struct viewer *a = view(VIEWER_TEXT, 0);
    db.head.job = NULL;
    answer_heads();
    cr_expect_eq(viewer_fill(a, &out, 100), VIEWER_LOST);
    viewer_free(a);
}

Test(viewer, broken_tail, .init = NULL) {
    static const struct {
        const char *bytes;
        size_t want;
    } cases[] = {
        {"", 0},
        {"a", 0},
        {"\xc3", 1},
        {"\xc3\xa4", 0},
        {"a\xe2\x82", 2},
        {"\xf0\x9f", 2},
        {"\xf0\x9f\x98", 3},
        {"\xf0\x9f\x98\x80", 0},
        {"\x80\x80\x80\x80", 0},
        {"\xff", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(viewer_broken_tail((const unsigned char *)cases[i].bytes, strlen(cases[i].bytes)),
                     cases[i].want, "case %zu", i);
}

/* However a text is cut into pieces, no piece splits a character when the rest is carried on. */
Test(viewer, cut_anywhere_a_text_stays_text, .init = NULL) {
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa2z";
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        size_t whole = cut - viewer_broken_tail((const unsigned char *)text, cut);
        cr_expect_leq(cut - whole, 3);
        cr_expect(utf8_valid(text, whole), "%zu", cut);
        cr_expect(utf8_valid(text + whole, strlen(text) - whole), "%zu", cut);
    }
}
