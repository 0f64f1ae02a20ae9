/*
 * walk - goes over the records of a spool without reading what they hold: from header to header.
 *
 * Large records cost one small read each. What is garbage or lost to spool_next() is so here, too.
 */
#ifndef BERTH_SCRIBE_WALK_H
#define BERTH_SCRIBE_WALK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { WALK_WINDOW_BYTES = 4096 };

struct walk {
    int fd;
    int64_t pos, size; /* of the next record, of the file: what is added later is not looked at */
    int64_t window_pos;
    size_t window_len;
    unsigned char window[WALK_WINDOW_BYTES];
};

struct walk_piece {
    int64_t raw_bytes;
    int64_t output_bytes; /* of an output record; else 0 */
    int64_t lost_bytes;   /* what is no record, or what a record says was lost; else 0 */
};

void walk_begin(struct walk *walk, int fd, int64_t pos, int64_t size);
/* 1: *ret is the piece at walk->pos, and walk_over goes behind it; 0: no whole record is left; -1: errno in
 * err. */
int walk_look(struct walk *walk, struct walk_piece *ret, struct err *err);
/* Where the hole that begins at `pos` ends, at most at `size` (of the file, asked before); `pos`: there is
 * none. A job can make its spool longer than what lies in it, at no cost, and no record begins in a hole. */
int64_t walk_hole(int fd, int64_t pos, int64_t size);
void walk_over(struct walk *walk, const struct walk_piece *piece);

#endif
