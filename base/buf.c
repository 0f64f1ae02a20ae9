#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { BUF_FIRST_BYTES = 256 };

/* Whatever `max` says: what doubling can reach without running over. */
static const size_t max_bytes = PTRDIFF_MAX / 2;

int buf_reserve(struct buf *b, size_t more) {
    size_t max = b->max < max_bytes ? b->max : max_bytes;
    if (more > max || b->len > max - more)
        return -1;
    size_t need = b->len + more + 1;
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap ? b->cap : BUF_FIRST_BYTES;
    while (cap < need)
        cap *= 2;
    if (cap > max + 1)
        cap = max + 1;
    b->data = mem_realloc(b->data, cap);
    b->data[b->len] = '\0';
    b->cap = cap;
    return 0;
}

int buf_add(struct buf *b, const void *bytes, size_t len) {
    if (buf_reserve(b, len) < 0)
        return -1;
    if (len)
        memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
    return 0;
}

int buf_adds(struct buf *b, const char *s) {
    return buf_add(b, s, strlen(s));
}

int buf_addf(struct buf *b, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || buf_reserve(b, (size_t)n) < 0)
        return -1;
    va_start(ap, fmt);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
    return 0;
}

void buf_drop_front(struct buf *b, size_t len) {
    if (!len)
        return;
    b->len -= len;
    memmove(b->data, b->data + len, b->len + 1);
}

void buf_clear(struct buf *b) {
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

void buf_done(struct buf *b) {
    free(b->data);
    b->data = NULL;
    b->len = b->cap = 0;
}

char *buf_steal(struct buf *b) {
    char *s = b->data ? STEAL(b->data) : mem_strdup("");
    b->len = b->cap = 0;
    return s;
}

const char *buf_str(const struct buf *b) {
    return b->data ? b->data : "";
}
