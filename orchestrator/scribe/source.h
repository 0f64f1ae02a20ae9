/*
 * source - one spool of an attempt as the scribe reads it.
 *
 * A job may write faster than anybody can hash and store. So a source that lies far behind counts ahead,
 * going from header to header, how much output waits in the file; the pack then skips what is certain to
 * slide out of the pack's window. When more than SOURCE_BACKLOG_MAX waits, that part is not even read, and
 * the log has no hash. What was taken over is given back to the disk after each commit. All work of one visit
 * is bounded in time.
 *
 * The job can write into its own spool and even shorten it: what was counted may then not come. Such a log
 * has a gap that is longer than it need be, and nothing else.
 */
#ifndef BERTH_SCRIBE_SOURCE_H
#define BERTH_SCRIBE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "orchestrator/scribe/pack.h"
#include "proto/spool.h"

enum {
    SOURCE_PUNCH_BYTES = 1024 * 1024, /* so much taken over is given back to the disk at once */
    SOURCE_BACKLOG_MAX =
        256 * 1024 * 1024, /* so much may wait before what will slide out is passed over unread */
    SOURCE_COUNT_MS = 30,  /* of one visit: counting ahead, … */
    SOURCE_TAKE_MS = 60,   /* … and reading */
};

struct source {
    int fd;          /* -1: the spool is not there yet */
    int64_t punched; /* given back to the disk up to here */
    /* Output known to lie in whole records between the position in the database and counted_to. */
    int64_t counted, counted_to;
};

/* Opens the spool where it is there by now. ERR_INVALID: it is no regular file. */
int source_open(struct source *source, int dir_fd, const char *file, struct err *err);
void source_close(struct source *source);
/* Bytes that lie behind this position; 0 when there is no spool; 1 when nobody can tell now, so that who
 * takes them meets the error. */
int64_t source_unread(const struct source *source, int64_t raw_pos);
/* Nothing is known about what lies behind this position (any more). */
void source_reset(struct source *source, int64_t raw_pos);

enum source_end {
    SOURCE_END,  /* all there is was taken */
    SOURCE_TORN, /* but for an incomplete record at the end */
    SOURCE_MORE, /* time or share were used up */
};
/* Takes what is new into the pack, as its source number `which` of `shares`. final: nothing is added any
 * more. -1: it cannot be read. */
int source_take(struct source *source, struct pack *pack, unsigned which, unsigned shares, bool final,
                struct err *err);
/* The pack's positions were committed. */
void source_committed(struct source *source, const struct pack *pack, unsigned which);

/* Whether init's END record stands at the end of the spool, and says that so much output was written. 1, 0,
 * or -1: it cannot be read now. */
int source_is_complete(const struct source *source, int64_t raw_pos, int64_t output_bytes, struct err *err);
int source_has_end(const struct source *source, struct err *err);

#endif
