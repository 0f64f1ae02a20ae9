/*
 * judge - whether something that bears our labels, or lies in the state directory, belongs to anything. Pure.
 *
 * A thing on the engine is ours to judge when it is of our cluster and of this instance, or of one that the
 * database knows to be dead. The question is then whether the attempt that its labels name is live: it has a
 * directory on this host (made before, and removed after, anything on the engine), or the database knows it
 * as not ended. What was made after the sweep began is never touched.
 *
 * What is answered is NULL: it stays; or why it goes, as a sentence's end, constant text.
 */
#ifndef BERTH_REAPER_JUDGE_H
#define BERTH_REAPER_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    JUDGE_PROBE_AGE_MAX_S = 120, /* a start-up probe that is older was left behind */
    JUDGE_FILE_AGE_MAX_S = 3600, /* files of the state directory that nobody has touched for so long */
    JUDGE_FRESH_US = 1000000,    /* the engine tells the time of a container's making in whole seconds */
};

struct judge_thing {
    const char *instance, *role, *job, *attempt; /* values of the labels; NULL: not there */
    int64_t created_us;                          /* since 1970; 0: not known */
};

/* What is known of the other sides. */
struct judge_view {
    int64_t began_us; /* when the sweep began, before the engine was asked */
    const char *instance;
    bool no_probe; /* this instance's berthd has proved the engine: none of its start-up probes is at work */
    bool (*is_live)(const void *arg, const char *attempt);  /* the attempt of this directory name */
    bool (*is_dead)(const void *arg, const char *instance); /* for good, and none of its attempts goes on */
    bool (*is_over)(const void *arg, const char *job);      /* the whole job */
    const void *arg;
};

/* A container or a network. */
const char *judge_orphan(const struct judge_thing *thing, const struct judge_view *view);
/* A volume. A tenant's named one lasts; one of an attempt goes with it, one of a job with the job; what bears
 * neither label stays, it may hold somebody's data. */
const char *judge_volume(const struct judge_thing *thing, const struct judge_view *view);

/* The state directory's files, by their names there. age_s: since they were last written. */
const char *judge_unnamed(const char *name, int64_t age_s); /* in attempts/ */
const char *judge_lock(const char *name, int64_t age_s);    /* in locks/; for one that nobody holds */
const char *judge_probe(const char *name, int64_t age_s);   /* in probe/ */
/* In bin/. current: the copy that containers are made with, "" when that is not known; used: a container has
 * it. */
const char *judge_init(const char *name, const char *current, bool used, int64_t age_s);

#endif
