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
    SPEC_PRIORITY_MAX = 1000, /* and -1000 */
};

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
enum spec_network { SPEC_NETWORK_EGRESS, SPEC_NETWORK_NONE };

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
    struct {
        int64_t cpus_milli; /* 0: no ceiling */
        int64_t memory_bytes, pids, shm_bytes, nofile, log_bytes;
        struct spec_tmpfs *tmpfs;
        size_t tmpfs_count;
    } limits;
    struct {
        int64_t queue_ms, pull_ms, start_ms, run_ms; /* 0: none (queue only) */
    } deadlines;
    struct {
        int signal; /* 0: the image's STOPSIGNAL, else SIGTERM */
        int64_t grace_ms;
    } stop;
    enum spec_pull pull;
    enum spec_network network;
    struct {
        bool read_only, caps_none;
        struct spec_list cap_add;
    } hardening;
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
    int64_t default_grace_ms, max_grace_ms;
    /* Names, separated by commas, that cap_add may ask for beyond the default set. "ALL": any; NULL: none. */
    const char *allowed_caps;
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
/* Every field that the parser knows, as a JSON pointer; not available: recognised, but refused in this
 * version. For checking the documentation against the parser. */
void spec_each_field(void (*visit)(const char *pointer, bool available, void *arg), void *arg);
void spec_free(struct spec *spec);

static inline void spec_free_p(struct spec **spec) {
    spec_free(*spec);
}
#define AUTO_SPEC CLEANUP(spec_free_p)
#define AUTO_FAULTS CLEANUP(spec_faults_done)

#endif
