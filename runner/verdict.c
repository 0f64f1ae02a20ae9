#include "runner/verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/units.h"
#include "proto/launch.h"

enum { EXIT_NOT_FOUND = 127, EXIT_SIGNALED = 128, EXIT_KILLED = 137, SIGNAL_TEXT_MAX = 32 };

static void conclude(struct verdict *v, enum reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void conclude(struct verdict *v, enum reason reason, const char *fmt, ...) {
    v->reason = reason;
    v->status = reason == REASON_NONE ? STATUS_SUCCEEDED : reason_status(reason);
    va_list args;
    va_start(args, fmt);
    vsnprintf(v->message, sizeof v->message, fmt, args);
    va_end(args);
}

/* "9 (SIGKILL)", "40". */
static const char *signal_text(int number, char out[SIGNAL_TEXT_MAX]) {
    const char *name = sigabbrev_np(number);
    if (name)
        snprintf(out, SIGNAL_TEXT_MAX, "%d (SIG%s)", number, name);
    else
        snprintf(out, SIGNAL_TEXT_MAX, "%d", number);
    return out;
}

static struct usage usage_from_end(const struct evidence *e) {
    if (!e->end_known)
        return (struct usage){-1, -1, -1, -1, -1};
    return (struct usage){.cpu_us = e->end.cpu_us,
                          .memory_peak_bytes = e->end.memory_peak_bytes,
                          .pids_peak = e->end.pids_peak,
                          .oom_kills = e->end.oom_kills,
                          .throttled_us = e->end.throttled_us};
}

static void put_end_status(const struct evidence *e, struct verdict *v) {
    if (!e->end_known)
        return;
    if (WIFSIGNALED(e->end.wait_status))
        v->signal = WTERMSIG(e->end.wait_status);
    else if (WIFEXITED(e->end.wait_status))
        v->exit_code = WEXITSTATUS(e->end.wait_status);
}

static void decide_fault(const struct evidence *e, struct verdict *v) {
    const char *words = e->fault_text[0] ? e->fault_text : "no more is known";
    conclude(v, e->fault, "%s", words);
}

/* How the job took the stop, as the end of a sentence. */
static const char *stop_manner(const struct evidence *e, char *out, size_t max) {
    char grace[UNITS_TEXT_MAX];
    units_format_duration(e->spec->stop.grace_ms, grace);
    if (!e->started)
        snprintf(out, max, "its command was not started");
    else if (e->killed)
        snprintf(out, max, "it had to be killed (it has %s from the stop signal on, unless forced)", grace);
    else
        snprintf(out, max, "it ended within its grace of %s", grace);
    return out;
}

static void decide_stop(const struct evidence *e, struct verdict *v) {
    char figure[UNITS_TEXT_MAX];
    char manner[128];
    stop_manner(e, manner, sizeof manner);
    if (e->stop == REASON_PULL_DEADLINE)
        conclude(v, e->stop,
                 "The image \"%s\" was not there within %s. Raise deadlines.pull, or look at the registry's "
                 "speed.",
                 e->spec->image, units_format_duration(e->spec->deadlines.pull_ms, figure));
    else if (e->stop == REASON_START_DEADLINE)
        conclude(v, e->stop,
                 "The container was not started within %s. The engine is slow or overloaded; raise "
                 "deadlines.start if "
                 "that is normal here.",
                 units_format_duration(e->spec->deadlines.start_ms, figure));
    else if (e->stop == REASON_RUN_DEADLINE)
        conclude(v, e->stop,
                 "The job ran longer than its deadline of %s and was stopped; %s. Raise deadlines.run if "
                 "it needs more.",
                 units_format_duration(e->spec->deadlines.run_ms, figure), manner);
    else if (e->stop == REASON_SHUTDOWN)
        conclude(v, e->stop,
                 "The job was canceled because the orchestrator was told to end all its jobs; %s.", manner);
    else if (e->stop == REASON_SUPERSEDED)
        conclude(v, e->stop,
                 "The job was canceled in favour of a newer one with the same concurrency key; %s.", manner);
    else
        conclude(v, e->stop, "The job was canceled on request; %s.", manner);
}

static void decide_oom(const struct evidence *e, struct verdict *v) {
    char limit[UNITS_TEXT_MAX];
    char peak[UNITS_TEXT_MAX];
    units_format_size(e->spec->limits.memory_bytes, limit);
    if (e->end_known && e->end.memory_peak_bytes > 0)
        conclude(v, REASON_OOM,
                 "The kernel killed %lld process(es) of the job for memory: the limit is %s, the peak was "
                 "%s. Raise "
                 "limits.memory or let the job use less.",
                 (long long)e->end.oom_kills, limit, units_format_size(e->end.memory_peak_bytes, peak));
    else
        conclude(v, REASON_OOM,
                 "The kernel killed the job for memory: the limit is %s. Raise limits.memory or let the job "
                 "use less.",
                 limit);
}

static void decide_not_executed(const struct evidence *e, struct verdict *v) {
    const char *why = strerrordesc_np(e->end.exec_errno);
    if (WIFEXITED(e->end.wait_status) && WEXITSTATUS(e->end.wait_status) == EXIT_NOT_FOUND)
        conclude(v, REASON_COMMAND_NOT_FOUND,
                 "The command %s was not found in the image \"%s\" (%s). Check its spelling, PATH, the "
                 "working directory, and, for a script, the interpreter in its first line.",
                 e->program, e->spec->image, why ? why : "unknown error");
    else
        conclude(v, REASON_COMMAND_NOT_EXECUTABLE,
                 "The command %s is in the image \"%s\" but cannot be executed (%s). Check its mode, its "
                 "format and its architecture.",
                 e->program, e->spec->image, why ? why : "unknown error");
}

static void decide_own_end(const struct evidence *e, struct verdict *v) {
    char name[SIGNAL_TEXT_MAX];
    if (e->end.exec_errno)
        decide_not_executed(e, v);
    else if (v->exit_code == 0)
        conclude(v, REASON_NONE, "The command ended with exit code 0.");
    else if (e->end.oom_kills > 0)
        decide_oom(e, v);
    else if (v->signal)
        conclude(v, REASON_SIGNAL, "The command was ended by signal %s.", signal_text(v->signal, name));
    else
        conclude(v, REASON_EXIT_CODE, "The command ended with exit code %d.", v->exit_code);
}

/* The container has ended without a word of init. */
static void decide_without_end(const struct evidence *e, struct verdict *v) {
    char name[SIGNAL_TEXT_MAX];
    if (e->engine_oom_killed)
        decide_oom(e, v);
    else if (e->engine_exit_code == LAUNCH_EXIT_BROKEN)
        conclude(v, REASON_INTERNAL,
                 "berth-init could not begin its work in the container, and the command never ran%s%s. What "
                 "it said about that is not kept. Most likely the engine does not see the state directory at "
                 "the same path: berthd's probe at its start looks for that.",
                 e->engine_error[0] ? "; the engine says: " : "", e->engine_error);
    else if (e->engine_exit_code > EXIT_SIGNALED)
        conclude(v, REASON_CONTAINER_KILLED,
                 "Someone else killed the container with signal %s: neither Berth nor the kernel's memory "
                 "limit did. "
                 "Look for `docker kill`, `docker stop` or a restart of the engine at that time.",
                 signal_text(e->engine_exit_code - EXIT_SIGNALED, name));
    else
        conclude(
            v, REASON_INTERNAL,
            "The container ended with status %d, and berth-init left no record of how the command ended%s%s.",
            e->engine_exit_code, e->engine_error[0] ? "; the engine says: " : "", e->engine_error);
}

enum reason verdict_refusal(int http_status, const char *text) {
    enum { SERVER_ERROR = 500 };
    /* moby: daemon/oci_linux.go (user), container/container.go (workdir), runc's libcontainer (exec, mounts,
     * limits) */
    static const char *const faults_of_the_job[] = {
        "unable to find user",           "unable to find group", "no matching entries in",
        "uids and gids must be in",      "Cannot mkdir",         "is not a directory",
        "not a directory: unknown",      "working directory",    "memory limit too low",
        "container init was OOM-killed", "error setting rlimit",
    };
    if (http_status < SERVER_ERROR)
        return REASON_SPEC_REFUSED;
    for (size_t i = 0; i < ARRAY_LEN(faults_of_the_job); i++)
        if (strstr(text, faults_of_the_job[i]))
            return REASON_SPEC_REFUSED;
    return REASON_INTERNAL;
}

void verdict_decide(const struct evidence *e, struct verdict *ret_verdict) {
    struct verdict v = {.exit_code = -1, .usage = usage_from_end(e)};
    put_end_status(e, &v);
    if (e->fault != REASON_NONE)
        decide_fault(e, &v);
    else if (e->stop != REASON_NONE && !(e->stop_missed && e->end_known))
        decide_stop(e, &v);
    else if (e->end_known)
        decide_own_end(e, &v);
    else if (e->host_restarted)
        conclude(&v, REASON_HOST_RESTARTED,
                 "The machine was restarted while the job ran, and its container ended with "
                 "it.");
    else if (e->container_missing)
        conclude(&v, REASON_CONTAINER_REMOVED,
                 "The container was removed by someone else while the job ran (`docker rm`, a prune job?), "
                 "so how the "
                 "command ended is not known.");
    else if (e->inspected)
        decide_without_end(e, &v);
    else
        conclude(&v, REASON_INTERNAL,
                 "How the command ended is not known: there is neither a container nor a record.");
    *ret_verdict = v;
}
