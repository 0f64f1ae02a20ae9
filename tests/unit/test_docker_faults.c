/* The engine client against an engine that misbehaves. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "runner/docker/container.h"
#include "runner/docker/engine.h"
#include "runner/docker/events.h"
#include "runner/docker/image.h"
#include "runner/docker/network.h"
#include "runner/docker/system.h"
#include "tests/support/fake_engine.h"

/* CALL_MS is for a call that hangs, not for one on a slow machine; SHORT_MS runs out on every machine. */
enum { CALL_MS = 200 * 1000, SHORT_MS = 50, TEST_TIMEOUT_S = 240 };

static struct fake_engine fake;
static struct engine *engine;
static struct ctx ctx;
static struct err err;

static const struct engine_pairs none;

static void open_engine(const char *api_version) {
    struct engine_settings settings = {.host = fake.host, .api_version = api_version};
    ctx = ctx_root(NULL);
    ctx_deadline_in(&ctx, CALL_MS);
    cr_assert(engine_open(&settings, &engine, &err) == 0, "%s", err.text);
}

#define FAKE(...)                                                                                            \
    do {                                                                                                     \
        static const struct fake_step script[] = {__VA_ARGS__};                                              \
        fake_engine_start(&fake, script, ARRAY_LEN(script));                                                 \
        open_engine("1.41");                                                                                 \
    } while (0)

static void tear_down(void) {
    engine_close(engine);
    if (fake.pid)
        fake_engine_stop(&fake);
}

TestSuite(docker_faults, .fini = tear_down, .timeout = TEST_TIMEOUT_S);

/* system_info() stands for every call whose answer is JSON. */
static void expect_info(enum err_kind kind, const char *words) {
    struct system_info info = {.ncpu = -1};
    cr_assert(system_info(engine, &ctx, &info, &err) < 0);
    cr_assert(err.kind == kind, "%s: %s", err_kind_name(err.kind), err.text);
    cr_assert(strstr(err.text, words), "%s", err.text);
    cr_assert(info.ncpu == -1, "what is returned stays untouched on failure");
}

static void expect_container(enum err_kind kind) {
    struct container_info info = {0};
    cr_assert(container_inspect(engine, &ctx, "x", &info, &err) < 0);
    cr_assert(err.kind == kind, "%s: %s", err_kind_name(err.kind), err.text);
}

#define GOOD_INFO "{\"ID\":\"i\",\"ServerVersion\":\"1\",\"NCPU\":2}"
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

Test(docker_faults, nobody_there) {
    snprintf(fake.host, sizeof fake.host, "unix:///tmp/docker-test-no-such-socket");
    open_engine("1.41");
    expect_info(ERR_AWAY, "unix:///tmp/docker-test-no-such-socket: No such file or directory");
    cr_assert(strstr(err.text, "is the daemon running") && strstr(err.text, "DOCKER_HOST"), "%s", err.text);
}

Test(docker_faults, garbage) {
    FAKE({.raw = "\0\xff\x01garbage\r\n\r\n", .raw_len = 14, .then = FAKE_CLOSE});
    expect_info(ERR_INVALID, "is not a Docker Engine");
}

Test(docker_faults, closed_before_the_answer) {
    FAKE({.then = FAKE_CLOSE});
    expect_info(ERR_AWAY, "closed the connection before it answered");
}

Test(docker_faults, truncated_chunks) {
    FAKE({.raw = CHUNKED "40\r\n{\"ID\":", .then = FAKE_CLOSE});
    expect_info(ERR_AWAY, "before its answer was whole");
}

Test(docker_faults, missing_last_chunk) {
    FAKE({.raw = CHUNKED "2\r\n{}\r\n", .then = FAKE_CLOSE});
    expect_info(ERR_AWAY, "before its answer was whole");
}

Test(docker_faults, malformed_chunks) {
    FAKE({.raw = CHUNKED "zz\r\n{}\r\n0\r\n\r\n", .then = FAKE_HANG});
    expect_info(ERR_INVALID, "is not a Docker Engine");
}

Test(docker_faults, truncated_body) {
    FAKE({.raw = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", .then = FAKE_CLOSE});
    expect_info(ERR_AWAY, "before its answer was whole");
}

/* curl takes these for whole answers without a body. */
Test(docker_faults, truncated_header) {
    FAKE({.raw = "HTTP/1.1 201 Created\r\nApi-Vers", .then = FAKE_CLOSE},
         {.raw = "HTTP/1.1 500 Oops\r\nApi-Version: 1.41\r\n", .then = FAKE_CLOSE});
    expect_info(ERR_AWAY, "before its answer was whole");
    expect_info(ERR_AWAY, "before its answer was whole");
}

Test(docker_faults, server_error) {
    FAKE({.status = "500 Oops", .body = "{\"message\":\"the disk is full\"}"},
         {.status = "502 Bad Gateway", .body = "<html>\nno"}, {.status = "503 Away"});
    expect_info(ERR_ENGINE, "GET /info: the Docker Engine answered 500: the disk is full");
    cr_assert_eq(err.code, 500);
    expect_info(ERR_ENGINE, "GET /info: the Docker Engine answered 502: <html>");
    expect_info(ERR_ENGINE, "answered 503: no reason given");
}

Test(docker_faults, redirection) {
    FAKE({.raw = "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"});
    expect_info(ERR_INVALID, "301");
}

Test(docker_faults, wrong_json) {
    FAKE({.status = "200 OK", .body = "{\"ID\":"}, {.status = "200 OK", .body = "7"}, {.status = "200 OK"},
         {.status = "200 OK", .body = "[]"},
         {.status = "200 OK", .body = "{\"ID\":7,\"ServerVersion\":\"1\"}"},
         {.status = "200 OK", .body = "{}{}"});
    expect_info(ERR_INVALID, "not JSON");
    expect_info(ERR_INVALID, "not JSON");
    expect_info(ERR_INVALID, "the body is empty");
    expect_info(ERR_INVALID, "ID is missing");
    expect_info(ERR_INVALID, "ID is missing");
    expect_info(ERR_INVALID, "not JSON");
}

Test(docker_faults, json_without_what_is_needed) {
    FAKE({.status = "200 OK", .body = "{\"Id\":\"x\"}"},
         {.status = "200 OK", .body = "{\"Id\":\"x\",\"State\":[]}"},
         {.status = "200 OK", .body = "{\"Id\":\"x\",\"State\":{\"Status\":7}}"},
         {.status = "201 Made", .body = "{\"Id\":\"\"}"}, {.status = "200 OK", .body = "{}"});
    for (int i = 0; i < 3; i++)
        expect_container(ERR_INVALID);
    struct container_spec spec = {.name = "n", .image = "i"};
    char id[ENGINE_ID_MAX] = "before";
    cr_assert(container_create(engine, &ctx, &spec, id, &err) < 0);
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_str_eq(id, "before");
    struct container_list list = {0};
    cr_assert(container_list(engine, &ctx, none, true, &list, &err) < 0);
    cr_assert_eq(err.kind, ERR_INVALID);
}

/* Types that are not those of the API must neither crash nor be taken for something. */
Test(docker_faults, nulls_and_odd_types) {
    FAKE(
        {.status = "200 OK",
         .body = "{\"Id\":\"x\",\"Name\":null,\"State\":{\"Status\":\"exited\",\"Running\":\"yes\","
                 "\"ExitCode\":\"7\","
                 "\"Health\":null,\"StartedAt\":\"0001-01-01T00:00:00Z\",\"FinishedAt\":\"soon\"},\"Config\":"
                 "null}"},
        {.status = "200 OK", .body = "[null,7,{\"Names\":[7,null,\"/other/alias\",\"/own\"],\"Labels\":[]}]"},
        {.status = "200 OK", .body = "{\"Volumes\":null}"});
    AUTO_CONTAINER_INFO struct container_info info = {0};
    cr_assert(container_inspect(engine, &ctx, "x", &info, &err) == 0, "%s", err.text);
    cr_assert(!info.running && info.exit_code == 0 && info.started_us == 0 && info.finished_us == 0);
    cr_assert_str_eq(info.name, "");
    cr_assert_null(container_label(info.labels, "x"));
    AUTO_CONTAINER_LIST struct container_list list = {0};
    cr_assert(container_list(engine, &ctx, none, true, &list, &err) == 0, "%s", err.text);
    cr_assert_eq(list.count, 3);
    cr_assert_str_eq(list.items[0].id, "");
    cr_assert_str_eq(list.items[2].name, "own");
    AUTO_VOLUME_LIST struct volume_list volumes = {0};
    cr_assert(volume_list(engine, &ctx, none, &volumes, &err) == 0, "%s", err.text);
    cr_assert_eq(volumes.count, 0);
}

Test(docker_faults, endless_header) {
    FAKE({.raw = "HTTP/1.1 200 OK\r\n", .flood = "X-More: and more\r\n", .then = FAKE_FLOOD});
    expect_info(ERR_LIMIT, "header is longer than 65536 bytes");
}

Test(docker_faults, endless_header_line) {
    FAKE({.raw = "HTTP/1.1 200 OK\r\nX: ", .flood = "aaaaaaaaaaaaaaaa", .then = FAKE_FLOOD});
    expect_info(ERR_LIMIT, "header is longer than");
}

Test(docker_faults, endless_informational_answers) {
    FAKE({.flood = "HTTP/1.1 102 Processing\r\n\r\n", .then = FAKE_FLOOD});
    expect_info(ERR_LIMIT, "header is longer than");
}

Test(docker_faults, endless_body) {
    FAKE({.raw = "HTTP/1.1 200 OK\r\n\r\n", .flood = "                                ", .then = FAKE_FLOOD});
    expect_info(ERR_LIMIT, "longer than 8388608 bytes");
}

Test(docker_faults, endless_error_body) {
    FAKE({.raw = "HTTP/1.1 500 Oops\r\n\r\n",
          .flood = "                                ",
          .then = FAKE_FLOOD});
    expect_info(ERR_LIMIT, "longer than 8388608 bytes");
}

Test(docker_faults, silence_ends_with_the_deadline) {
    FAKE({.then = FAKE_HANG}, {.raw = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", .then = FAKE_HANG});
    struct ctx outer = ctx;
    for (int i = 0; i < 2; i++) {
        ctx = ctx_child(&outer);
        ctx_deadline_in(&ctx, SHORT_MS);
        expect_info(ERR_DEADLINE, "GET /info");
    }
}

static void cancel_it(void *arg) {
    ctx_cancel(arg);
}

Test(docker_faults, silence_ends_with_a_cancellation) {
    FAKE({.then = FAKE_HANG}, {.status = "200 OK", .body = GOOD_INFO});
    AUTO_FD int fd = eventfd(1, EFD_CLOEXEC);
    struct ctx_watch watch = {fd, cancel_it, &ctx};
    ctx = ctx_root(&watch);
    expect_info(ERR_CANCELED, "GET /info");
    /* The half-done call's connection is gone, the engine is still good. */
    ctx = ctx_root(NULL);
    ctx_deadline_in(&ctx, CALL_MS);
    struct system_info info;
    cr_assert(system_info(engine, &ctx, &info, &err) == 0, "%s", err.text);
}

static void count_it(void *arg) {
    struct ctx_watch *watch = arg;
    watch->fd = -1; /* what a watch does whose peer has gone */
}

Test(docker_faults, a_watch_whose_peer_is_gone_does_not_spin) {
    FAKE({.then = FAKE_HANG});
    int ends[2];
    cr_assert(pipe(ends) == 0);
    close(ends[1]);
    struct ctx_watch watch = {.fd = ends[0], .on_ready = count_it, .arg = &watch};
    ctx = ctx_root(&watch);
    ctx_deadline_in(&ctx, SHORT_MS);
    expect_info(ERR_DEADLINE, "GET /info");
    cr_assert_eq(watch.fd, -1, "the end of the pipe was seen though there was nothing to read");
    close(ends[0]);
}

Test(docker_faults, connections_are_kept_alive) {
    FAKE({.status = "200 OK", .body = GOOD_INFO}, {.status = "200 OK", .body = GOOD_INFO, .reused = true},
         {.status = "404 Absent", .reused = true}, {.status = "200 OK", .body = GOOD_INFO, .reused = true});
    struct system_info info;
    cr_assert(system_info(engine, &ctx, &info, &err) == 0, "%s", err.text);
    cr_assert(system_info(engine, &ctx, &info, &err) == 0, "%s", err.text);
    cr_assert(container_remove(engine, &ctx, "x", true, true, &err) == 0, "%s", err.text);
    cr_assert(system_info(engine, &ctx, &info, &err) == 0, "%s", err.text);
}

Test(docker_faults, an_engine_that_was_restarted_between_calls) {
    FAKE({.status = "200 OK", .body = GOOD_INFO, .then = FAKE_CLOSE},
         {.status = "200 OK", .body = GOOD_INFO});
    struct system_info info;
    cr_assert(system_info(engine, &ctx, &info, &err) == 0, "%s", err.text);
    cr_assert(system_info(engine, &ctx, &info, &err) == 0, "%s", err.text);
}

Test(docker_faults, wait_without_a_code_is_no_exit) {
    FAKE({.status = "200 OK"}, {.status = "200 OK", .body = " \r\n"}, {.raw = CHUNKED, .then = FAKE_CLOSE},
         {.raw = CHUNKED "0\r\n\r\n"}, {.status = "200 OK", .body = "{\"Error\":null}"},
         {.status = "200 OK", .body = "x"},
         {.expect = "POST /v1.41/containers/a%2Fb/wait?condition=not-running HTTP/1.1\r\n",
          .status = "200 OK",
          .body = "{\"Error\":{\"Message\":\"broken\"},\"StatusCode\":125}\n"});
    static const enum err_kind kinds[] = {ERR_AWAY, ERR_AWAY, ERR_AWAY, ERR_AWAY, ERR_INVALID, ERR_INVALID};
    struct container_exit end = {.status_code = -1};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        cr_assert(container_wait(engine, &ctx, "x", &end, &err) < 0);
        cr_assert(err.kind == kinds[i], "%zu: %s: %s", i, err_kind_name(err.kind), err.text);
        cr_assert_eq(end.status_code, -1);
    }
    cr_assert(container_wait(engine, &ctx, "a/b", &end, &err) == 0, "%s", err.text);
    cr_assert_eq(end.status_code, 125);
    cr_assert_str_eq(end.error, "broken");
}

Test(docker_faults, removal_in_progress_is_a_removal) {
    FAKE({.expect = "DELETE /v1.41/containers/x?force=1&v=1 HTTP/1.1\r\n",
          .status = "409 Conflict",
          .body = "{\"message\":\"removal of container x is already in progress\"}"},
         {.status = "409 Conflict", .body = "{\"message\":\"You cannot remove a running container\"}"});
    cr_assert(container_remove(engine, &ctx, "x", true, true, &err) == 0, "%s", err.text);
    cr_assert(container_remove(engine, &ctx, "x", false, false, &err) < 0);
    cr_assert(engine_status_is(&err, 409));
}

Test(docker_faults, an_empty_name_reaches_nobody) {
    FAKE({.status = "200 OK"});
    cr_assert(container_remove(engine, &ctx, "", true, true, &err) < 0);
    cr_assert_eq(err.kind, ERR_INVALID);
}

/* Otherwise it would be asked for something else than what was meant. */
Test(docker_faults, an_odd_name_is_sent_as_it_is) {
    FAKE({.expect = "GET /v1.41/containers/../json HTTP/1.1\r\n", .status = "404 Absent"});
    struct container_info info = {0};
    cr_assert(container_inspect(engine, &ctx, "..", &info, &err) < 0);
    cr_assert(engine_status_is(&err, 404), "%s", err.text);
}

struct news {
    int lines;
    int64_t bytes;
};

static void on_news(void *arg, const struct image_progress *progress) {
    struct news *news = arg;
    news->lines++;
    news->bytes += progress->current_bytes;
}

Test(docker_faults, pull_with_progress) {
    FAKE({.expect = "POST /v1.41/images/create?fromImage=r%3A5000%2Fa%2Fb&tag=v1 HTTP/1.1\r\n",
          .raw = CHUNKED "12\r\n{\"status\":\"Waiting\r\n32\r\n\"}\r\n{\"status\":\"Down\",\"id\":\"l1\","
                         "\"progressDetail\":{\"\r\n"
                         "21\r\ncurrent\":70,\"total\":100}}\r\n\r\n{}\r\n\r\n0\r\n\r\n"});
    struct news news = {0};
    cr_assert(image_pull(engine, &ctx, "r:5000/a/b:v1", NULL, on_news, &news, &err) == 0, "%s", err.text);
    cr_assert_eq(news.lines, 3);
    cr_assert_eq(news.bytes, 70);
}

Test(docker_faults, pull_that_fails_inside_a_good_answer) {
    FAKE({.expect = "POST /v1.41/images/create?fromImage=a&tag=latest HTTP/1.1\r\n",
          .status = "200 OK",
          .body = "{\"status\":\"Pulling\"}\r\n{\"errorDetail\":{\"message\":\"no space left on "
                  "device\"},\"error\":\"x\"}\r\n"},
         {.expect = "POST /v1.41/images/create?fromImage=a&tag=sha256%3A0123456789abcdef0123456789abcdef"
                    "0123456789abcdef0123456789abcdef HTTP/1.1\r\n",
          .status = "200 OK",
          .body = "{\"error\":\"manifest unknown\"}"},
         {.status = "200 OK",
          .body = "{\"errorDetail\":{\"message\":\"unauthorized: authentication required\"}}"},
         {.status = "404 Absent",
          .body = "{\"message\":\"pull access denied for a, repository does not exist or may require 'docker "
                  "login': denied\"}"},
         {.status = "404 Absent",
          .body = "{\"message\":\"pull access denied for a, repository does not exist or may require 'docker "
                  "login': denied\"}"},
         {.status = "500 Oops", .body = "{\"message\":\"Get x: no basic auth credentials\"}"});
    static const struct {
        const char *ref, *auth;
        enum image_failure failure;
    } cases[] = {
        {"a", NULL, IMAGE_FAILED},
        {"a:t@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", NULL,
         IMAGE_NOT_FOUND},
        {"a", NULL, IMAGE_DENIED},
        {"a", NULL, IMAGE_NOT_FOUND},
        {"a", "e30=", IMAGE_DENIED},
        {"a", NULL, IMAGE_DENIED},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        cr_assert(image_pull(engine, &ctx, cases[i].ref, cases[i].auth, NULL, NULL, &err) < 0);
        cr_assert(err.kind == ERR_ENGINE, "%zu: %s", i, err.text);
        cr_assert(image_pull_failure(&err) == cases[i].failure, "%zu: %s", i, err.text);
        cr_assert(strncmp(err.text, "pulling a", 9) == 0, "%s", err.text);
    }
}

Test(docker_faults, pull_stream_that_breaks) {
    FAKE({.status = "200 OK", .body = "{\"status\":\"a\"}\r\nnonsense\r\n"},
         {.status = "200 OK", .body = "{\"status\":\"a"},
         {.raw = CHUNKED "10\r\n{\"status\":\"a\"}\r\n", .then = FAKE_CLOSE},
         {.raw = "HTTP/1.1 200 OK\r\n\r\n",
          .flood = "{\"status\":\"a long line that never ends",
          .then = FAKE_FLOOD});
    static const enum err_kind kinds[] = {ERR_INVALID, ERR_INVALID, ERR_AWAY, ERR_LIMIT};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        cr_assert(image_pull(engine, &ctx, "a", NULL, NULL, NULL, &err) < 0);
        cr_assert(err.kind == kinds[i], "%zu: %s: %s", i, err_kind_name(err.kind), err.text);
        cr_assert_eq(image_pull_failure(&err), IMAGE_FAILED);
    }
}

Test(docker_faults, credentials_with_a_line_break) {
    FAKE({.status = "200 OK"});
    cr_assert(image_pull(engine, &ctx, "a", "e30=\r\nX-Other: 1", NULL, NULL, &err) < 0);
    cr_assert_eq(err.kind, ERR_INVALID);
}

#define EVENT(n)                                                                                             \
    "{\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{\"ID\":\"" #n "\"},\"timeNano\":" #n "}\n"

static void expect_events(struct events *events, int64_t count, enum err_kind end) {
    struct event event = {0};
    for (int64_t i = 1; i <= count; i++) {
        cr_assert(events_next(events, &ctx, &event, &err) == 1, "%s", err.text);
        cr_assert_eq(event.time_ns, i);
        event_done(&event);
    }
    int there = events_next(events, &ctx, &event, &err);
    cr_assert(end ? there < 0 && err.kind == end : there == 0, "%d %s", there, err.text);
}

Test(docker_faults, events_stop_when_the_engine_does) {
    FAKE({.expect = "GET /v1.41/events?filters=%7B%22label%22%3A%5B%5D%7D HTTP/1.1\r\n",
          .raw = CHUNKED "64\r\n" EVENT(1) "\r\n",
          .then = FAKE_CLOSE},
         {.status = "200 OK", .body = EVENT(1) "\r\n" EVENT(2)},
         {.status = "200 OK", .body = EVENT(1) "nonsense\n"},
         {.expect =
              "GET /v1.41/events?filters=%7B%22label%22%3A%5B%5D%7D&since=1.500000000&until=2.000001000 "
              "HTTP/1.1\r\n",
          .status = "200 OK",
          .body = EVENT(1)},
         {.status = "400 Bad", .body = "{\"message\":\"no such filter\"}"},
         {.raw = "HTTP/1.1 200 OK\r\n\r\n" EVENT(1),
          .flood = "a long line that never ends",
          .then = FAKE_FLOOD});
    struct events_query query = {0}, window = {.since_us = 1500000, .until_us = 2000001};
    static const struct {
        bool window;
        int count;
        enum err_kind end;
    } cases[] = {{false, 1, ERR_AWAY}, {false, 2, ERR_AWAY}, {false, 1, ERR_INVALID}, {true, 1, ERR_NONE}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_EVENTS struct events *events = NULL;
        cr_assert(events_open(engine, &ctx, cases[i].window ? &window : &query, &events, &err) == 0, "%s",
                  err.text);
        expect_events(events, cases[i].count, cases[i].end);
    }
    AUTO_EVENTS struct events *refused = NULL, *endless = NULL;
    cr_assert(events_open(engine, &ctx, &query, &refused, &err) < 0 && engine_status_is(&err, 400), "%s",
              err.text);
    cr_assert(events_open(engine, &ctx, &query, &endless, &err) == 0, "%s", err.text);
    expect_events(endless, 1, ERR_LIMIT);
}

/* More than fits between two questions: the stream is held back, and nothing is lost. */
Test(docker_faults, events_wait_for_a_slow_reader) {
    FAKE({.raw = "HTTP/1.1 200 OK\r\n\r\n", .flood = EVENT(7) EVENT(8) EVENT(9), .then = FAKE_FLOOD});
    struct events_query query = {0};
    struct event event = {0};
    AUTO_EVENTS struct events *events = NULL;
    cr_assert(events_open(engine, &ctx, &query, &events, &err) == 0, "%s", err.text);
    for (int i = 0; i < 3 * 1500; i++) {
        cr_assert(events_next(events, &ctx, &event, &err) == 1, "%s", err.text);
        cr_assert_eq(event.time_ns, 7 + i % 3);
        event_done(&event);
    }
}

/* Of a container that is there nothing is asked. */
Test(docker_faults, endpoints_without_a_container_are_taken_off) {
    FAKE({.expect = "GET /v1.41/networks/n",
          .status = "200 OK",
          .body =
              "{\"Id\":\"n\",\"Containers\":{\"0a1b\":{\"Name\":\"lives\"},\"ep-7\":{\"Name\":\"gone\"}}}"},
         {.expect = "POST /v1.41/networks/n/disconnect", .status = "200 OK"},
         {.expect = "GET /v1.41/networks/n", .status = "200 OK", .body = "{\"Id\":\"n\",\"Containers\":{}}"});
    cr_expect_eq(network_drop_stale(engine, &ctx, "n", &err), 1, "%s", err.text);
    cr_expect_eq(network_drop_stale(engine, &ctx, "n", &err), 0, "%s", err.text);
}
