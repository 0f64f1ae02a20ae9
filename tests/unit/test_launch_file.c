/* What the runner writes is what berth-init reads: its own parser is the judge. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"
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

static struct launchfile build_and_read(const struct argv *argv, int64_t deadline_us) {
    struct buf bytes = BUF(LAUNCH_BYTES_MAX);
    struct err err = {0};
    struct launchfile launch = {0};
    cr_assert_eq(launch_file_build(&attempt, argv, deadline_us, &bytes, &err), 0, "%s", err.text);
    size_t len = bytes.len;
    const char *wrong = launchfile_parse(buf_steal(&bytes), len, &launch);
    cr_assert_null(wrong, "%s", wrong);
    return launch;
}

Test(launch_file, init_reads_what_was_meant) {
    const char *words[] = {"make", "", "a b\nc"};
    struct argv argv = {words, 3};
    CLEANUP(launchfile_done) struct launchfile launch = build_and_read(&argv, AT_S * US_PER_S);
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
    CLEANUP(launchfile_done) struct launchfile launch = build_and_read(&argv, 0);
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
    cr_expect(launch_file_build(&attempt, &argv, 0, &bytes, &err) < 0 && err.kind == ERR_LIMIT);
    buf_done(&bytes);
    free(huge);
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
