/*
 * feed - one attempt's directory as the scribe sees it: its journal, its spools, and how far the database has
 * them.
 *
 * No SQL and no event loop here. What the database knows is loaded into `at` by batch.c; everything else is
 * read anew from the directory, so a feed can be dropped and opened again at any moment.
 */
#ifndef BERTH_SCRIBE_FEED_H
#define BERTH_SCRIBE_FEED_H

#include "base/cleanup.h"
#include "base/err.h"
#include "orchestrator/db/ship.h"
#include "orchestrator/scribe/pack.h"
#include "orchestrator/scribe/source.h"
#include "proto/attempt.h"
#include "proto/journal.h"

enum {
    FEED_BEHIND_BYTES = 256 * 1024,  /* with more than this to read, others go first */
    FEED_WINDOW_BYTES = 1024 * 1024, /* of a log with a small limit, as pack_window_begin() has it */
    FEED_WINDOW_MS = 200,            /* what the end takes away of such a log is there for so long before */
};

enum feed_state {
    FEED_NEW, /* what the database has of it is not known (any more) */
    FEED_LIVE,
    FEED_GONE,   /* the database has its end, or it is not ours: the directory is to go */
    FEED_BROKEN, /* its `spec` or its row cannot be read, or it is of another database: left alone, for people
                  */
};

struct feed {
    char name[ATTEMPT_NAME_MAX];
    enum feed_state state;
    int dir_fd;
    struct source sources[PACK_SOURCES_MAX]; /* PACK_MAIN, PACK_SYSTEM, PACK_SERVICE … */
    unsigned source_count;
    struct attempt *attempt;
    char *services;      /* their names, as ship_key has them */
    struct ship_key key; /* borrows from attempt and services */
    int64_t log_limit;
    int freed;               /* earlier attempts that never started, as ship_attempt has it */
    struct pack_position at; /* what the database has */
    struct journal journal;
    int64_t moved_ms;      /* CLOCK_BOOTTIME, when bytes were stored last, or may have been */
    size_t told;           /* bytes of the journal that the database has */
    bool ended_here;       /* FEED_GONE because we have told the end: nobody works on it any more */
    bool fenced;           /* FEED_GONE because the database does not know it with this token */
    bool dirty;            /* something may be new */
    int64_t not_before_ns; /* CLOCK_BOOTTIME; after the database refused even its end, or as its end waits */
    char *poison;          /* the database's words when it refused this attempt; NULL: it did not */
    struct err untold; /* why its job could not even be canceled then; ERR_NONE: it was, or this was logged */

    struct pack *pack;    /* this batch's share; NULL outside one */
    bool final;           /* the journal is complete: verdict and cleaned */
    bool at_end;          /* final, and the spools were read to their ends; then: */
    bool complete;        /* as feed_is_complete() has it */
    void *owner, *source; /* the loop's business: itself, and its inotify source */
};

/* Never fails for what lies in the directory (FEED_BROKEN then, with err for the log); -1 when it cannot be
 * opened or read now. */
int feed_open(int attempts_fd, const char *name, struct feed **ret_feed, struct err *err);
void feed_free(struct feed *feed);

/* Takes over what the database knows. */
void feed_load(struct feed *feed, const struct ship_attempt *known);

/* Bytes that wait in the spools that were met so far. */
int64_t feed_unread(const struct feed *feed);
/* Reads what is new into feed->pack: Berth's own words first, then the services', then the main container's,
 * each within a share of its own. 1: there is something to tell; 0: nothing. *ret_more: there is more than
 * this. */
int feed_fill(struct feed *feed, bool *ret_more, struct err *err);
/* Whether what was filled moves a position. */
bool feed_moved(const struct feed *feed);
/* The batch's share was committed. */
void feed_committed(struct feed *feed);
void feed_drop_pack(struct feed *feed);
/* Whether init's END record is there and counts as many bytes as were read, or nothing was ever started; and
 * the same of every service that has one. 1, 0, or -1: nobody can tell now. */
int feed_is_complete(const struct feed *feed, struct err *err);

/* Removes the directory unless a runner still works on it, or nobody can tell. 1: gone; 0: not yet. */
int feed_remove(struct feed *feed, int attempts_fd, struct err *err);
/* Finishes removals that a crash has cut short. */
void feed_sweep(int attempts_fd);

#endif
