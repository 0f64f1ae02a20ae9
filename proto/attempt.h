/*
 * attempt - one attempt of a job is one directory.
 *
 * <state>/attempts/<job id>.<attempt>/
 *   spec     what is to be done (struct attempt), JSON; there before the directory gets its name
 *   launch   for berth-init (proto/launch.h); written by the runner
 *   input    the job's standard input; written by the runner
 *   spool    output and end (proto/spool.h); made empty by the runner (0666), written by berth-init
 *   journal  what the runner did (proto/journal.h)
 *   spool.system, and for each service launch.<service>, spool.<service>, ready.<service> (proto/launch.h)
 *
 * A flock on the directory keeps a second runner out. The parent makes it under a name beginning with '.',
 * and renames: whoever lists the directory sees only whole attempts. The scribe removes it when Postgres has
 * confirmed all of it. The directory above, <state>/attempts, can be entered by root only.
 */
#ifndef BERTH_PROTO_ATTEMPT_H
#define BERTH_PROTO_ATTEMPT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "proto/spec.h"

#define ATTEMPT_DIR "attempts"
#define ATTEMPT_SPEC "spec"
#define ATTEMPT_LAUNCH "launch"
#define ATTEMPT_INPUT "input"
#define ATTEMPT_SPOOL "spool"
#define ATTEMPT_JOURNAL "journal"
#define ATTEMPT_SYSTEM                                                                                       \
    "spool.system" /* what the runner itself has to say in the log; records of SPOOL_SYSTEM */
#define ATTEMPT_READY "ready"

enum {
    ATTEMPT_ID_MAX = 37,
    ATTEMPT_NAME_MAX = 64,
    ATTEMPT_NUMBER_MAX = 1000,
    ATTEMPT_FILE_NAME_MAX = 40, /* "journal" with a "." and SPEC_SERVICE_NAME_MAX */
    ATTEMPT_FILE_MAX = 4 * 1024 * 1024
};

struct attempt {
    char job[ATTEMPT_ID_MAX];     /* uuid */
    char cluster[ATTEMPT_ID_MAX]; /* uuid of the database schema */
    char *instance;               /* orchestrator's name */
    char *tenant;
    int number;    /* 1 … */
    int64_t id;    /* key of berth.attempts */
    int64_t token; /* fencing */
    int64_t claimed_us;
    struct spec *spec;
};

/* "<job id>.<attempt>" */
const char *attempt_dir_name(const char *job, int number, char out[ATTEMPT_NAME_MAX]);
/* -1 when it is no such name (also for those that begin with '.'). */
int attempt_parse_dir_name(const char *name, char ret_job[ATTEMPT_ID_MAX], int *ret_number);

/* "<file>" of the main container (service NULL), "<file>.<service>" of a service. */
const char *attempt_file_name(const char *file, const char *service, char out[ATTEMPT_FILE_NAME_MAX]);

/* Makes the directory with its `spec` file and gives it its name; ERR_SYS with EEXIST when there is one. */
int attempt_create(int attempts_fd, const struct attempt *attempt, struct err *err);
/* Reads `spec` of an opened attempt directory. */
int attempt_load(int dir_fd, struct attempt **ret_attempt, struct err *err);
/* Opens the directory and takes its lock. 0; -1 ERR_AWAY when another process holds it. *ret_fd keeps the
 * lock. */
int attempt_lock(int attempts_fd, const char *name, int *ret_fd, struct err *err);
void attempt_free(struct attempt *attempt);

static inline void attempt_free_p(struct attempt **attempt) {
    attempt_free(*attempt);
}
#define AUTO_ATTEMPT CLEANUP(attempt_free_p)

#endif
