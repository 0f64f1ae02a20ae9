/*
 * job - one attempt, from whatever state its directory is in to its end.
 *
 * What was done stands in the journal, what is there the engine says; every step looks at both and goes on
 * from there, so the first run and one after a crash are the same code. A container is started at most once
 * for an attempt: its name follows from job and attempt, and it is started only after its creation has been
 * journaled. Services (services.h) are not journaled but found by name; the main container is started when
 * all of them are ready, and outlived by all of them. No end is made up: as long as the engine cannot be
 * asked about a container that may run, it is asked again.
 *
 * Deadlines before the start: deadlines.pull for all images together; deadlines.start from there to the start
 * of the main container, standing still while services get ready, for which each has a deadline of its own.
 */
#ifndef BERTH_RUNNER_JOB_H
#define BERTH_RUNNER_JOB_H

#include "base/err.h"
#include "proto/journal.h"
#include "runner/docker/engine.h"
#include "runner/orders.h"

enum {
    JOB_AWAY_MAX_MS = 60 * 1000,   /* an engine is waited for before each step to the start (patience.h) */
    JOB_BACKOFF_FIRST_MS = 100,    /* between two tries to reach it; doubles */
    JOB_BACKOFF_MAX_MS = 5 * 1000, /* up to this */
    JOB_CALL_MAX_MS = 20 * 1000,   /* one short call to the engine (inspect, kill, network) */
    JOB_READ_MAX_MS = 10 * 1000,   /* for a file of ours that cannot be read at once */
    JOB_WAIT_MAX_MS = 30 * 1000,  /* the engine's own word that a container has ended; then it is looked at */
    JOB_SETTLE_MAX_MS = 2 * 1000, /* from init's END record to the end of the container */
    JOB_INIT_KILL_WAIT_MS = 10 * 1000, /* to tell init to kill all others, and again for it to do so and write
                                          the end; then it is killed, too, and the log has no end */
    JOB_KILL_WAIT_MS = 10 * 1000,      /* from SIGKILL to asking again */
    JOB_KILL_TELL_MS = 60 * 1000,      /* so long killed in vain: the job's log says so */
    JOB_CLEAN_MAX_MS = 60 * 1000,      /* for all of the clean-up; what is left then is the reaper's */
    JOB_GROUP_PAUSE_MAX_MS = 1600,     /* the longest back-off for a control group that is not empty yet */
};

struct job_place {
    const char *attempts_dir; /* absolute, and the same path for the engine */
    const char *state_dir;    /* what no job may bind; NULL: nothing is known of it */
    const char *name;         /* "<job id>.<attempt>" */
    const char *init_path;    /* absolute path of the static berth-init, likewise */
    int locks_fd;  /* a directory that all runners of this host share: images and networks take turns */
    bool licensed; /* no command is begun before the parent says that it may (license.h) */
    const char *network_pool;  /* BERTH_NETWORK_POOL */
    const char *bind_roots;    /* BERTH_BIND_ROOTS; NULL: none */
    const char *docker_config; /* BERTH_DOCKER_CONFIG; NULL: no credentials */
    const char *cgroup_group;  /* the group over all jobs (runner/limits/limits.h); NULL, "": there is none */
};

struct job;

/* Locks and reads the directory. ERR_AWAY: another process holds the lock. engine, orders and what place
 * points to are borrowed until job_close(). */
int job_open(const struct job_place *place, struct engine *engine, struct orders *orders,
             struct job **ret_job, struct err *err);
/* Drives it to its end. 0: the journal has `cleaned`. -1: the state is as the journal says, and another
 * runner may go on (journal not writable). */
int job_run(struct job *job, struct err *err);
const struct attempt *job_attempt(const struct job *job);
const struct journal *job_journal(const struct job *job); /* of a job that has run: its verdict */
void job_close(struct job *job);

static inline void job_close_p(struct job **job) {
    job_close(*job);
}
#define AUTO_JOB CLEANUP(job_close_p)

#endif
