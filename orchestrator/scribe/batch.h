/*
 * batch - what is new of many attempts, stored in one transaction.
 *
 * A batch that the database refuses is halved until the attempt at fault is alone; that one is given up
 * (feed->poison) and the others go on.
 */
#ifndef BERTH_SCRIBE_BATCH_H
#define BERTH_SCRIBE_BATCH_H

#include "orchestrator/scribe/feed.h"

enum {
    BATCH_FEEDS_MAX = 256,
    BATCH_BYTES_MAX = 16 * 1024 * 1024, /* of all attempts together, and one attempt's share more */
    BATCH_FILL_MS = 150,                /* then no more is read of attempts that are far behind */
};

/* feeds: filled (feed_fill returned 1). 0: each is stored, or FEED_NEW (it was not where it should be), or
 * given up. -1: the database is away or cannot do its work now; nothing is known about these feeds, all are
 * FEED_NEW. */
int batch_ship(struct db *db, const struct ctx *ctx, struct feed **feeds, size_t count, struct err *err);

/* "<job> <job> …", or "*" when that would be too long. feeds: as given to batch_ship. */
void batch_hint(struct feed *const *feeds, size_t count, struct buf *out);

#endif
