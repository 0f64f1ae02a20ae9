#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/nearest.h"
#include "base/utf8.h"
#include "proto/spec_private.h"

enum {
    DETAIL_MAX = 1024,
    POINTER_MAX = SPEC_BYTES_MAX * 2 + 64, /* one key may be all of the document, and every byte a '/' */
};

/* RFC 6901, section 3: "~" is written "~0", "/" is written "~1". */
static void add_pointer(struct buf *out, const struct spec_at *at) {
    if (!at || !at->parent)
        return;
    add_pointer(out, at->parent);
    buf_adds(out, "/");
    if (!at->key) {
        buf_addf(out, "%zu", at->index);
        return;
    }
    for (const char *p = at->key; *p;) {
        size_t plain = strcspn(p, "~/");
        buf_add(out, p, plain);
        p += plain;
        if (*p)
            buf_adds(out, *p++ == '~' ? "~0" : "~1");
    }
}

/* Faults travel as JSON: a character that was cut, or was never one, becomes '?'. */
static void make_utf8(char *text) {
    size_t len = strlen(text);
    for (size_t i = 0; i < len;) {
        size_t step = utf8_char_len(text + i, len - i);
        if (!step)
            text[i] = '?';
        i += step ? step : 1;
    }
}

void spec_fault(struct spec_faults *faults, const struct spec_at *at, const char *fmt, ...) {
    if (faults->count == SPEC_FAULTS_MAX) {
        faults->omitted++;
        return;
    }
    char detail[DETAIL_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    make_utf8(detail);
    AUTO_BUF struct buf pointer = BUF(POINTER_MAX);
    add_pointer(&pointer, at);
    faults->items[faults->count++] =
        (struct spec_fault){.pointer = buf_steal(&pointer), .detail = mem_strdup(detail)};
}

void spec_faults_done(struct spec_faults *faults) {
    for (size_t i = 0; i < faults->count; i++) {
        free(faults->items[i].pointer);
        free(faults->items[i].detail);
    }
    faults->count = faults->omitted = 0;
}

/* Bytes of `text` that end at a character's border and are at most `max`. */
static size_t whole_characters(const char *text, size_t max) {
    size_t len = strlen(text);
    size_t n = 0;
    while (n < len) {
        size_t step = utf8_char_len(text + n, len - n);
        if (!step || n + step > max)
            break;
        n += step;
    }
    return n;
}

char *spec_faults_text(const struct spec_faults *faults, size_t max) {
    AUTO_BUF struct buf all = BUF(SIZE_MAX / 2);
    for (size_t i = 0; i < faults->count && all.len <= max; i++) {
        const struct spec_fault *f = &faults->items[i];
        buf_adds(&all, i ? "; " : "");
        buf_adds(&all, f->pointer);
        buf_adds(&all, *f->pointer ? ": " : "");
        buf_adds(&all, f->detail);
    }
    if (faults->omitted)
        buf_addf(&all, "; and %zu more", faults->omitted);
    if (all.len > max)
        return mem_strndup(all.data, whole_characters(all.data, max));
    return buf_steal(&all);
}

const char *spec_type_name(const json_t *value) {
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number",  [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    return names[json_typeof(value)];
}

const char *spec_quote(const char *text, char out[SPEC_QUOTE_MAX]) {
    static const char more[] = "...";
    size_t n = whole_characters(text, SPEC_QUOTE_MAX - sizeof more);
    memcpy(out, text, n);
    memcpy(out + n, more, sizeof more);
    if (!text[n])
        out[n] = '\0';
    for (char *p = out; *p; p++)
        if (iscntrl((unsigned char)*p))
            *p = '?';
    return out;
}

const char *spec_nearest(const char *name, const struct spec_field *fields) {
    struct nearest nearest = {0};
    size_t wrong_max = strlen(name) / 3 + 1; /* a third of the letters may be wrong */
    for (; fields->name; fields++) {
        size_t most = strlen(fields->name) - 1;
        most = most < wrong_max ? most : wrong_max;
        nearest_take(&nearest, name, fields->name, (uint32_t)most);
    }
    return nearest.word;
}
