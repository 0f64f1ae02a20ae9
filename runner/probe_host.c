#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/units.h"
#include "runner/docker/system.h"
#include "runner/net/net.h"
#include "runner/probe.h"

static bool reads(const json_t *settings, const char *key, const char *word) {
    const char *text = json_get_string(settings, key);
    return text && strcmp(text, word) == 0;
}

void probe_take_settings(struct probe *probe, const json_t *settings) {
    const char *memory = json_get_string(settings, "memory"), *cpus = json_get_string(settings, "jobs_cpus");
    probe->cgroups = reads(settings, "cgroups", "on");
    probe->egress_filter = reads(settings, "egress_filter", "on");
    probe->egress_open = reads(settings, "egress_filter", "off");
    probe->egress_allow = json_get_string(settings, "egress_allow");
    if (memory)
        units_parse_size_bytes(memory, &probe->memory_bytes, NULL);
    if (cpus)
        units_parse_milli(cpus, &probe->jobs_cpus_milli, NULL);
}

static void warn(char warning[PROBE_WARNING_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void warn(char warning[PROBE_WARNING_MAX], const char *fmt, ...) {
    size_t len = strlen(warning);
    va_list args;
    if (len && len + 1 < PROBE_WARNING_MAX)
        warning[len++] = ' ';
    va_start(args, fmt);
    vsnprintf(warning + len, PROBE_WARNING_MAX - len, fmt, args);
    va_end(args);
}

static int bound_jobs(const struct probe *probe, struct engine *engine, const struct ctx *ctx,
                      char group[LIMITS_GROUP_MAX], struct err *err) {
    struct system_info info;
    if (system_info(engine, ctx, &info, err) < 0)
        return -1;
    struct limits_bound bound = {.memory_bytes = probe->memory_bytes,
                                 .cpus_milli = probe->jobs_cpus_milli,
                                 .systemd = strcmp(info.cgroup_driver, "systemd") == 0,
                                 .instance = probe->instance};
    if (!bound.systemd && strcmp(info.cgroup_driver, "cgroupfs") != 0)
        return err_set(err, ERR_AWAY, 0, "the engine makes no control groups (its driver is \"%s\")",
                       info.cgroup_driver);
    return limits_setup(&bound, group, err);
}

static int close_host(const struct probe *probe, struct engine *engine, const struct ctx *ctx,
                      struct err *err) {
    if (!net_filter_reaches(engine, ctx))
        return err_set(
            err, ERR_AWAY, 0,
            "berthd is not in the network namespace of the engine's bridges (docker run --network=host)");
    return net_filter_set(probe->cluster, true, probe->egress_allow, err);
}

void probe_host(const struct probe *probe, struct engine *engine, const struct ctx *ctx,
                char group[LIMITS_GROUP_MAX], char warning[PROBE_WARNING_MAX]) {
    struct err err = {0};
    group[0] = warning[0] = '\0';
    if (probe->cgroups && bound_jobs(probe, engine, ctx, group, &err) < 0)
        warn(warning,
             "Nothing bounds all jobs together, and none has a control group of its own, only the engine's "
             "limits for "
             "each container: %.300s. Let berthd write the control groups of the engine's host, or set "
             "BERTH_CGROUPS=off if that is meant to be.",
             err.text);
    if (probe->egress_open)
        net_filter_set(probe->cluster, false, NULL,
                       NULL); /* where that is not allowed, there are no rules of ours */
    if (probe->egress_filter && close_host(probe, engine, ctx, &err) < 0)
        warn(warning,
             "Jobs can reach the ports of the engine's host and 169.254.0.0/16: %.300s. Give berthd "
             "CAP_NET_ADMIN in "
             "the network namespace of that host, or keep jobs from it by rules of your own and set "
             "BERTH_EGRESS_FILTER=off.",
             err.text);
}
