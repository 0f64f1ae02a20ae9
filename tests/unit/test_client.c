/* The client's pure parts: how words become options, how an end becomes an exit status. */
#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "client/command.h"

static char seen[256];

static int note(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    (void)arg;
    if (value && strcmp(value, "bad") == 0)
        return err_set(err, ERR_USAGE, 0, "'%s' is bad", value);
    size_t n = strlen(seen);
    snprintf(seen + n, sizeof seen - n, "%s=%s;", self->name + 2, value ? value : "yes");
    return 0;
}

static const struct option_spec table[] = {
    {"--memory", 'm', true, note, "BYTES most", NULL},
    {"--detach", 'd', false, note, "go", NULL},
    {"--quiet", 'q', false, note, "hush", NULL},
};

static int parse(struct err *err, char **argv) {
    int argc = 0;
    while (argv[argc])
        argc++;
    seen[0] = '\0';
    return options_parse(table, ARRAY_LEN(table), NULL, argc, argv, err);
}
#define PARSE(err, ...) parse(err, (char *[]){"berth", __VA_ARGS__, NULL})

Test(options, every_form) {
    static const char *const all = "memory=64m;detach=yes;";
    cr_assert_eq(PARSE(NULL, "--memory", "64m", "--detach", "IMAGE", "-m", "x"), 4);
    cr_assert_str_eq(seen, all);
    cr_assert_eq(PARSE(NULL, "--memory=64m", "-d", "IMAGE"), 3);
    cr_assert_str_eq(seen, all);
    cr_assert_eq(PARSE(NULL, "-m", "64m", "-d"), 4);
    cr_assert_str_eq(seen, all);
    cr_assert_eq(PARSE(NULL, "-m64m", "-dq"), 3);
    cr_assert_str_eq(seen, "memory=64m;detach=yes;quiet=yes;");
    cr_assert_eq(PARSE(NULL, "-dm64m"), 2);
    cr_assert_str_eq(seen, "detach=yes;memory=64m;");
}

Test(options, what_belongs_to_the_command_is_left_alone) {
    cr_assert_eq(PARSE(NULL, "IMAGE", "--memory"), 1);
    cr_assert_eq(PARSE(NULL, "-d", "--", "-weird"), 3);
    cr_assert_eq(PARSE(NULL, "-"), 1, "a lone dash is a word");
    cr_assert_eq(PARSE(NULL, "-d"), 2);
}

Test(options, wrong_ones_are_named) {
    struct err err = {0};
    cr_assert_eq(PARSE(&err, "--memroy", "1"), -1);
    cr_assert(strstr(err.text, "--memroy"));
    cr_assert_eq(PARSE(&err, "-dx"), -1);
    cr_assert(strstr(err.text, "-x"));
    cr_assert_eq(PARSE(&err, "--memory"), -1);
    cr_assert(strstr(err.text, "--memory wants a value"));
    cr_assert_eq(PARSE(&err, "--detach=no"), -1);
    cr_assert(strstr(err.text, "takes no value"));
    cr_assert_eq(PARSE(&err, "-m", "bad"), -1);
    cr_assert(strstr(err.text, "--memory: 'bad' is bad"));
}

Test(options, a_flag_and_a_text_land_where_the_table_says) {
    struct {
        bool a, b;
        const char *text;
    } got = {0};
    const struct option_spec places[] = {
        {"--a", 'a', false, option_take_flag, "", .offset = offsetof(typeof(got), a)},
        {"--b", 'b', false, option_take_flag, "", .offset = offsetof(typeof(got), b)},
        {"--text", 't', true, option_take_text, "T", .offset = offsetof(typeof(got), text)},
    };
    cr_assert_eq(
        options_parse(places, ARRAY_LEN(places), &got, 3, (char *[]){"berth", "-bt", "words", NULL}, NULL),
        3);
    cr_assert(got.b && !got.a);
    cr_assert_str_eq(got.text, "words");
}

Test(job, exit_status_tells_the_end) {
    static const struct {
        const char *job;
        int status;
    } rows[] = {
        {"{\"status\": \"succeeded\", \"exit_code\": 0}", 0},
        {"{\"status\": \"failed\", \"exit_code\": 7}", 7},
        {"{\"status\": \"failed\", \"exit_code\": 137}", 137},
        {"{\"status\": \"failed\", \"exit_code\": null, \"signal\": 9}", 137},
        {"{\"status\": \"failed\", \"exit_code\": null, \"signal\": 15}", 143},
        {"{\"status\": \"failed\"}", 125},
        {"{\"status\": \"timed_out\", \"exit_code\": 0}", 124},
        {"{\"status\": \"errored\"}", 125},
        {"{\"status\": \"canceled\", \"exit_code\": 3}", 130},
        {"{\"status\": \"from the future\"}", 125},
        {"{}", 125},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_JSON json_t *job = json_loads(rows[i].job, 0, NULL);
        cr_assert_eq(job_exit_status(job), rows[i].status, "%s", rows[i].job);
    }
}
