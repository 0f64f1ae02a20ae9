#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "proto/spec_private.h"

void spec_list_add(struct spec_list *list, const char *text) {
    list->items = mem_realloc(list->items, (list->count + 1) * sizeof *list->items);
    list->items[list->count++] = mem_strdup(text);
}

void spec_list_done(struct spec_list *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct spec_list){0};
}

static void pairs_add(struct spec_pairs *pairs, const char *key, const char *value) {
    pairs->items = mem_realloc(pairs->items, (pairs->count + 1) * sizeof *pairs->items);
    pairs->items[pairs->count++] = (struct spec_pair){.key = mem_strdup(key), .value = mem_strdup(value)};
}

void spec_pairs_done(struct spec_pairs *pairs) {
    for (size_t i = 0; i < pairs->count; i++) {
        free(pairs->items[i].key);
        free(pairs->items[i].value);
    }
    free(pairs->items);
    *pairs = (struct spec_pairs){0};
}

bool spec_is_array(struct spec_reader *r, const struct spec_at *at, const json_t *value, size_t max,
                   const char *like) {
    if (!json_is_array(value))
        spec_fault(r->faults, at, "must be an array of %s, not %s", like, spec_type_name(value));
    else if (json_array_size(value) > max)
        spec_fault(r->faults, at, "has %zu elements; at most %zu are allowed", json_array_size(value), max);
    else
        return true;
    return false;
}

void spec_read_list(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                    const struct spec_field *field) {
    struct spec_list *list = spec_place(r, field);
    if (!spec_is_array(r, at, value, SPEC_ARGS_MAX, "strings such as [\"make\", \"test\"]"))
        return;
    if (field->given)
        *(bool *)((char *)r->base + field->given) = true;
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item) {
        struct spec_at here = {.parent = at, .index = i};
        const char *text = spec_text(r, &here, item, SPEC_STRING_MAX);
        if (text)
            spec_list_add(list, text);
    }
}

void spec_read_script(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field) {
    const char *text = spec_text(r, at, value, SPEC_STRING_MAX);
    if (text && !text[strspn(text, " \t\r\n")])
        spec_fault(r->faults, at, "is empty; write what is to be run, or leave it out");
    else if (text)
        *(char **)spec_place(r, field) = mem_strdup(text);
}

/* Why this object's member is refused before its value is looked at; NULL: it is not. */
static const char *env_key_fault(const char *key) {
    if (!*key)
        return "the name of a variable must not be empty";
    if (strchr(key, '='))
        return "the name of a variable must not contain \"=\"";
    if (strcmp(key, "BERTH") == 0 || strncmp(key, "BERTH_", strlen("BERTH_")) == 0)
        return "names that begin with BERTH_ are set by Berth itself; choose another";
    return NULL;
}

static const char *label_key_fault(const char *key) {
    static const char prefix[] = "io.berth.";
    size_t len = strlen(key);
    if (len == 0 || len > SPEC_LABEL_KEY_MAX)
        return "a label's key must have 1 to 63 characters";
    for (size_t i = 0; i < len; i++) {
        bool inner = i > 0 && i + 1 < len && strchr("._-/", key[i]);
        if (!isalnum((unsigned char)key[i]) && !inner)
            return "a label's key is made of letters and digits, and . _ - / between them";
    }
    return strncmp(key, prefix, strlen(prefix)) == 0
               ? "keys that begin with io.berth. belong to Berth; choose another"
               : NULL;
}

/* Checks that it is an object with at most `max` members. */
static bool is_map(struct spec_reader *r, const struct spec_at *at, const json_t *value, size_t max) {
    if (!json_is_object(value))
        spec_fault(r->faults, at, "must be an object of strings such as {\"name\": \"value\"}, not %s",
                   spec_type_name(value));
    else if (json_object_size(value) > max)
        spec_fault(r->faults, at, "has %zu members; at most %zu are allowed", json_object_size(value), max);
    else
        return true;
    return false;
}

void spec_read_env(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                   const struct spec_field *field) {
    const char *key;
    json_t *member;
    if (!is_map(r, at, value, SPEC_ENV_MAX))
        return;
    json_object_foreach((json_t *)value, key, member) {
        struct spec_at here = {.parent = at, .key = key};
        const char *fault = env_key_fault(key);
        size_t used = strlen(key) + 1;
        if (fault)
            spec_fault(r->faults, &here, "%s", fault);
        const char *text = spec_text(r, &here, member, used < SPEC_STRING_MAX ? SPEC_STRING_MAX - used : 0);
        if (text)
            pairs_add(spec_place(r, field), key, text);
    }
}

void spec_read_labels(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field) {
    const char *key;
    json_t *member;
    if (!is_map(r, at, value, SPEC_LABELS_MAX))
        return;
    json_object_foreach((json_t *)value, key, member) {
        struct spec_at here = {.parent = at, .key = key};
        const char *fault = label_key_fault(key);
        if (fault)
            spec_fault(r->faults, &here, "%s", fault);
        const char *text = spec_text(r, &here, member, SPEC_LABEL_VALUE_MAX);
        if (text)
            pairs_add(spec_place(r, field), key, text);
    }
}
