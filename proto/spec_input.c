#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "proto/spec_private.h"

enum { REAL_TEXT_MAX = 40 };

/* jansson writes reals with 17 digits (0.1 becomes 0.10000000000000001); a program should get what its user
 * wrote. */
static void add_real(struct buf *out, double real) {
    char text[REAL_TEXT_MAX];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, real);
        if (strtod(text, NULL) == real)
            break;
    }
    buf_adds(out, text);
    if (!strpbrk(text, ".e"))
        buf_adds(out, ".0"); /* still a real */
}

static void add_scalar(struct buf *out, const json_t *value) {
    AUTO_FREE char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    buf_adds(out, text ? text : "null");
}

static void add_key(struct buf *out, const char *key) {
    json_t *name = json_string(key);
    add_scalar(out, name);
    json_decref(name);
    buf_adds(out, ":");
}

/* As deep as jansson's parser lets a document be (JSON_PARSER_MAX_DEPTH, 2048). */
static void add_value(struct buf *out, const json_t *value) {
    const char *between = "";
    const char *key;
    size_t i;
    json_t *member;
    if (json_is_object(value)) {
        buf_adds(out, "{");
        json_object_foreach((json_t *)value, key, member) {
            buf_adds(out, between);
            add_key(out, key);
            add_value(out, member);
            between = ",";
        }
        buf_adds(out, "}");
    } else if (json_is_array(value)) {
        buf_adds(out, "[");
        json_array_foreach(value, i, member) {
            buf_adds(out, between);
            add_value(out, member);
            between = ",";
        }
        buf_adds(out, "]");
    } else if (json_is_real(value)) {
        add_real(out, json_real_value(value));
    } else {
        add_scalar(out, value);
    }
}

char *spec_input_line(const json_t *value) {
    AUTO_BUF struct buf line = BUF(SIZE_MAX / 2);
    add_value(&line, value);
    return buf_steal(&line);
}
