#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/units.h"
#include "proto/launch.h"
#include "proto/spec_private.h"

/* What the kernel and the engine can take, whatever the operator allows. */
enum {
    CPUS_MILLI_MIN = 10, /* a CFS quota below 1 ms is refused by the kernel */
    CPUS_MILLI_MAX = 8192 * 1000,
    MEMORY_BYTES_MIN = 6 * 1024 * 1024, /* the engine refuses less */
    PIDS_MIN = 2,                       /* init and the command */
    PIDS_MAX = 4194304,                 /* PID_MAX_LIMIT on 64 bits */
    PAGE_BYTES = 4096,
    NOFILE_MIN = 64,      /* init and a shell need some */
    NOFILE_MAX = 1048576, /* fs.nr_open as the kernel sets it */
    LOG_BYTES_MIN = 1024,
};
#define SIZE_BYTES_MAX (INT64_C(1) << 50)

#define RANGE(name, min_, max_, ceiling_, setting_, format_)                                                 \
    const struct spec_range spec_##name##_range = {.min = (min_),                                            \
                                                   .max = (max_),                                            \
                                                   .ceiling = offsetof(struct spec_policy, ceiling_),        \
                                                   .setting = (setting_),                                    \
                                                   .format = (format_)}
RANGE(cpus, CPUS_MILLI_MIN, CPUS_MILLI_MAX, max_cpus_milli, "BERTH_MAX_CPUS", units_format_milli);
RANGE(memory, MEMORY_BYTES_MIN, SIZE_BYTES_MAX, max_memory_bytes, "BERTH_MAX_MEMORY", units_format_size);
RANGE(pids, PIDS_MIN, PIDS_MAX, max_pids, "BERTH_MAX_PIDS", spec_format_count);
RANGE(shm, PAGE_BYTES, SIZE_BYTES_MAX, max_shm_bytes, "BERTH_MAX_SHM", units_format_size);
RANGE(nofile, NOFILE_MIN, NOFILE_MAX, max_nofile, "BERTH_MAX_NOFILE", spec_format_count);
RANGE(log, LOG_BYTES_MIN, SIZE_BYTES_MAX, max_log_bytes, "BERTH_MAX_LOG", units_format_size);
RANGE(tmpfs, PAGE_BYTES, SIZE_BYTES_MAX, max_tmpfs_bytes, "BERTH_MAX_TMPFS", units_format_size);
RANGE(queue, 1, SPEC_DURATION_MS_MAX, max_queue_ms, "BERTH_MAX_QUEUE", units_format_duration);
RANGE(pull, 1, SPEC_DURATION_MS_MAX, max_pull_ms, "BERTH_MAX_PULL", units_format_duration);
RANGE(start, 1, SPEC_DURATION_MS_MAX, max_start_ms, "BERTH_MAX_START", units_format_duration);
RANGE(run, 1, SPEC_DURATION_MS_MAX, max_run_ms, "BERTH_MAX_RUN", units_format_duration);
RANGE(idle, 0, SPEC_DURATION_MS_MAX, max_idle_ms, "BERTH_MAX_IDLE", units_format_duration);
RANGE(grace, 0, SPEC_DURATION_MS_MAX, max_grace_ms, "BERTH_MAX_GRACE", units_format_duration);

const char *spec_target_fault(const char *path) {
    static const char *const kept[] = {LAUNCH_DIR, "/proc", "/sys", "/dev"};
    if (strcmp(path, "/") == 0)
        return "must not be / itself; set hardening.read_only and name the directories that may be written";
    if (strcmp(path, "/dev/shm") == 0)
        return "has a limit of its own; set limits.shm";
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (spec_path_below(path, kept[i]))
            return "must not be below /.berth, /proc, /sys or /dev";
    return NULL;
}

static bool tmpfs_there(const struct spec_limits *limits, const char *path) {
    for (size_t i = 0; i < limits->tmpfs_count; i++)
        if (strcmp(limits->tmpfs[i].path, path) == 0)
            return true;
    return false;
}

static void add_tmpfs(struct spec_limits *limits, char *path, int64_t bytes) {
    size_t n = limits->tmpfs_count;
    limits->tmpfs = mem_realloc(limits->tmpfs, (n + 1) * sizeof *limits->tmpfs);
    limits->tmpfs[n] = (struct spec_tmpfs){.path = path, .bytes = bytes};
    limits->tmpfs_count = n + 1;
}

void spec_limits_done(struct spec_limits *limits) {
    for (size_t i = 0; i < limits->tmpfs_count; i++)
        free(limits->tmpfs[i].path);
    free(limits->tmpfs);
}

int64_t spec_tmpfs_bytes(const struct spec_limits *limits) {
    int64_t sum = 0;
    for (size_t i = 0; i < limits->tmpfs_count; i++)
        sum += limits->tmpfs[i].bytes; /* at most SPEC_TMPFS_MAX times SIZE_BYTES_MAX */
    return sum;
}

/* Checked together too: the ceiling bounds what a job can hold in memory this way. */
static void check_tmpfs_sum(struct spec_reader *r, const struct spec_at *at,
                            const struct spec_limits *limits) {
    int64_t ceiling = r->policy->max_tmpfs_bytes;
    char text[UNITS_TEXT_MAX];
    if (ceiling && spec_tmpfs_bytes(limits) > ceiling)
        spec_fault(r->faults, at,
                   "all together are over the ceiling of %s that the operator has set (BERTH_MAX_TMPFS)",
                   units_format_size(ceiling, text));
}

static void read_tmpfs(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                       const struct spec_field *field) {
    struct spec_limits *limits = r->base;
    const char *key;
    json_t *member;
    if (!json_is_object(value)) {
        spec_fault(r->faults, at, "must be an object such as {\"/tmp\": \"64m\"}, not %s",
                   spec_type_name(value));
        return;
    }
    if (json_object_size(value) > SPEC_TMPFS_MAX) {
        spec_fault(r->faults, at, "has %zu members; at most %d are allowed", json_object_size(value),
                   SPEC_TMPFS_MAX);
        return;
    }
    json_object_foreach((json_t *)value, key, member) {
        struct spec_at here = {.parent = at, .key = key};
        AUTO_FREE char *path = spec_path(r, &here, key);
        const char *fault = path ? spec_target_fault(path) : NULL;
        if (path && !fault && tmpfs_there(limits, path))
            fault = "is there twice";
        if (fault)
            spec_fault(r->faults, &here, "%s", fault);
        int64_t bytes = spec_size(r, &here, member, field->range);
        if (path && !fault && bytes >= 0)
            add_tmpfs(limits, STEAL(path), bytes);
    }
    check_tmpfs_sum(r, at, limits);
}

static int signal_by_name(const char *name) {
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    for (int i = 1; i < NSIG; i++) {
        const char *known = sigabbrev_np(i);
        if (known && strcasecmp(name, known) == 0)
            return i;
    }
    return 0;
}

int spec_signal_parse(const char *text) {
    char *end = NULL;
    if (*text < '0' || *text > '9')
        return signal_by_name(text);
    long number = strtol(text, &end, 10);
    return !*end && number >= 1 && number <= SIGRTMAX ? (int)number : 0;
}

static void read_signal(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                        const struct spec_field *field) {
    (void)field;
    if (json_is_integer(value)) {
        json_int_t number = json_integer_value(value);
        if (number >= 1 && number <= SIGRTMAX)
            r->spec->stop.signal = (int)number;
        else
            spec_fault(r->faults, at, "%" JSON_INTEGER_FORMAT " is no signal; it must be within 1 to %d",
                       number, SIGRTMAX);
        return;
    }
    if (!json_is_string(value)) {
        spec_fault(r->faults, at, "must be a signal such as \"SIGTERM\", \"TERM\" or 15, not %s",
                   spec_type_name(value));
        return;
    }
    const char *text = spec_text(r, at, value, SPEC_STRING_MAX);
    char quote[SPEC_QUOTE_MAX];
    if (text && !(r->spec->stop.signal = spec_signal_parse(text)))
        spec_fault(r->faults, at, "\"%s\" is no signal; write a name such as \"SIGTERM\" or a number",
                   spec_quote(text, quote));
}

/* 0 asks for none, which no ceiling allows. */
static void read_idle(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field) {
    size_t before = r->faults->count;
    char text[UNITS_TEXT_MAX];
    spec_read_duration(r, at, value, field);
    if (r->faults->count == before && !*(int64_t *)spec_place(r, field) && r->policy->max_idle_ms)
        spec_fault(r->faults, at,
                   "0 means none, and that is over the ceiling of %s that the operator has set (%s)",
                   units_format_duration(r->policy->max_idle_ms, text), field->range->setting);
}

#define NUMBER(name_, read_, struct_, offset_)                                                               \
    {                                                                                                        \
        .name = #name_, .read = (read_), .offset = offsetof(struct struct_, offset_),                        \
        .range = &spec_##name_##_range                                                                       \
    }
/* What every container has. */
#define CONTAINER_LIMITS                                                                                     \
    NUMBER(cpus, spec_read_milli, spec_limits, cpus_milli),                                                  \
        NUMBER(memory, spec_read_size, spec_limits, memory_bytes),                                           \
        NUMBER(pids, spec_read_count, spec_limits, pids),                                                    \
        NUMBER(shm, spec_read_size, spec_limits, shm_bytes),                                                 \
        NUMBER(nofile, spec_read_count, spec_limits, nofile), NUMBER(tmpfs, read_tmpfs, spec_limits, tmpfs)

const struct spec_field spec_limits_fields[] = {
    CONTAINER_LIMITS,
    NUMBER(log, spec_read_size, spec_limits, log_bytes),
    {0},
};

const struct spec_field spec_service_limits_fields[] = {CONTAINER_LIMITS, {0}};

const struct spec_field spec_deadlines_fields[] = {
    NUMBER(queue, spec_read_duration, spec, deadlines.queue_ms),
    NUMBER(pull, spec_read_duration, spec, deadlines.pull_ms),
    NUMBER(start, spec_read_duration, spec, deadlines.start_ms),
    NUMBER(run, spec_read_duration, spec, deadlines.run_ms),
    NUMBER(idle, read_idle, spec, deadlines.idle_ms),
    {0},
};

const struct spec_field spec_stop_fields[] = {
    {.name = "signal", .read = read_signal},
    NUMBER(grace, spec_read_duration, spec, stop.grace_ms),
    {0},
};
