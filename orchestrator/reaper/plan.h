/*
 * plan - what a sweep is going to remove, in that order: each thing with its kind, its name and the reason.
 */
#ifndef BERTH_REAPER_PLAN_H
#define BERTH_REAPER_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/* The kinds, and what they are called in logs and lists. "overdue": a container that is killed, not removed:
 * its runner, if there still is one, is to see how it ended. */
#define ORPHAN_TABLE(X)                                                                                      \
    X(CONTAINER, "container")                                                                                \
    X(OVERDUE, "overdue")                                                                                    \
    X(NETWORK, "network")                                                                                    \
    X(VOLUME, "volume")                                                                                      \
    X(CGROUP, "cgroup")                                                                                      \
    X(DIRECTORY, "directory")                                                                                \
    X(LOCK, "lock")                                                                                          \
    X(PROBE, "probe")                                                                                        \
    X(INIT, "init")                                                                                          \
    X(IMAGE, "image")                                                                                        \
    X(LOG, "log")

enum orphan_kind {
#define X(symbol, word) ORPHAN_##symbol,
    ORPHAN_TABLE(X)
#undef X
        ORPHAN_COUNT
};
const char *orphan_kind_name(enum orphan_kind kind);

struct orphan {
    enum orphan_kind kind;
    char *id;        /* for whoever removes it */
    char *name;      /* for people */
    const char *why; /* constant */
    int64_t seen;    /* of an image: when it was last used, in ns; it stays if that has changed */
};
struct plan {
    struct orphan *items;
    size_t count, room;
};

/* Copies the texts. The result is valid until the next call. */
struct orphan *plan_add(struct plan *plan, enum orphan_kind kind, const char *id, const char *name,
                        const char *why);
void plan_drop(struct plan *plan, size_t i); /* keeps the order */
void plan_done(struct plan *plan);
#define AUTO_PLAN CLEANUP(plan_done)

#endif
