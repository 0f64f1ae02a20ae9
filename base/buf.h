/*
 * buf - a growable run of bytes with a maximum.
 *
 * `data` is always NUL-terminated behind `len` (the NUL is not counted), so a buffer of text can be used as
 * a string. Adding past `max` fails with -1 and changes nothing: the caller says what its bound was.
 */
#ifndef BERTH_BASE_BUF_H
#define BERTH_BASE_BUF_H

#include <stddef.h>

#include "base/cleanup.h"

struct buf {
    char *data; /* NULL until something was added */
    size_t len, cap, max;
};

#define BUF(max_) ((struct buf){.max = (max_)})

int buf_reserve(struct buf *b, size_t more); /* room for so many bytes behind len, and the NUL */
int buf_add(struct buf *b, const void *bytes, size_t len);
int buf_adds(struct buf *b, const char *s);
int buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_drop_front(struct buf *b, size_t len); /* len <= b->len */
void buf_clear(struct buf *b);                  /* keeps the memory */
void buf_done(struct buf *b);
char *buf_steal(struct buf *b); /* the string, owned by the caller; "" when empty */
const char *buf_str(const struct buf *b);

#define AUTO_BUF CLEANUP(buf_done)

#endif
