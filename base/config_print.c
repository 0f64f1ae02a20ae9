#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_private.h"
#include "base/json.h"
#include "base/mem.h"

static const char *const origin_names[] = {[CONFIG_DEFAULT] = "default",
                                           [CONFIG_FILE] = "file",
                                           [CONFIG_ENV] = "environment",
                                           [CONFIG_ARGV] = "command line"};
static const char *const type_words[] = {
    [CONFIG_STRING] = "TEXT", [CONFIG_INT] = "N",        [CONFIG_DURATION] = "DURATION",
    [CONFIG_SIZE] = "SIZE",   [CONFIG_MILLI] = "NUMBER", [CONFIG_BOOL] = "on|off"};

void config_free(const struct config_table *table, void *settings) {
    for (size_t i = 0; i < table->count; i++) {
        if (table->entries[i].type != CONFIG_STRING)
            continue;
        char **at = (char **)(void *)((char *)settings + table->entries[i].offset);
        if (*at && table->entries[i].secret)
            explicit_bzero(*at, strlen(*at));
        free(*at);
        *at = NULL;
    }
}

int config_dump(const struct config_table *table, const void *settings, struct buf *out) {
    AUTO_JSON json_t *json = json_object();
    for (size_t i = 0; i < table->count; i++) {
        AUTO_BUF struct buf text = BUF(CONFIG_FILE_MAX_BYTES);
        if (!config_text(&table->entries[i], settings, &text))
            continue;
        /* Not UTF-8: jansson would refuse it, and no setting of ours needs it. */
        if (json_object_set_new(json, table->entries[i].key, json_string(buf_str(&text))) < 0)
            return -1;
    }
    AUTO_FREE char *dump = json_dumps(json, JSON_COMPACT);
    return dump ? buf_adds(out, dump) : -1;
}

int config_undump(const struct config_table *table, void *settings, const char *json, size_t len,
                  struct err *err) {
    json_error_t where;
    AUTO_JSON json_t *object = json_loadb(json, len, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(object))
        return err_set(err, ERR_INVALID, 0, "settings from the parent are not a JSON object");
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        bool twin = false;
        const struct config_entry *entry = config_find(table, key, strlen(key), &twin);
        if (!entry || twin || !json_is_string(value))
            return err_set(err, ERR_INVALID, 0, "settings from the parent: %s is unknown or not text", key);
        if (config_set(entry, settings, json_string_value(value), false, err) < 0)
            return err_wrap(err, "settings from the parent: %s", key);
    }
    return 0;
}

void config_print_effective(const struct config_table *table, const void *settings,
                            const struct config_origins *origins, struct buf *out) {
    for (size_t i = 0; i < table->count; i++) {
        const struct config_entry *e = &table->entries[i];
        AUTO_BUF struct buf text = BUF(CONFIG_FILE_MAX_BYTES);
        bool set = config_text(e, settings, &text);
        buf_addf(out, "%s%s = ", set ? "" : "# ", e->key);
        if (set && e->secret)
            buf_adds(out, "***");
        else if (set)
            config_file_quote(out, buf_str(&text));
        buf_addf(out, "  # %s\n", set ? origin_names[origins->of[i]] : "not set");
    }
}

/* "Default 1s; from 100ms to 1h; BERTH_POLL_INTERVAL." */
static void add_facts(const struct config_entry *e, struct buf *out) {
    char range[CONFIG_RANGE_MAX];
    if (e->def)
        buf_addf(out, "Default %s; ", *e->def ? e->def : "empty");
    if (*config_range(e, range))
        buf_addf(out, "%s; ", range);
    if (e->env)
        buf_addf(out, "%s%s%s", e->env, e->secret ? ", or from a file: " : "", e->secret ? e->env : "");
    buf_addf(out, "%s.\n", e->env && e->secret ? "_FILE" : "");
}

void config_print_help(const struct config_table *table, struct buf *out) {
    buf_adds(out, "  --config FILE\n        Settings file. Default " CONFIG_FILE_DEFAULT ", if it exists.\n");
    for (size_t i = 0; i < table->count; i++) {
        const struct config_entry *e = &table->entries[i];
        AUTO_FREE char *flag = mem_strdup(e->key);
        for (char *p = flag; *p; p++)
            *p = *p == '_' ? '-' : *p;
        buf_addf(out, "  --%s %s\n        %s ", flag, type_words[e->type], e->help);
        add_facts(e, out);
    }
}

void config_print_example(const struct config_table *table, struct buf *out) {
    buf_adds(out, "# Every setting with its default. Take away the # before those that you change.\n");
    for (size_t i = 0; i < table->count; i++) {
        const struct config_entry *e = &table->entries[i];
        buf_addf(out, "\n# %s\n# ", e->help);
        add_facts(e, out);
        buf_addf(out, "#%s = ", e->key);
        if (e->def)
            config_file_quote(out, e->def);
        buf_adds(out, "\n");
    }
}
