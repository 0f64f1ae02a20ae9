/*
 * job_parts - what the files of one job's straight line share: job.c (the line), prepare.c (images,
 * surroundings, files), assemble.c (containers' bodies, creation, start), part.c (what is done with any
 * container), services.c, run.c (wait, stop). Private to this folder.
 */
#ifndef BERTH_RUNNER_JOB_PARTS_H
#define BERTH_RUNNER_JOB_PARTS_H

#include "proto/attempt.h"
#include "proto/labels.h"
#include "runner/argv.h"
#include "runner/docker/container.h"
#include "runner/job.h"
#include "runner/limits/limits.h"
#include "runner/mounts.h"
#include "runner/net/net.h"
#include "runner/part.h"
#include "runner/services.h"
#include "runner/verdict.h"

struct job {
    struct engine *engine;
    struct orders *orders;
    struct job_place place; /* its texts belong to job_open()'s caller */
    char *dir;              /* the attempt's directory, absolute */
    int dir_fd;             /* holds the lock */
    bool resumed;           /* a runner before this one may have made containers */
    struct attempt *attempt;
    struct journal journal;
    struct evidence evidence;
    struct part main;
    struct services services;
    struct mounts mounts; /* of the main container */
    int image_fds[1 +
                  SPEC_SERVICES_MAX]; /* keep the images of main and services there (proto/pulled.h); -1 */
    char network[ENGINE_ID_MAX];
    char cgroup[LIMITS_GROUP_MAX]; /* the attempt's group, as parent of its containers; "": none */
    bool group_refused;            /* the host does not allow one: said once */
    int64_t start_by_ns;           /* the start deadline, CLOCK_BOOTTIME; 0: creating has not begun */
    enum reason stage;             /* which deadline the context of the present step has */
    bool journal_broken;           /* nothing can be recorded: stop here, another runner goes on */
};

/* --- job.c --- */

/* Appends a step to the journal (takes the reference). -1 also sets journal_broken. */
int job_note(struct job *job, enum journal_step step, json_t *fields, struct err *err);
/* Records why the command cannot run. Always -1. */
int job_fault(struct job *job, enum reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The engine's API version is agreed on: once per runner; what was done before this one came, it has to agree
 * on anew. */
int job_agree(struct job *job, const struct ctx *ctx, struct err *err);
/* Waits a little longer with every call; *pause_ms begins with 0. Ends early with *until (NULL: never). */
void job_back_off(struct job *job, const struct ctx *until, int64_t *pause_ms);

/* --- prepare.c --- */

/* All images there and journaled; group, network and mounts made; launch, input, spool and ready files
 * written. What is there already stays. -1: evidence.fault, or err (ERR_AWAY: try again). */
int job_prepare(struct job *job, struct err *err);
/* Which network the job's private one is, for making and removing it. */
struct net_place job_net_place(const struct job *job);
/* Sets what the attempt's group would be called, without making it. */
void job_name_group(struct job *job);
/* Below job->orders->live, under the start deadline, which begins with the first call. */
struct ctx job_start_ctx(struct job *job);

/* --- assemble.c --- */

/* The container exists and is journaled; one that was made before is taken over. -1 as above. */
int job_create(struct job *job, struct err *err);
/* The container was started, now or before, and that is journaled. -1 as above. */
int job_start(struct job *job, struct err *err);
/* A start by a runner before this one, which did not live to write it down, is journaled now: a cancel that
 * has come meanwhile is no reason to say that the command was not started. -1: the journal is broken. */
int job_take_over_start(struct job *job, struct err *err);

/* --- run.c --- */

/* From the start to the confirmed end. -1: the journal is broken. */
int job_watch(struct job *job, struct err *err);

#endif
