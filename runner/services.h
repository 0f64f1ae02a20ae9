/*
 * services - the containers beside the main one: started before it, ready before it starts, stopped after it.
 *
 * A service is found again by its name, nothing about it is journaled: missing, it is made; made, it is
 * started; running, its readiness is looked at; ended, the job has failed. That one has become ready is what
 * its init says in its `ready` file; that one has ended is noticed when its spool is closed, since init is
 * its only writer. Both wake whatever the runner waits for (orders_stir()). Private to this folder.
 */
#ifndef BERTH_RUNNER_SERVICES_H
#define BERTH_RUNNER_SERVICES_H

#include "proto/launch.h"
#include "runner/part.h"

enum {
    SERVICES_GRACE_MAX_MS = 10 * 1000, /* of one service, after the end of the main container */
    SERVICES_TELL_MS =
        5 * 1000,             /* so long not ready: its reason is told in the system stream; then doubled */
    SERVICES_TAIL_LINES = 10, /* of its output, in the message about its failure */
    SERVICES_TAIL_BYTES = 600,
    SERVICES_LOOK_FIRST_MS =
        50,             /* from the closing of a spool to the second look at its container; doubles */
    SERVICES_LOOKS = 6, /* so often is looked: the engine notices an end after the kernel, but it does */
    SERVICES_UNWATCHED_MS = 500, /* between two looks where nothing wakes us, for want of inotify */
};

struct service {
    struct part part;
    int spool_watch, ready_watch; /* inotify's numbers; 0: none */
    int looks; /* so often is it still looked at: its spool was closed, or nobody has looked */
    int64_t look_ns, pause_ms; /* when next, and how long after that */
    bool ready;
    int64_t started_ns;    /* CLOCK_BOOTTIME; its deadline counts from here */
    int64_t tell_after_ms; /* when its reason is told next */
};

struct services {
    struct service *items; /* in the order of the spec */
    size_t count;
    int notify_fd; /* -1: not watched yet */
    bool unwatched;
    bool from_outside; /* the one that failed was killed by someone else, who may have killed the main one,
                          too */
};

void services_open(struct job *job);
void services_close(struct job *job);

/* All of them are created and have been started, in the order of the spec. -1: evidence.fault, or err
 * (ERR_AWAY: try again). */
int services_start(struct job *job, struct err *err);
/* All of them are ready. The start deadline stands still meanwhile. -1 as above; service_not_ready and
 * service_failed are faults. */
int services_await_ready(struct job *job, struct err *err);
/* Begins to notice what happens to them. */
void services_watch(struct job *job);
/* Whether one of them has ended while the job runs, with evidence.stop_text saying which and how. Asks the
 * engine only where something points to it, or when this runner has not looked yet. */
bool services_failed(struct job *job);
/* When services_failed() has to be asked again at the latest, CLOCK_BOOTTIME; CTX_NEVER. */
int64_t services_next_ns(const struct job *job);
/* None of them runs any more: stop signal and a short grace, in reverse order. */
void services_stop(struct job *job);
/* Sum over all of them that were started; -1 where nothing is known. false: of one there is no record. */
bool services_usage(const struct job *job, struct usage *ret_usage);
/* As part_remove(), for all of them. */
int services_remove(struct job *job, const struct ctx *ctx, struct err *err);

#endif
