/*
 * part - one container of an attempt: the main one, or a service.
 *
 * What is the same for all of them: how it is called, which files it has in the attempt's directory, how it
 * is made, found again, started once, awaited, stopped and removed. It belongs to a job and takes from there
 * what all parts share (engine, orders, attempt, directory). Private to this folder; for job_parts.h.
 */
#ifndef BERTH_RUNNER_PART_H
#define BERTH_RUNNER_PART_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/err.h"
#include "proto/attempt.h"
#include "proto/journal.h"
#include "proto/labels.h"
#include "proto/spool.h"
#include "runner/docker/container.h"

struct job;

struct part {
    struct job *job;
    const struct spec_service *service; /* NULL: the main container */
    char container[LABELS_NAME_MAX];    /* its name on the engine */
    char image[JOURNAL_DIGEST_MAX];     /* id of the image to create from; "": not known yet */
    bool create_sent;                   /* the engine may know it */
    bool start_sent;                    /* and it may run */
    bool signaled;                      /* the stop signal reached it while it ran */
    bool signal_unsure;                 /* a call that sent one broke off: it may have reached it */
    bool stop_missed;                   /* it had ended by itself before the stop reached it */
    bool killed;                        /* it did not end within the grace, or was not given any */
    bool paused;                        /* when it was looked at last */
    bool was_paused;                    /* someone else had paused it when it was to be stopped */
    bool lost_touch;                    /* the engine broke off a wait for its end, or did not answer */
    int64_t started_us;                 /* of a container that was seen to have been started; wall clock */
    bool inspected;                     /* it was seen after its end; the engine's words about that: */
    int engine_exit_code;
    bool engine_oom_killed;
    int64_t finished_us; /* by the engine, wall clock; 0: not known */
    char engine_error[256];
};

enum part_seen {
    PART_SEEN_MISSING, /* no container of that name, or one that is not ours */
    PART_SEEN_CREATED, /* never started */
    PART_SEEN_RUNNING, /* paused counts too */
    PART_SEEN_ENDED,
};

/* service: of the job's spec, NULL for the main container; borrowed, as job is. */
void part_init(struct part *part, struct job *job, const struct spec_service *service);
/* "main", or the service's name. */
const char *part_name(const struct part *part);
/* The name of one of its files (ATTEMPT_LAUNCH, ATTEMPT_SPOOL, ATTEMPT_READY) in the attempt's directory. */
const char *part_file(const struct part *part, const char *file, char out[ATTEMPT_FILE_NAME_MAX]);
/* Whether these labels are those of this part of this very attempt. */
bool part_owns(const struct part *part, const json_t *labels);
/* What the engine says about it; asks until it answers. ret_image (may be NULL): the container's image id,
 * owned by the caller. */
enum part_seen part_look(struct part *part, char **ret_image);

/* The container exists: made now, or taken over from a runner before. mounts: beside those for init; may be
 * NULL. network: an id, or "none". cgroup_parent: "" for the engine's own. -1: evidence.fault, or err
 * (ERR_AWAY: try again). assemble.c */
struct part_place {
    const char *network;
    const char *cgroup_parent;
    const struct container_mount *mounts;
    size_t mount_count;
};
int part_create(struct part *part, const struct ctx *ctx, const struct part_place *place,
                char ret_id[ENGINE_ID_MAX], struct err *err);
/* It was started, now or before: 0; 1: it was, but ctx's deadline had passed. -1 as above. */
int part_start(struct part *part, const struct ctx *ctx, const char *id, struct err *err);

/* Waits for its end under ctx. 1: it has ended (or is gone); 0: ctx ended first. An engine that is away is
 * asked until it is back: the container goes on meanwhile. */
int part_await_end(struct part *part, const struct ctx *ctx);
/* Sends a signal, trying again as long as the engine is away and ctx lasts. 1: sent; 0: it does not run; -1:
 * not sent. */
int part_signal(struct part *part, const struct ctx *ctx, const char *signal);
/* One that someone else has paused is resumed first, since no signal but SIGKILL would reach it. Then the
 * stop signal (the image's where signal is 0), grace until grace_end_ns (CLOCK_BOOTTIME) as long as nobody
 * forces it, then the kill by init, which leaves a record, then SIGKILL, again and again
 * until it has ended: no end is told of what still runs. Notes what happened in the part. */
void part_stop(struct part *part, int signal, int64_t grace_end_ns);
/* Kills what runs, removes it, and looks whether it is gone (the removal may be under way already, asked for
 * by a runner that is dead). 0; -1: not within ctx. */
int part_remove(struct part *part, const struct ctx *ctx, struct err *err);
/* init's END record, and when it was written: 1: it is there; 0: not (yet); -1: it could not be read for
 * JOB_READ_MAX_MS (the time and err may be NULL). */
int part_end(const struct part *part, struct spool_end *ret_end, uint64_t *ret_time_us, struct err *err);
/* init has written down the command's end, and the container followed at once, as it does unless someone
 * wrote it in init's name. */
bool part_ends_by_itself(struct part *part);

#endif
