#include "runner/argv.h"

#include <stdlib.h>

#include "base/mem.h"

static size_t image_words(const json_t *words) {
    return words ? json_array_size(words) : 0;
}

static void add_image(struct argv *argv, const json_t *words) {
    for (size_t i = 0; i < image_words(words); i++) {
        const char *word = json_string_value(json_array_get(words, i));
        argv->items[argv->count++] = word ? word : "";
    }
}

static void add_own(struct argv *argv, const struct spec_list *words) {
    for (size_t i = 0; i < words->count; i++)
        argv->items[argv->count++] = words->items[i];
}

static size_t own_words(const struct spec_list *words) {
    return words ? words->count : 0;
}

int argv_resolve(struct argv_own own, const json_t *entrypoint, const json_t *cmd, struct argv *ret_argv,
                 struct err *err) {
    size_t most =
        own_words(own.entrypoint) + own_words(own.command) + image_words(entrypoint) + image_words(cmd);
    if (most > ARGV_MAX)
        return err_set(err, ERR_LIMIT, 0, "The command has %zu words, at most %d are allowed.", most,
                       ARGV_MAX);
    struct argv argv = {.items = mem_alloc((most + 1) * sizeof *argv.items)};
    if (own.entrypoint)
        add_own(&argv, own.entrypoint);
    else
        add_image(&argv, entrypoint);
    if (own.command)
        add_own(&argv, own.command);
    else if (!own.entrypoint)
        add_image(&argv, cmd);
    if (!argv.count) {
        argv_done(&argv);
        return err_set(
            err, ERR_INVALID, 0,
            "There is no command: the image \"%s\" has none of its own%s. Give one with \"command\".",
            own.image, own.entrypoint ? " that an entrypoint of the job leaves" : "");
    }
    *ret_argv = argv;
    return 0;
}

void argv_done(struct argv *argv) {
    free(argv->items);
    *argv = (struct argv){0};
}
