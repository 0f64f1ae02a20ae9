/*
 * judge - whether something on the engine that bears our labels belongs to anything. Pure.
 *
 * Only asked about things of our cluster and our instance. Its question is whether the attempt that the
 * labels name is live: it has a directory on this host (made before, and removed after, anything on the
 * engine), or the database knows it as not ended.
 */
#ifndef BERTH_REAPER_JUDGE_H
#define BERTH_REAPER_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    JUDGE_PROBE_AGE_MAX_S = 120, /* a start-up probe that is older was left behind */
};

struct judge_thing {
    const char *role, *job, *attempt; /* values of the labels; NULL: not there */
    int64_t age_s;
};

/* Whether the attempt of this directory name is live. */
typedef bool judge_live(const void *arg, const char *name);

/* NULL: it stays. Else why it goes, as a sentence's end ("its attempt … is not known"), constant text. */
const char *judge_orphan(const struct judge_thing *thing, judge_live *live, const void *arg);

#endif
