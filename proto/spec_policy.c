#include "proto/spec.h"

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define SECONDS INT64_C(1000)
#define MINUTES (60 * SECONDS)
#define HOURS (60 * MINUTES)
#define DAYS (24 * HOURS)

/* The same as the defaults of berthd's settings (orchestrator/settings.def). */
struct spec_policy spec_policy_builtin(void) {
    return (struct spec_policy){
        .default_cpus_milli = 0,
        .max_cpus_milli = 0,
        .default_memory_bytes = 512 * MIB,
        .max_memory_bytes = 1024 * GIB,
        .default_pids = 1024,
        .max_pids = 32768,
        .default_shm_bytes = 64 * MIB,
        .max_shm_bytes = 16 * GIB,
        .default_nofile = 16384,
        .max_nofile = 1048576,
        .default_log_bytes = 64 * MIB,
        .max_log_bytes = 1 * GIB,
        .max_tmpfs_bytes = 16 * GIB,
        .default_queue_ms = 0,
        .max_queue_ms = 30 * DAYS,
        .default_pull_ms = 5 * MINUTES,
        .max_pull_ms = 1 * HOURS,
        .default_start_ms = 1 * MINUTES,
        .max_start_ms = 10 * MINUTES,
        .default_run_ms = 1 * HOURS,
        .max_run_ms = 7 * DAYS,
        .default_idle_ms = 0,
        .max_idle_ms = 0,
        .default_grace_ms = 10 * SECONDS,
        .max_grace_ms = 10 * MINUTES,
        .allowed_caps = NULL,
        .bind_roots = NULL,
    };
}

struct spec_policy spec_policy_unlimited(void) {
    struct spec_policy p = spec_policy_builtin();
    p.max_cpus_milli = p.max_memory_bytes = p.max_pids = p.max_shm_bytes = p.max_nofile = p.max_log_bytes = 0;
    p.max_tmpfs_bytes = p.max_queue_ms = p.max_pull_ms = p.max_start_ms = p.max_run_ms = p.max_grace_ms = 0;
    p.max_idle_ms = 0;
    p.default_cpus_milli = p.default_queue_ms = p.default_idle_ms = 0; /* absent stays none */
    p.allowed_caps = "ALL";
    p.bind_roots = "/";
    return p;
}
