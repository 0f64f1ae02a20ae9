#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "runner/argv.h"

/* A list as JSON text; NULL: not given. */
struct list {
    struct spec_list list;
    json_t *json;
};

static struct list list_of(const char *text) {
    struct list l = {.json = text ? json_loads(text, 0, NULL) : NULL};
    if (!l.json)
        return l;
    l.list.count = json_array_size(l.json);
    l.list.items = calloc(l.list.count + 1, sizeof *l.list.items);
    for (size_t i = 0; i < l.list.count; i++)
        l.list.items[i] = (char *)json_string_value(json_array_get(l.json, i));
    return l;
}

static void list_done(struct list *l) {
    free(l->list.items);
    json_decref(l->json);
}

/* https://docs.docker.com/reference/dockerfile/#understand-how-cmd-and-entrypoint-interact */
static const struct {
    const char *job_entrypoint, *job_command, *image_entrypoint, *image_cmd;
    const char *result; /* NULL: refused */
} rows[] = {
    {NULL, NULL, NULL, "[\"sh\"]", "sh"},
    {NULL, NULL, "[\"tini\",\"--\"]", "[\"sh\",\"-l\"]", "tini -- sh -l"},
    {NULL, NULL, "[\"app\"]", NULL, "app"},
    {NULL, "[\"make\",\"test\"]", NULL, "[\"sh\"]", "make test"},
    {NULL, "[\"make\"]", "[\"tini\"]", "[\"sh\"]", "tini make"},
    {NULL, "[]", "[\"tini\"]", "[\"sh\"]", "tini"},
    {"[\"/bin/sh\",\"-c\"]", NULL, "[\"tini\"]", "[\"sh\"]", "/bin/sh -c"},
    {"[\"/bin/sh\",\"-c\"]", "[\"ls\"]", "[\"tini\"]", "[\"sh\"]", "/bin/sh -c ls"},
    {"[]", "[\"ls\"]", "[\"tini\"]", "[\"sh\"]", "ls"},
    {"[]", NULL, "[\"tini\"]", "[\"sh\"]", NULL},
    {NULL, NULL, NULL, NULL, NULL},
    {NULL, NULL, "[]", "[]", NULL},
    {NULL, "[]", NULL, "[\"sh\"]", NULL},
};

static void check(size_t i) {
    CLEANUP(list_done) struct list e = list_of(rows[i].job_entrypoint);
    CLEANUP(list_done) struct list c = list_of(rows[i].job_command);
    AUTO_JSON json_t *image_entrypoint =
        rows[i].image_entrypoint ? json_loads(rows[i].image_entrypoint, 0, NULL) : NULL;
    AUTO_JSON json_t *image_cmd = rows[i].image_cmd ? json_loads(rows[i].image_cmd, 0, NULL) : NULL;
    struct spec spec = {.image = (char *)"img:1",
                        .entrypoint = e.list,
                        .command = c.list,
                        .has_entrypoint = e.json != NULL,
                        .has_command = c.json != NULL};
    AUTO_ARGV struct argv argv = {0};
    struct err err = {0};
    int got = argv_resolve(argv_own_main(&spec), image_entrypoint, image_cmd, &argv, &err);
    if (!rows[i].result) {
        cr_expect(got < 0 && err.kind == ERR_INVALID && strstr(err.text, "img:1"), "row %zu: %s", i,
                  err.text);
        return;
    }
    char text[128] = "";
    for (size_t k = 0; k < argv.count; k++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", k ? " " : "", argv.items[k]);
    cr_expect(got == 0 && strcmp(text, rows[i].result) == 0, "row %zu: %s", i, text);
}

Test(argv, as_the_engine_would) {
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(i);
}

Test(argv, a_service_has_a_command_alone) {
    char *words[] = {(char *)"-x"};
    struct spec_service service = {.image = (char *)"db", .command = {words, 1}, .has_command = true};
    AUTO_JSON json_t *image_entrypoint = json_loads("[\"postgres\"]", 0, NULL);
    AUTO_JSON json_t *image_cmd = json_loads("[\"-y\"]", 0, NULL);
    struct err err = {0};
    AUTO_ARGV struct argv replaced = {0};
    cr_assert_eq(argv_resolve(argv_own_service(&service), image_entrypoint, image_cmd, &replaced, &err), 0);
    cr_expect_eq(replaced.count, 2);
    cr_expect_str_eq(replaced.items[0], "postgres");
    cr_expect_str_eq(replaced.items[1], "-x");
    service.has_command = false;
    AUTO_ARGV struct argv kept = {0};
    cr_assert_eq(argv_resolve(argv_own_service(&service), image_entrypoint, image_cmd, &kept, &err), 0);
    cr_expect_str_eq(kept.items[1], "-y");
}

Test(argv, too_many_words) {
    static char word[] = "x";
    char **words = malloc((ARGV_MAX + 1) * sizeof *words);
    for (size_t i = 0; i < ARGV_MAX + 1; i++)
        words[i] = word;
    struct spec spec = {.image = word, .command = {words, ARGV_MAX}, .has_command = true};
    AUTO_ARGV struct argv argv = {0};
    struct err err = {0};
    cr_expect_eq(argv_resolve(argv_own_main(&spec), NULL, NULL, &argv, &err), 0);
    cr_expect_eq(argv.count, ARGV_MAX);
    argv_done(&argv);
    spec.command.count = ARGV_MAX + 1;
    cr_expect(argv_resolve(argv_own_main(&spec), NULL, NULL, &argv, &err) < 0 && err.kind == ERR_LIMIT);
    free(words);
}
