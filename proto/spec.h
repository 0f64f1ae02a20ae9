/*
 * spec - a job as its user wrote it, checked.
 *
 * One parser for every way in (HTTP, SQL, a file by hand): unknown fields are refused, every fault is told
 * with its JSON pointer (RFC 6901), all of them at once. What comes out is complete: defaults are filled in
 * and every value lies inside the operator's ceilings, so nobody behind this module checks anything again.
 * contract.md, section 2.
 */
#ifndef BERTH_PROTO_SPEC_H
#define BERTH_PROTO_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"

enum {
    SPEC_BYTES_MAX = 1024 * 1024, /* of JSON text */
    SPEC_FAULTS_MAX = 64,         /* more are counted, not told one by one */
    SPEC_NAME_MAX = 128,
    SPEC_IMAGE_MAX = 512,
    SPEC_ARGS_MAX = 4096, /* elements of command or entrypoint */
    SPEC_ENV_MAX = 1024,
    SPEC_LABELS_MAX = 64,
    SPEC_LABEL_KEY_MAX = 63,
    SPEC_LABEL_VALUE_MAX = 1024,
    SPEC_TMPFS_MAX = 16,
    SPEC_PRIORITY_MAX = 1000,   /* and -1000 */
    SPEC_SERVICES_MAX = 10,     /* with the main container and the gateway they fit into a /28 */
    SPEC_SERVICE_NAME_MAX = 24, /* bytes; a DNS label */
    SPEC_MOUNTS_MAX = 16,
    SPEC_VOLUME_NAME_MAX = 64,
    SPEC_READY_LOG_MAX = 1024, /* bytes of a regular expression */
    SPEC_READY_URL_MAX = 1024,
    SPEC_RETRY_MAX = 100, /* attempts after the first */
    SPEC_RETRY_WORDS_MAX = 64,
    SPEC_EXIT_CODES_MAX = 64,
    SPEC_KEY_MAX = 128, /* bytes of a concurrency key */
    SPEC_CONCURRENCY_MAX = 1000,
};

#define SPEC_RETRY_INFRASTRUCTURE "infrastructure" /* in retry.on: every reason that a repeat can mend */

struct spec_list {
    char **items;
    size_t count;
};
struct spec_pair {
    char *key, *value;
};
struct spec_pairs {
    struct spec_pair *items;
    size_t count;
};
struct spec_tmpfs {
    char *path; /* absolute, clean */
    int64_t bytes;
};

enum spec_pull { SPEC_PULL_MISSING, SPEC_PULL_ALWAYS, SPEC_PULL_NEVER };
enum spec_network { SPEC_NETWORK_EGRESS, SPEC_NETWORK_NONE, SPEC_NETWORK_PRIVATE };

struct spec_limits {
    int64_t cpus_milli; /* 0: no ceiling */
    int64_t memory_bytes, pids, shm_bytes, nofile;
    int64_t log_bytes; /* of the job; not set for a service */
    struct spec_tmpfs *tmpfs;
    size_t tmpfs_count;
};

struct spec_hardening {
    bool read_only, caps_none;
    struct spec_list cap_add;
};

/* When a service counts as ready. */
enum spec_ready_kind {
    SPEC_READY_DEFAULT, /* none given: the image's HEALTHCHECK where it has one, else as soon as it runs */
    SPEC_READY_TCP,
    SPEC_READY_HTTP,    /* an answer 2xx or 3xx */
    SPEC_READY_COMMAND, /* ends with 0 in the service's container */
    SPEC_READY_LOG,     /* a line of its output matches */
    SPEC_READY_HEALTH,  /* the image's HEALTHCHECK; a fault of the job where it has none */
};
struct spec_ready {
    enum spec_ready_kind kind;
    int64_t port;             /* TCP, HTTP */
    char *path;               /* HTTP: "/health?full=1" */
    struct spec_list command; /* COMMAND */
    char *log;                /* LOG: POSIX extended regular expression, checked with regcomp(3) */
};

struct spec_service {
    char *name; /* a DNS label of at most SPEC_SERVICE_NAME_MAX bytes, unique in the job, not "main" or
                   "system" */
    char *image;
    struct spec_list command; /* replaces the image's command */
    bool has_command;
    struct spec_pairs env;
    struct spec_limits limits; /* defaults and ceilings as for the main container */
    struct spec_hardening hardening;
    struct spec_ready ready;
    int64_t deadline_ms; /* from its start to its readiness */
};

enum spec_mount_type { SPEC_MOUNT_VOLUME, SPEC_MOUNT_BIND, SPEC_MOUNT_TMPFS };
struct spec_mount {
    enum spec_mount_type type;
    char *source; /* volume: its name without the tenant's prefix; bind: clean absolute path that lies, as
                     text, below one of the operator's roots (the runner looks at it again as a file);
                     tmpfs: NULL */
    char *target; /* as a tmpfs' path; no two of them the same, those of limits.tmpfs included */
    bool read_only;
    int64_t bytes; /* tmpfs: "size"; 0: none given */
};

enum spec_on_conflict { SPEC_CONFLICT_QUEUE, SPEC_CONFLICT_REJECT, SPEC_CONFLICT_CANCEL_RUNNING };

struct spec {
    char *name; /* NULL: none given */
    char *image;
    struct spec_list command; /* of `script` too: {"/bin/sh","-e","-c",script} with entrypoint set to none */
    struct spec_list entrypoint;
    bool has_command, has_entrypoint; /* told apart from empty: an empty entrypoint clears the image's */
    char *script;                     /* as given, for showing; NULL: none */
    struct spec_pairs env;
    char *workdir, *user; /* NULL: the image's */
    char *input;          /* one line of JSON without its newline; NULL: standard input is empty */
    struct spec_limits limits;
    struct {
        int64_t queue_ms, pull_ms, start_ms, run_ms, idle_ms; /* 0: none (queue and idle only) */
    } deadlines;
    struct {
        int signal; /* 0: the image's STOPSIGNAL, else SIGTERM */
        int64_t grace_ms;
    } stop;
    struct {
        int64_t max;                    /* attempts after the first; 0: no retry */
        int64_t delay_ms, max_delay_ms; /* before the first of them; before any of them */
        int64_t factor_milli;           /* of each delay to the one before it; 1000 to 100000 */
        struct spec_list on;            /* reasons, statuses (failed, errored, timed_out), "infrastructure" */
        int exit_codes[SPEC_EXIT_CODES_MAX];
        size_t exit_codes_count; /* neither on nor exit_codes given: every end but succeeded and canceled,
                                    which parsing puts into `on` */
    } retry;
    enum spec_pull pull;
    enum spec_network network; /* PRIVATE where there are services */
    struct spec_service *services;
    size_t services_count;
    struct spec_hardening hardening;
    struct spec_mount *mounts;
    size_t mounts_count;
    struct {
        char *key;   /* NULL: none; unique for a tenant */
        int64_t max; /* jobs of this key that may be under way at once */
        enum spec_on_conflict on_conflict;
    } concurrency;
    int64_t priority;
    int64_t run_at_us; /* wall clock; 0: at once */
    struct spec_pairs labels;
};

/* The operator's defaults and ceilings (BERTH_DEFAULT_*, BERTH_MAX_*); spec_policy_builtin() gives the
 * built-in. A ceiling of 0 is none; under any other, a job that names no CPUs or no queue deadline gets the
 * ceiling. */
struct spec_policy {
    int64_t default_cpus_milli, max_cpus_milli;
    int64_t default_memory_bytes, max_memory_bytes;
    int64_t default_pids, max_pids;
    int64_t default_shm_bytes, max_shm_bytes;
    int64_t default_nofile, max_nofile;
    int64_t default_log_bytes, max_log_bytes;
    int64_t max_tmpfs_bytes;
    int64_t default_queue_ms, max_queue_ms;
    int64_t default_pull_ms, max_pull_ms;
    int64_t default_start_ms, max_start_ms;
    int64_t default_run_ms, max_run_ms;
    int64_t default_idle_ms, max_idle_ms;
    int64_t default_grace_ms, max_grace_ms;
    /* Names, separated by commas, that cap_add may ask for beyond the default set. "ALL": any; NULL: none. */
    const char *allowed_caps;
    /* Absolute directories, separated by colons, below which binds may lie. "/": any; NULL: none. */
    const char *bind_roots;
};
struct spec_policy spec_policy_builtin(void);
/* No ceilings, every capability allowed: for a spec that was checked when it came in and is read back. */
struct spec_policy spec_policy_unlimited(void);

/* The capabilities that a container keeps without asking (contract.md, section 2); ended by NULL. */
extern const char *const spec_default_caps[];

struct spec_fault {
    char *pointer; /* "/limits/memory"; "" is the whole document */
    char *detail;  /* a sentence that names the value and the remedy */
};
struct spec_faults {
    struct spec_fault items[SPEC_FAULTS_MAX];
    size_t count;   /* of items */
    size_t omitted; /* beyond SPEC_FAULTS_MAX */
};
void spec_faults_done(struct spec_faults *faults);
/* "/image: is missing; /limits/pids: …" cut to `max` bytes, for a message to people. Owned by the caller. */
char *spec_faults_text(const struct spec_faults *faults, size_t max);

/* Checks a document. 0 and *ret_spec (owned by the caller), or -1 with at least one fault. */
int spec_parse(const json_t *doc, const struct spec_policy *policy, struct spec **ret_spec,
               struct spec_faults *faults);
/* Same for text of unknown quality (a row put in by SQL, a file): not JSON, too long, duplicate keys are
 * faults too. */
int spec_parse_text(const char *text, size_t len, const struct spec_policy *policy, struct spec **ret_spec,
                    struct spec_faults *faults);
/* The complete spec in the form of the contract, defaults filled in; parses back to an equal spec. */
json_t *spec_to_json(const struct spec *spec);
/* Its labels alone, as JSON text: what berth.jobs has them as. Owned by the caller. */
char *spec_labels_text(const struct spec *spec);
/* The words of concurrency.on_conflict by enum spec_on_conflict, as berth.jobs has them; ended by NULL. */
extern const char *const spec_conflict_words[];
/* What the job needs in all its containers together, services included. */
int64_t spec_memory_bytes(const struct spec *spec);
int64_t spec_cpus_milli(const struct spec *spec); /* 0 when any of them has no ceiling */
/* Every field that the parser knows, as a JSON pointer (of an array's elements: of the first one); not
 * available: recognised, but refused in this version. For checking the documentation against the parser. */
void spec_each_field(void (*visit)(const char *pointer, bool available, void *arg), void *arg);
void spec_free(struct spec *spec);

static inline void spec_free_p(struct spec **spec) {
    spec_free(*spec);
}
#define AUTO_SPEC CLEANUP(spec_free_p)
#define AUTO_FAULTS CLEANUP(spec_faults_done)

#endif
