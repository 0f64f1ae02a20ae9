#include <criterion/criterion.h>
#include <string.h>

#include "base/cleanup.h"
#include "orchestrator/gateway/query.h"

/* "a=1&b=2" as libwebsockets hands it over: cut at "&". */
static struct query make(const char *text) {
    struct query query = {0};
    struct err err = {0};
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "&");
        cr_assert_eq(query_add(&query, p, n, &err), 0, "%s", err.text);
        p += n + (p[n] == '&');
    }
    return query;
}

static void expect_refused(int (*take)(const struct query *q, void *out, struct err *err), const char *text,
                           const char *word) {
    struct query query = make(text);
    struct err err = {0};
    char out[4096];
    cr_expect_eq(take(&query, out, &err), -1, "%s was taken", text);
    cr_expect_eq(err.kind, ERR_INVALID);
    cr_expect(strstr(err.text, word), "%s: %s", text, err.text);
    query_done(&query);
}

static int take_list(const struct query *q, void *out, struct err *err) {
    return query_list(q, out, err);
}
static int take_logs(const struct query *q, void *out, struct err *err) {
    return query_logs(q, false, out, err);
}
static int take_live(const struct query *q, void *out, struct err *err) {
    return query_logs(q, true, out, err);
}
static int take_wait(const struct query *q, void *out, struct err *err) {
    return query_wait(q, out, err);
}
static int take_none(const struct query *q, void *out, struct err *err) {
    (void)out;
    return query_none(q, err);
}

Test(query, refuses_what_it_does_not_know) {
    static const struct {
        int (*take)(const struct query *q, void *out, struct err *err);
        const char *text, *word;
    } cases[] = {
        {take_list, "nonsense=1", "nonsense"},
        {take_list, "limit=0", "from 1 to 200"},
        {take_list, "limit=201", "201"},
        {take_list, "limit=+1", "whole number"},
        {take_list, "limit=1&limit=1", "twice"},
        {take_list, "status=queued,happy", "happy"},
        {take_list, "status=", "status"},
        {take_list, "label==b", "name=value"},
        {take_list, "label=a", "name=value"},
        {take_list, "cursor=!!", "cursor"},
        {take_logs, "offset=-1", "offset"},
        {take_logs, "offset=99999999999999999999", "offset"},
        {take_logs, "tail=1&offset=0", "exclude"},
        {take_logs, "stream=both", "stdout"},
        {take_logs, "stream=", "service:NAME"},
        {take_logs, "stream=service:", "service:NAME"},
        {take_logs, "stream=service:-x", "none of"},
        {take_logs, "stream=service:A", "none of"},
        {take_logs, "stream=service:abcdefghijklmnopqrstuvwxy", "none of"},
        {take_logs, "attempt=0", "attempt"},
        {take_logs, "follow=maybe", "follow"},
        {take_live, "follow=true", "follow"},
        {take_live, "limit=1", "limit"},
        {take_wait, "wait=forever", "wait"},
        {take_wait, "wait=10h", "300s"},
        {take_none, "a", "known: none"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_refused(cases[i].take, cases[i].text, cases[i].word);
}

Test(query, list) {
    struct query query = make("status=queued,failed&label=a=b&label=c=&name=n&limit=200");
    struct list_query list;
    struct err err = {0};
    cr_assert_eq(query_list(&query, &list, &err), 0, "%s", err.text);
    cr_expect_str_eq(list.statuses, "queued,failed");
    cr_expect_eq(list.label_count, 2);
    cr_expect_str_eq(list.labels[0], "a=b");
    cr_expect_str_eq(list.labels[1], "c=");
    cr_expect_str_eq(list.name, "n");
    cr_expect_eq(list.limit, 200);
    query_done(&query);
    struct query none = {0};
    cr_assert_eq(query_list(&none, &list, NULL), 0);
    cr_expect_eq(list.limit, QUERY_LIMIT_DEFAULT);
    cr_expect_str_eq(list.cursor_id, "");
}

Test(query, logs) {
    struct query query = make("offset=5&limit=7&stream=stderr&attempt=2&follow");
    struct logs_query logs;
    cr_assert_eq(query_logs(&query, false, &logs, NULL), 0);
    cr_expect(logs.offset == 5 && logs.limit == 7 && logs.attempt == 2 && logs.tail == -1 && logs.follow);
    cr_expect_str_eq(logs.stream, "stderr");
    cr_expect_not(query_stays(&logs), "attempt and offset are a position");
    query_done(&query);
}

Test(query, has_bounds) {
    struct query query = {0};
    struct err err = {0};
    char text[QUERY_ARG_MAX + 1];
    memset(text, 'a', sizeof text);
    cr_expect_eq(query_add(&query, text, sizeof text, &err), -1);
    cr_expect_eq(err.kind, ERR_LIMIT);
    cr_expect_eq(query_add(&query, "a\xff", 2, &err), -1, "not UTF-8");
    cr_expect_eq(query_add(&query, "a\0b", 3, &err), -1, "a NUL");
    for (int i = 0; i < QUERY_ARGS_MAX; i++)
        cr_assert_eq(query_add(&query, "a=b", 3, &err), 0);
    cr_expect_eq(query_add(&query, "a=b", 3, &err), -1);
    query_done(&query);
}

Test(query, cursor_comes_back) {
    static const char id[] = "01890a5d-ac96-774b-bcce-b302099a8057";
    char cursor[QUERY_CURSOR_MAX], got[ID_TEXT_MAX];
    int64_t us = 0;
    query_cursor_make(1700000000123456, id, cursor);
    cr_expect_eq(strspn(cursor, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"),
                 strlen(cursor));
    cr_assert_eq(query_cursor_read(cursor, &us, got, NULL), 0);
    cr_expect_eq(us, 1700000000123456);
    cr_expect_str_eq(got, id);
    cursor[3]++;
    cr_expect(query_cursor_read(cursor, &us, got, NULL) < 0 || us != 1700000000123456);
}

Test(query, range) {
    static const struct {
        const char *header;
        enum query_range want;
        int64_t first, last;
    } cases[] = {
        {"bytes=0-0", QUERY_RANGE_OK, 0, 0},
        {"bytes=5-", QUERY_RANGE_OK, 5, 9},
        {"Bytes=5-99", QUERY_RANGE_OK, 5, 9},
        {"bytes=-3", QUERY_RANGE_OK, 7, 9},
        {"bytes=-99", QUERY_RANGE_OK, 0, 9},
        {"bytes=10-", QUERY_RANGE_UNSATISFIABLE, -1, -1},
        {"bytes=-0", QUERY_RANGE_UNSATISFIABLE, -1, -1},
        {"bytes=5-4", QUERY_RANGE_NONE, -1, -1},
        {"bytes=0-1,4-5", QUERY_RANGE_NONE, -1, -1},
        {"bytes=", QUERY_RANGE_NONE, -1, -1},
        {"bytes=a-b", QUERY_RANGE_NONE, -1, -1},
        {"bytes=99999999999999999999-", QUERY_RANGE_NONE, -1, -1},
        {"lines=0-1", QUERY_RANGE_NONE, -1, -1},
        {"", QUERY_RANGE_NONE, -1, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t first = -1, last = -1;
        cr_expect_eq(query_range(cases[i].header, 10, &first, &last), cases[i].want, "%s", cases[i].header);
        cr_expect(first == cases[i].first && last == cases[i].last, "%s", cases[i].header);
    }
    int64_t first, last;
    cr_expect_eq(query_range("bytes=-5", 0, &first, &last), QUERY_RANGE_UNSATISFIABLE);
}

Test(query, accept) {
    static const struct {
        const char *header;
        enum query_format want;
    } cases[] = {
        {"", QUERY_FORMAT_TEXT},
        {"*/*", QUERY_FORMAT_TEXT},
        {"application/x-ndjson", QUERY_FORMAT_NDJSON},
        {"Application/X-NDJSON; charset=utf-8", QUERY_FORMAT_NDJSON},
        {"text/event-stream, */*;q=0.1", QUERY_FORMAT_SSE},
        {"text/plain;q=0.2, application/x-ndjson;q=0.9", QUERY_FORMAT_NDJSON},
        {"application/x-ndjson;q=0, text/plain", QUERY_FORMAT_TEXT},
        {"text/html", QUERY_FORMAT_TEXT},
        {",,;q=,", QUERY_FORMAT_TEXT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        cr_expect_eq(query_accept(cases[i].header), cases[i].want, "%s", cases[i].header);
}

Test(query, small_words) {
    int64_t attempt = 0, offset = 0;
    cr_expect(query_event_id("2:4096", &attempt, &offset) && attempt == 2 && offset == 4096);
    static const char *const bad[] = {"", "2", "2:", ":1", "0:1", "2:1x", "-1:2", "2:-1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_expect(!query_event_id(bad[i], &attempt, &offset), "%s", bad[i]);
    cr_expect(query_request_id_ok("abc-1_2.3:4"));
    cr_expect(!query_request_id_ok(""));
    cr_expect(!query_request_id_ok("a\r\nSet-Cookie: b"));
}

Test(query, takes_every_stream_by_its_name) {
    static const char *const names[] = {"stdout", "stderr", "system", "service:db",
                                        "service:abcdefghijklmnopqrstuvwx"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char text[64];
        struct logs_query logs;
        struct err err = {0};
        snprintf(text, sizeof text, "stream=%s&attempt=1", names[i]);
        struct query query = make(text);
        cr_assert_eq(query_logs(&query, true, &logs, &err), 0, "%s: %s", names[i], err.text);
        cr_expect_str_eq(logs.stream, names[i]);
        cr_expect(query_stays(&logs), "an attempt alone is this one");
        query_done(&query);
    }
}

Test(streams, are_found_by_name_and_named_by_number) {
    char out[STREAMS_TEXT_MAX], name[STREAM_NAME_MAX];
    cr_expect_eq(streams_find("db,cache", STREAMS_ALL), STREAM_NONE);
    cr_expect_eq(streams_find("db,cache", "stderr"), STREAM_STDERR);
    cr_expect_eq(streams_find("db,cache", "service:cache"), STREAM_SERVICE + 1);
    cr_expect_eq(streams_find("db,cache", "service:d"), STREAMS_NO_SUCH);
    cr_expect_eq(streams_find("", "service:db"), STREAMS_NO_SUCH);
    cr_expect_str_eq(streams_name("db,cache", STREAM_SERVICE, name), "service:db");
    cr_expect_str_eq(streams_name("db,cache", STREAM_SYSTEM, name), "system");
    cr_expect_str_eq(streams_name("db", 200, name), "service:?");
    cr_expect_str_eq(streams_list("", out), "stdout, stderr and system");
    cr_expect_str_eq(streams_list("db,cache", out), "stdout, stderr, system, service:db and service:cache");
}
