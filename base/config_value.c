#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_private.h"
#include "base/mem.h"
#include "base/units.h"

static bool same_key(const char *key, const char *name, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (key[i] == '\0' || (name[i] == '-' ? '_' : name[i]) != key[i])
            return false;
    return key[len] == '\0';
}

const struct config_entry *config_find(const struct config_table *table, const char *name, size_t len,
                                       bool *ret_twin) {
    static const size_t tail = sizeof "_file" - 1;
    for (size_t i = 0; i < table->count; i++) {
        const struct config_entry *e = &table->entries[i];
        bool twin = e->secret && len > tail && same_key("_file", name + len - tail, tail) &&
                    same_key(e->key, name, len - tail);
        if (!twin && !same_key(e->key, name, len))
            continue;
        *ret_twin = twin;
        return e;
    }
    return NULL;
}

static const char *format_number(enum config_type type, int64_t number, char out[UNITS_TEXT_MAX]) {
    switch (type) {
    case CONFIG_DURATION:
        return units_format_duration(number, out);
    case CONFIG_SIZE:
        return units_format_size(number, out);
    case CONFIG_MILLI:
        return units_format_milli(number, out);
    case CONFIG_INT:
    case CONFIG_STRING:
    case CONFIG_BOOL:
        break;
    }
    snprintf(out, UNITS_TEXT_MAX, "%" PRId64, number);
    return out;
}

const char *config_range(const struct config_entry *entry, char out[CONFIG_RANGE_MAX]) {
    char min[UNITS_TEXT_MAX], max[UNITS_TEXT_MAX];
    out[0] = '\0';
    if (entry->type != CONFIG_STRING && entry->type != CONFIG_BOOL && (entry->min || entry->max))
        snprintf(out, CONFIG_RANGE_MAX, "from %s to %s", format_number(entry->type, entry->min, min),
                 format_number(entry->type, entry->max, max));
    return out;
}

static int parse_int(const char *text, int64_t *ret, struct err *err) {
    char *end = NULL;
    size_t digits = strspn(text + (*text == '-'), "0123456789");
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (!digits || *end || errno)
        return err_set(err, ERR_INVALID, 0, "write a whole number");
    *ret = value;
    return 0;
}

static int parse_bool(const char *text, bool *ret, struct err *err) {
    static const char *const words[] = {"off", "on", "false", "true", "no", "yes", "0", "1"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcmp(text, words[i]) == 0) {
            *ret = i % 2;
            return 0;
        }
    return err_set(err, ERR_INVALID, 0, "write on or off");
}

static int parse_number(enum config_type type, const char *text, int64_t *ret, struct err *err) {
    switch (type) {
    case CONFIG_DURATION:
        return units_parse_duration_ms(text, ret, err);
    case CONFIG_SIZE:
        return units_parse_size_bytes(text, ret, err);
    case CONFIG_MILLI:
        return units_parse_milli(text, ret, err);
    case CONFIG_INT:
    case CONFIG_STRING:
    case CONFIG_BOOL:
        break;
    }
    return parse_int(text, ret, err);
}

int config_set(const struct config_entry *entry, void *settings, const char *text, bool check_range,
               struct err *err) {
    char *at = (char *)settings + entry->offset;
    if (entry->type == CONFIG_STRING) {
        free(*(char **)(void *)at);
        *(char **)(void *)at = *text ? mem_strdup(text) : NULL;
        return 0;
    }
    if (entry->type == CONFIG_BOOL)
        return parse_bool(text, (bool *)at, err);
    char range[CONFIG_RANGE_MAX];
    int64_t value = 0;
    config_range(entry, range);
    struct err why = {0};
    if (parse_number(entry->type, text, &value, &why) < 0)
        return err_set(err, ERR_INVALID, 0, "%s%s%s", why.text, *range ? ", " : "", range);
    if (check_range && *range && (value < entry->min || value > entry->max))
        return err_set(err, ERR_INVALID, 0, "allowed is %s", range);
    if (check_range && !*range && value < 0)
        return err_set(err, ERR_INVALID, 0, "allowed is 0 or more");
    *(int64_t *)(void *)at = value;
    return 0;
}

bool config_text(const struct config_entry *entry, const void *settings, struct buf *out) {
    const char *at = (const char *)settings + entry->offset;
    if (entry->type == CONFIG_STRING) {
        const char *string = *(char *const *)(const void *)at;
        return string && buf_adds(out, string) == 0;
    }
    if (entry->type == CONFIG_BOOL)
        return buf_adds(out, *(const bool *)at ? "on" : "off") == 0;
    char text[UNITS_TEXT_MAX];
    int64_t number = *(const int64_t *)(const void *)at;
    return (number || entry->def) && buf_adds(out, format_number(entry->type, number, text)) == 0;
}
