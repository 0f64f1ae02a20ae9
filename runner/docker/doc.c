#include "runner/docker/doc.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

const char *doc_text(const json_t *object, const char *key) {
    const char *text = json_get_string(object, key);
    return text ? text : "";
}

const json_t *doc_map(const json_t *object, const char *key) {
    static json_t *empty;
    const json_t *value = json_object_get(object, key);
    if (json_is_object(value))
        return value;
    if (!empty)
        empty = json_object();
    return empty;
}

const json_t *doc_list(const json_t *object, const char *key) {
    static json_t *empty;
    const json_t *value = json_object_get(object, key);
    if (json_is_array(value))
        return value;
    if (!empty)
        empty = json_array();
    return empty;
}

int64_t doc_time_us(const json_t *object, const char *key) {
    int64_t us = 0;
    if (clock_parse_rfc3339(doc_text(object, key), &us, NULL) < 0 || us < 0)
        return 0;
    return us;
}

int doc_copy(const json_t *object, const char *key, char *out, size_t size, const char *what,
             struct err *err) {
    const char *text = doc_text(object, key);
    size_t len = strlen(text);
    if (len == 0 || len >= size)
        return err_set(err, ERR_INVALID, 0, "%s: the answer's %s is missing or not 1 to %zu bytes long", what,
                       key, size - 1);
    memcpy(out, text, len + 1);
    return 0;
}

void doc_put(struct doc_body *body, json_t *object, const char *key, json_t *value) {
    if (json_object_set_new(object, key, value) < 0)
        body->bad = true;
}

void doc_put_text(struct doc_body *body, json_t *object, const char *key, const char *text) {
    if (text)
        doc_put(body, object, key, json_string(text));
}

void doc_put_number(struct doc_body *body, json_t *object, const char *key, int64_t value) {
    if (value)
        doc_put(body, object, key, json_integer(value));
}

json_t *doc_texts(struct doc_body *body, const char *const *list) {
    json_t *array = json_array();
    for (; list && *list; list++)
        if (json_array_append_new(array, json_string(*list)) < 0)
            body->bad = true;
    return array;
}

json_t *doc_pairs(struct doc_body *body, struct engine_pairs pairs) {
    json_t *object = json_object();
    for (size_t i = 0; i < pairs.count; i++)
        doc_put(body, object, pairs.items[i].key,
                json_string(pairs.items[i].value ? pairs.items[i].value : ""));
    return object;
}

int doc_body_check(const struct doc_body *body, const char *what, struct err *err) {
    return body->bad ? err_set(err, ERR_INVALID, 0, "%s: a text in it is not UTF-8", what) : 0;
}

int doc_filters(struct engine_pairs labels, const struct doc_filter *more, size_t count, char **ret_text,
                struct err *err) {
    AUTO_JSON json_t *root = json_object();
    struct doc_body body = {.root = root};
    json_t *list = json_array();
    for (size_t i = 0; i < labels.count; i++) {
        const struct engine_pair *p = &labels.items[i];
        AUTO_FREE char *text = mem_printf("%s%s%s", p->key, p->value ? "=" : "", p->value ? p->value : "");
        if (json_array_append_new(list, json_string(text)) < 0)
            body.bad = true;
    }
    doc_put(&body, root, "label", list);
    for (size_t i = 0; i < count; i++)
        if (more[i].values)
            doc_put(&body, root, more[i].key, doc_texts(&body, more[i].values));
    if (doc_body_check(&body, "filters", err) < 0)
        return -1;
    char *text = json_dumps(root, JSON_COMPACT);
    if (!text)
        return err_set(err, ERR_BUG, 0, "filters cannot be written as JSON");
    *ret_text = text;
    return 0;
}
