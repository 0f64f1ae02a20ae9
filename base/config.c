#include "base/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/config_private.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "base/nearest.h"

enum { WHERE_MAX_BYTES = 256, ENV_MISSPELT_DISTANCE = 2 };

struct load {
    const struct config_table *table;
    void *settings;
    struct config_origins origins;
    unsigned line_of[CONFIG_ENTRIES_MAX]; /* in the file; 0: not there */
    struct buf *report;
    unsigned errors;
    char first[ERR_TEXT_MAX];
};

struct place {
    enum config_origin origin;
    const char *what; /* for people */
};

__attribute__((format(printf, 2, 3))) static void complain(struct load *l, const char *fmt, ...) {
    char line[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    for (char *p = line; *p; p++)
        if (iscntrl((unsigned char)*p))
            *p = '?';
    if (l->errors++ == 0)
        memcpy(l->first, line, sizeof line);
    if (l->report)
        buf_addf(l->report, "%s\n", line);
}

/* A secret's twin lies in a file of its own; the newline that editors put at its end does not belong to it.
 */
static int read_twin(const char *path, struct buf *out, struct err *err) {
    if (file_read(AT_FDCWD, path, CONFIG_FILE_MAX_BYTES, out, err) < 0)
        return -1;
    if (out->len && out->data[out->len - 1] == '\n')
        out->data[--out->len] = '\0';
    if (out->len && out->data[out->len - 1] == '\r')
        out->data[--out->len] = '\0';
    if (strlen(buf_str(out)) != out->len)
        return err_set(err, ERR_INVALID, 0, "there is a NUL in %s", path);
    return out->len ? 0 : err_set(err, ERR_INVALID, 0, "%s is empty", path);
}

static void apply(struct load *l, const struct config_entry *entry, const char *value, bool twin,
                  struct place at) {
    struct err why = {0};
    AUTO_BUF struct buf content = {0};
    const char *shown = entry->secret && !twin ? "***" : value;
    const char *text = value;
    int done = 0;
    if (twin) {
        done = read_twin(value, &content, &why);
        text = buf_str(&content);
    }
    if (done == 0)
        done = config_set(entry, l->settings, text, true, &why);
    if (done < 0)
        complain(l, "%s%s = %.*s (%s): %s", entry->key, twin ? "_file" : "", CONFIG_VALUE_SHOWN_MAX, shown,
                 at.what, why.text);
    else
        l->origins.of[entry - l->table->entries] = (unsigned char)at.origin;
}

static const struct config_entry *nearest_entry(const struct config_table *table, const char *name,
                                                bool by_env, uint32_t most) {
    const struct config_entry *best = NULL;
    struct nearest nearest = {0};
    for (size_t i = 0; i < table->count; i++) {
        const struct config_entry *e = &table->entries[i];
        const char *known = by_env ? e->env : e->key;
        if (known && nearest_take(&nearest, name, known, most))
            best = e;
    }
    return best;
}

/* The value of a misspelt secret is a secret. */
static void complain_unknown(struct load *l, const char *name, const char *value, struct place at) {
    const struct config_entry *e = nearest_entry(l->table, name, at.origin == CONFIG_ENV, NEAREST_FAR);
    if (!e)
        return complain(l, "%s (%s): unknown setting, there are none", name, at.what);
    complain(l, "%.*s = %.*s (%s): unknown setting, the nearest known one is %s", CONFIG_VALUE_SHOWN_MAX,
             name, CONFIG_VALUE_SHOWN_MAX, e->secret ? "***" : value, at.what,
             at.origin == CONFIG_ENV ? e->env : e->key);
}

static void apply_defaults(struct load *l) {
    for (size_t i = 0; i < l->table->count; i++)
        if (l->table->entries[i].def)
            apply(l, &l->table->entries[i], l->table->entries[i].def, false,
                  (struct place){CONFIG_DEFAULT, "built-in default"});
}

static void apply_line(struct load *l, const struct config_line *line, unsigned number, const char *path) {
    char where[WHERE_MAX_BYTES];
    snprintf(where, sizeof where, "%s line %u", path, number);
    struct place at = {CONFIG_FILE, where};
    bool twin = false;
    const struct config_entry *entry = config_find(l->table, line->key, strlen(line->key), &twin);
    if (!entry)
        return complain_unknown(l, line->key, line->value, at);
    unsigned *seen = &l->line_of[entry - l->table->entries];
    if (*seen)
        return complain(l, "%s (%s): set in line %u already", line->key, where, *seen);
    *seen = number;
    apply(l, entry, line->value, twin, at);
}

static void apply_file(struct load *l, const char *path) {
    AUTO_BUF struct buf text = {0};
    struct err err = {0};
    if (file_read(AT_FDCWD, path ? path : CONFIG_FILE_DEFAULT, CONFIG_FILE_MAX_BYTES, &text, &err) < 0) {
        bool absent = err.kind == ERR_SYS && (err.code == ENOENT || err.code == ENOTDIR);
        if (path || !absent)
            complain(l, "settings file: %s", err.text);
        return;
    }
    if (!text.len)
        return;
    path = path ? path : CONFIG_FILE_DEFAULT;
    struct config_file file = config_file_begin(text.data, text.len);
    struct config_line line;
    for (int n; (n = config_file_next(&file, &line, &err)) != 0;)
        if (n > 0)
            apply_line(l, &line, file.line, path);
        else
            complain(l, "%s line %u: %s", path, file.line, err.text);
}

const char *config_env(const char *name) {
    const char *value = getenv(name); /* NOLINT(concurrency-mt-unsafe): there are no threads */
    return value && *value ? value : NULL;
}

static void apply_env(struct load *l) {
    for (size_t i = 0; i < l->table->count; i++) {
        const struct config_entry *e = &l->table->entries[i];
        if (!e->env)
            continue;
        AUTO_FREE char *twin_name = mem_printf("%s_FILE", e->env);
        const char *value = config_env(e->env);
        const char *twin = e->secret ? config_env(twin_name) : NULL;
        if (value && twin)
            complain(l, "%s (environment): %s is set too, set one of them", e->env, twin_name);
        else if (value)
            apply(l, e, value, false, (struct place){CONFIG_ENV, e->env});
        else if (twin)
            apply(l, e, twin, true, (struct place){CONFIG_ENV, twin_name});
    }
}

static bool env_is_known(const struct config_table *table, const char *name) {
    for (size_t i = 0; i < table->count; i++) {
        const struct config_entry *e = &table->entries[i];
        size_t len = e->env ? strlen(e->env) : 0;
        if (len && strncmp(name, e->env, len) == 0 &&
            (!name[len] || (e->secret && strcmp(name + len, "_FILE") == 0)))
            return true;
    }
    return false;
}

static void refuse_misspelt_env(struct load *l) {
    static const char prefix[] = "BERTH_";
    for (char **word = environ; word && *word; word++) {
        const char *equals = strchr(*word, '=');
        if (!equals || strncmp(*word, prefix, sizeof prefix - 1) != 0 || !equals[1])
            continue;
        AUTO_FREE char *name = mem_strndup(*word, (size_t)(equals - *word));
        if (!env_is_known(l->table, name) && nearest_entry(l->table, name, true, ENV_MISSPELT_DISTANCE))
            complain_unknown(l, name, equals + 1, (struct place){CONFIG_ENV, "environment"});
    }
}

struct word {
    const char *name, *value; /* value NULL: the words ended first */
    size_t name_len;
};

/* Takes `--name=value`, `--name value` or, for a switch, `--name`. */
static struct word take_word(const struct config_table *table, char *const **argv) {
    struct word w = {.name = *(*argv)++ + 2};
    const char *equals = strchr(w.name, '=');
    w.name_len = equals ? (size_t)(equals - w.name) : strlen(w.name);
    bool twin = false;
    const struct config_entry *entry = config_find(table, w.name, w.name_len, &twin);
    bool last = !**argv || strncmp(**argv, "--", 2) == 0;
    if (equals)
        w.value = equals + 1;
    else if (entry && entry->type == CONFIG_BOOL && last)
        w.value = "on";
    else if (**argv)
        w.value = *(*argv)++;
    return w;
}

static bool is_config_word(struct word w) {
    return w.name_len == sizeof "config" - 1 && strncmp(w.name, "config", w.name_len) == 0;
}

static const char *named_file(const struct config_table *table, char *const *argv) {
    const char *path = NULL;
    while (argv && *argv) {
        if (strncmp(*argv, "--", 2) != 0) {
            argv++;
            continue;
        }
        struct word w = take_word(table, &argv);
        if (is_config_word(w) && w.value)
            path = w.value;
    }
    return path;
}

static void apply_argv(struct load *l, char *const *argv) {
    static const struct place at = {CONFIG_ARGV, "command line"};
    while (argv && *argv) {
        if (strncmp(*argv, "--", 2) != 0 || !(*argv)[2]) {
            complain(l, "%.*s (command line): unexpected word, settings are --key=value",
                     CONFIG_VALUE_SHOWN_MAX, *argv++);
            continue;
        }
        struct word w = take_word(l->table, &argv);
        AUTO_FREE char *name = mem_strndup(w.name, w.name_len);
        bool twin = false;
        const struct config_entry *entry = config_find(l->table, w.name, w.name_len, &twin);
        if (!w.value)
            complain(l, "--%.*s (command line): a value is missing", CONFIG_VALUE_SHOWN_MAX, name);
        else if (entry)
            apply(l, entry, w.value, twin, at);
        else if (!is_config_word(w))
            complain_unknown(l, name, w.value, at);
    }
}

int config_load(const struct config_table *table, void *settings, char *const *argv,
                struct config_origins *ret_origins, struct buf *ret_report, struct err *err) {
    if (table->count > CONFIG_ENTRIES_MAX)
        return err_set(err, ERR_BUG, 0, "a table of %zu settings, at most %d", table->count,
                       CONFIG_ENTRIES_MAX);
    struct load l = {.table = table, .settings = settings, .report = ret_report};
    apply_defaults(&l);
    apply_file(&l, named_file(table, argv));
    apply_env(&l);
    refuse_misspelt_env(&l);
    apply_argv(&l, argv);
    if (l.errors > 1)
        return err_set(err, ERR_USAGE, 0, "%u settings are wrong, the first: %s", l.errors, l.first);
    if (l.errors)
        return err_set(err, ERR_USAGE, 0, "%s", l.first);
    if (ret_origins)
        *ret_origins = l.origins;
    return 0;
}
