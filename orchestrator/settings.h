/*
 * settings - what berthd can be told, from one table (settings.def). Resolved once by the parent and handed
 * to its children in their first message; base/config.h gives the rules of precedence.
 */
#ifndef BERTH_SETTINGS_H
#define BERTH_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "proto/spec.h"

struct settings {
    char *database_url;
    char *listen;         /* "127.0.0.1:8710" */
    char *metrics_listen; /* unset: the same; a warning says that nothing answers on another one yet */
    char *state_dir;      /* absolute */
    char *instance;       /* resolved by the parent when unset */
    int64_t slots;        /* resolved: 2 × cores when unset (0) */
    int64_t memory_bytes; /* BERTH_MEMORY; resolved by the parent when unset (0) */
    int64_t cpus_milli;   /* BERTH_CPUS × 1000; 0: not summed */
    int64_t poll_interval_ms, lease_ms, lost_after_ms, detach_timeout_ms, drain_timeout_ms;
    bool auth;
    char *admin_token; /* resolved by the parent: made at the first start, kept in the state directory */
    char *jwt_key,
        *encryption_key; /* 32 bytes in base64; checked, used by tokens and secrets once there are any */
    char *log_level;
    char
        *gateway_user; /* whom the gateway runs as; unset: "berth" when there is such a user, else "nobody" */
    char *docker_host, *docker_tls_verify, *docker_cert_path, *docker_api_version;
    char *init_path; /* where the static berth-init lies; unset: beside berthd, then ../lib/berth */
    int64_t reap_interval_ms;
    int64_t images_high_bytes; /* 0: no image is removed */
    int64_t images_low_bytes;  /* 0: three quarters of high */
    int64_t log_retention_ms;  /* 0: for ever */
    int64_t start_timeout_ms;  /* how long database and engine may be away at the start */
    /* Defaults and ceilings of specs, one setting each. */
    int64_t default_cpus_milli, max_cpus_milli, default_memory, max_memory, default_pids, max_pids,
        default_shm, max_shm, default_nofile, max_nofile, default_log, max_log, max_tmpfs, default_queue,
        max_queue, default_pull, max_pull, default_start, max_start, default_run, max_run, default_grace,
        max_grace, default_idle, max_idle;
    char *allowed_caps;
    char *bind_roots;    /* directories separated by colons */
    char *docker_config; /* path of a docker config.json with credentials of registries */
    char *network_pool;  /* CIDR; private networks are /28 of it */
    char *
        egress_allow; /* "169.254.169.254/32:80,10.0.0.1/32": what jobs may reach of what is closed to them */
    bool egress_filter;
    int64_t jobs_cpus_milli; /* 0: none */
    bool cgroups;
};

extern const struct config_table settings_table;

/* Everything that one entry alone cannot say: adds a line to *report for each fault; returns how many. */
unsigned settings_check(const struct settings *s, struct buf *report);
/* Loads from all sources and checks. `argv`: the words behind the sub-command. ERR_USAGE; *report has every
 * fault, a line each. On failure *s still has to be freed with config_free(&settings_table, …). */
int settings_load(struct settings *s, char *const *argv, struct config_origins *ret_origins,
                  struct buf *report, struct err *err);

/* The part of the settings that the spec parser wants; borrows allowed_caps and bind_roots. */
struct spec_policy settings_policy(const struct settings *s);

#endif
