/* What the runner writes is what berth-init reads: its own parser is the judge. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "proto/launch.h"
#include "runner/init/launchfile.h"
#include "runner/launch_file.h"

enum { AT_S = 1763773323 };

static struct spec_pair pairs[] = {{(char *)"A", (char *)"b"},
                                   {(char *)"EMPTY", (char *)""},
                                   {(char *)"LINES", (char *)"one\ntwo=\xff"},
                                   {(char *)"BERTH_ATTEMPT", (char *)"99"}};
static struct spec spec = {.name = (char *)"tests", .env = {pairs, 4}, .input = (char *)"{}"};
static struct attempt attempt = {.job = "01a20152-242b-77c6-95d0-8d67febd42f0", .number = 2, .spec = &spec};

static bool has(char *const *list, const char *text) {
    for (; *list; list++)
        if (strcmp(*list, text) == 0)
            return true;
    return false;
}

static bool has_name(char *const *list, const char *prefix) {
    for (; *list; list++)
        if (strncmp(*list, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

static struct launchfile build_and_read(const struct launch_plan *plan) {
    struct buf bytes = BUF(LAUNCH_BYTES_MAX);
    struct err err = {0};
    struct launchfile launch = {0};
    cr_assert_eq(launch_file_build(plan, &bytes, &err), 0, "%s", err.text);
    size_t len = bytes.len;
    const char *wrong = launchfile_parse(buf_steal(&bytes), len, &launch);
    cr_assert_null(wrong, "%s", wrong);
    return launch;
}

Test(launch_file, init_reads_what_was_meant) {
    const char *words[] = {"make", "", "a b\nc"};
    struct argv argv = {words, 3};
    const struct launch_plan plan = {.attempt = &attempt,
                                     .argv = &argv,
                                     .env = &spec.env,
                                     .has_input = true,
                                     .deadline_us = AT_S * US_PER_S};
    CLEANUP(launchfile_done) struct launchfile launch = build_and_read(&plan);
    for (size_t i = 0; i < 3; i++)
        cr_expect_str_eq(launch.argv[i], words[i]);
    cr_expect_null(launch.argv[3]);
    cr_expect(launch.has_input);
    static const char *const wanted[] = {"A=b",
                                         "EMPTY=",
                                         "LINES=one\ntwo=\xff",
                                         "CI=true",
                                         "BERTH=1",
                                         "BERTH_JOB_ID=01a20152-242b-77c6-95d0-8d67febd42f0",
                                         "BERTH_JOB_NAME=tests",
                                         "BERTH_ATTEMPT=2",
                                         "BERTH_DEADLINE=2025-11-22T01:02:03.000000Z"};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        cr_expect(has(launch.env, wanted[i]), "%s", wanted[i]);
    cr_expect_not(has(launch.env, "BERTH_ATTEMPT=99"));
}

Test(launch_file, what_is_not_there_is_left_out) {
    const char *words[] = {"true"};
    struct argv argv = {words, 1};
    struct spec bare = {0};
    attempt.spec = &bare;
    const struct launch_plan plan = {.attempt = &attempt, .argv = &argv, .env = &bare.env};
    CLEANUP(launchfile_done) struct launchfile launch = build_and_read(&plan);
    cr_expect_not(launch.has_input);
    cr_expect_not(has_name(launch.env, "BERTH_DEADLINE="));
    cr_expect(has(launch.env, "BERTH_JOB_NAME="));
}

Test(launch_file, too_large) {
    const char *words[] = {NULL};
    struct buf bytes = BUF(2 * LAUNCH_BYTES_MAX);
    struct err err = {0};
    char *huge = malloc(LAUNCH_BYTES_MAX + 1);
    memset(huge, 'x', LAUNCH_BYTES_MAX);
    huge[LAUNCH_BYTES_MAX] = '\0';
    words[0] = huge;
    struct argv argv = {words, 1};
    const struct launch_plan plan = {.attempt = &attempt, .argv = &argv, .env = &spec.env};
    cr_expect(launch_file_build(&plan, &bytes, &err) < 0 && err.kind == ERR_LIMIT);
    buf_done(&bytes);
    free(huge);
}

static const char *const service_words[] = {"serve"};
static struct argv service_argv = {(const char **)service_words, 1};
static struct spec_pairs no_env;

static struct launchfile service_read(const struct spec_ready *ready, const json_t *health) {
    const struct launch_plan plan = {
        .attempt = &attempt, .argv = &service_argv, .env = &no_env, .ready = ready, .health = health};
    return build_and_read(&plan);
}

Test(launch_file, a_service_says_when_it_is_ready) {
    char *words[] = {(char *)"pg_isready", (char *)"-q"};
    const struct spec_ready tcp = {.kind = SPEC_READY_TCP, .port = 5432};
    const struct spec_ready http = {.kind = SPEC_READY_HTTP, .port = 80, .path = (char *)"/a?b=c"};
    const struct spec_ready command = {.kind = SPEC_READY_COMMAND, .command = {words, 2}};
    const struct spec_ready log = {.kind = SPEC_READY_LOG, .log = (char *)"ready: [0-9]+"};
    CLEANUP(launchfile_done) struct launchfile a = service_read(&tcp, NULL);
    cr_expect(a.ready == LAUNCHFILE_READY_TCP && a.port == 5432);
    cr_expect(has(a.env, "BERTH_ATTEMPT=2") && has(a.env, "CI=true"));
    CLEANUP(launchfile_done) struct launchfile b = service_read(&http, NULL);
    cr_expect(b.ready == LAUNCHFILE_READY_HTTP && b.port == 80);
    cr_expect_str_eq(b.path, "/a?b=c");
    CLEANUP(launchfile_done) struct launchfile c = service_read(&command, NULL);
    cr_expect(c.ready == LAUNCHFILE_READY_COMMAND && !c.command[2]);
    cr_expect_str_eq(c.command[1], "-q");
    CLEANUP(launchfile_done) struct launchfile d = service_read(&log, NULL);
    cr_expect_eq(d.ready, LAUNCHFILE_READY_LOG);
    cr_expect_str_eq(d.expression, "ready: [0-9]+");
}

/* The command that init is to try, joined by '|'; "": none. */
static void expect_health(const char *json, enum spec_ready_kind kind, const char *expected) {
    const struct spec_ready ready = {.kind = kind};
    AUTO_JSON json_t *health = json ? json_loads(json, 0, NULL) : NULL;
    CLEANUP(launchfile_done) struct launchfile launch = service_read(&ready, health);
    char text[100] = "";
    for (char **word = launch.command; launch.ready == LAUNCHFILE_READY_COMMAND && *word; word++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? "|" : "", *word);
    cr_expect_str_eq(text, expected, "%s: %s", json, text);
}

Test(launch_file, the_image_says_when_it_is_ready) {
    expect_health(NULL, SPEC_READY_DEFAULT, "");
    expect_health("[]", SPEC_READY_DEFAULT, "");
    expect_health("[\"NONE\"]", SPEC_READY_DEFAULT, "");
    expect_health("[\"CMD\",\"a\",\"b c\"]", SPEC_READY_DEFAULT, "a|b c");
    expect_health("[\"CMD-SHELL\",\"a && b\"]", SPEC_READY_HEALTH, "/bin/sh|-c|a && b");
}

Test(launch_file, an_image_without_healthcheck_cannot_be_asked) {
    const struct spec_ready ready = {.kind = SPEC_READY_HEALTH};
    const struct launch_plan plan = {
        .attempt = &attempt, .argv = &service_argv, .env = &no_env, .ready = &ready};
    AUTO_BUF struct buf bytes = BUF(LAUNCH_BYTES_MAX);
    struct err err = {0};
    cr_expect(launch_file_build(&plan, &bytes, &err) < 0 && err.kind == ERR_INVALID);
}

Test(launch_file, binds_are_to_be_compared) {
    const struct mounts mounts = {.count = 2,
                                  .items = {{.type = CONTAINER_MOUNT_VOLUME, .target = "/cache"},
                                            {.type = CONTAINER_MOUNT_BIND, .target = "/a:b"}},
                                  .files = {{0}, {.dev = 64769, .inode = UINT64_MAX}}};
    const struct launch_plan plan = {
        .attempt = &attempt, .argv = &service_argv, .env = &no_env, .mounts = &mounts};
    CLEANUP(launchfile_done) struct launchfile launch = build_and_read(&plan);
    cr_assert_eq(launch.bind_count, 1);
    cr_expect_eq(launch.binds[0].dev, 64769);
    cr_expect_eq(launch.binds[0].inode, UINT64_MAX);
    cr_expect_str_eq(launch.binds[0].target, "/a:b");
}

Test(launch_file, says_what_is_to_be_executed) {
    static const struct {
        const char *bytes;
        size_t len;
        const char *program;
    } rows[] = {
        {LAUNCH_VERSION "\0a/bin/true\0a-x\0", sizeof LAUNCH_VERSION + 15, "/bin/true"},
        {LAUNCH_VERSION "\0a/bin/true", sizeof LAUNCH_VERSION + 5, "/bin"},
        {LAUNCH_VERSION "\0eA=b\0", sizeof LAUNCH_VERSION + 5, ""},
        {LAUNCH_VERSION "\0", sizeof LAUNCH_VERSION, ""},
        {"something else\0a/bin/true", 24, ""},
        {"", 0, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char program[16] = "untouched";
        launch_file_program(rows[i].bytes, rows[i].len, program, sizeof program);
        cr_assert_str_eq(program, rows[i].program, "row %zu", i);
    }
    char cut[4];
    launch_file_program(rows[0].bytes, rows[0].len, cut, sizeof cut);
    cr_assert_str_eq(cut, "/bi");
}
