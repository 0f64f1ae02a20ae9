#include <stdio.h>
#include <string.h>

#include "client/command.h"

static const struct option_spec *find_long(const struct option_spec *table, size_t count, const char *word,
                                           size_t len) {
    for (size_t i = 0; i < count; i++)
        if (strlen(table[i].name) == len && strncmp(table[i].name, word, len) == 0)
            return &table[i];
    return NULL;
}

static const struct option_spec *find_letter(const struct option_spec *table, size_t count, char letter) {
    for (size_t i = 0; i < count; i++)
        if (table[i].letter && table[i].letter == letter)
            return &table[i];
    return NULL;
}

struct words {
    const struct option_spec *table;
    size_t count;
    void *arg;
    int argc, at;
    char **argv;
};

static int take(struct words *w, const struct option_spec *option, const char *value, struct err *err) {
    if (option->takes_value && !value) {
        if (++w->at >= w->argc)
            return err_set(err, ERR_USAGE, 0, "%s wants a value", option->name);
        value = w->argv[w->at];
    }
    if (!option->takes_value && value)
        return err_set(err, ERR_USAGE, 0, "%s takes no value", option->name);
    if (option->take(w->arg, option, value, err) < 0)
        return err_wrap(err, "%s", option->name);
    return 0;
}

static int take_long(struct words *w, const char *word, struct err *err) {
    size_t len = strcspn(word, "=");
    const struct option_spec *option = find_long(w->table, w->count, word, len);
    if (!option)
        return err_set(err, ERR_USAGE, 0, "there is no option %.*s", (int)len, word);
    return take(w, option, word[len] == '=' ? word + len + 1 : NULL, err);
}

/* "-d", "-dq", "-n5": letters until one takes the rest as its value. */
static int take_letters(struct words *w, const char *word, struct err *err) {
    for (const char *p = word + 1; *p; p++) {
        const struct option_spec *option = find_letter(w->table, w->count, *p);
        if (!option)
            return err_set(err, ERR_USAGE, 0, "there is no option -%c", *p);
        if (option->takes_value)
            return take(w, option, p[1] ? p + 1 : NULL, err);
        if (take(w, option, NULL, err) < 0)
            return -1;
    }
    return 0;
}

int options_parse(const struct option_spec *table, size_t count, void *arg, int argc, char **argv,
                  struct err *err) {
    struct words w = {.table = table, .count = count, .arg = arg, .argc = argc, .at = 1, .argv = argv};
    for (; w.at < argc; w.at++) {
        const char *word = argv[w.at];
        if (strcmp(word, "--") == 0)
            return w.at + 1;
        if (word[0] != '-' || word[1] == '\0')
            return w.at;
        if ((word[1] == '-' ? take_long(&w, word, err) : take_letters(&w, word, err)) < 0)
            return -1;
    }
    return argc;
}

void options_print(const struct option_spec *table, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char left[64];
        const char *help = table[i].help;
        int value = table[i].takes_value ? (int)strcspn(help, " ") : 0;
        snprintf(left, sizeof left, "%c%c%s%s%s%.*s", table[i].letter ? '-' : ' ',
                 table[i].letter ? table[i].letter : ' ', table[i].letter ? ", " : "  ", table[i].name,
                 value ? " " : "", value, help);
        printf("  %-32s %s\n", left, help + value + strspn(help + value, " "));
    }
}

int option_take_flag(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    (void)value, (void)err;
    *(bool *)(void *)((char *)arg + self->offset) = true;
    return 0;
}

int option_take_text(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    (void)err;
    *(const char **)(void *)((char *)arg + self->offset) = value;
    return 0;
}

int options_take_output(struct options *options, const char *value, struct err *err) {
    static const char *const words[] = {
        [OUTPUT_TABLE] = "table", [OUTPUT_JSON] = "json", [OUTPUT_NAME] = "name"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(value, words[i]) == 0) {
            options->output = (enum output)i;
            return 0;
        }
    return err_set(err, ERR_USAGE, 0, "'%s' is none of table, json, name", value);
}
