#include "runner/verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/units.h"
#include "proto/launch.h"

enum {
    EXIT_NOT_FOUND = 127,
    EXIT_SIGNALED = 128,
    SIGNAL_LAST = 64, /* signal(7): SIGRTMAX */
    SIGNAL_TEXT_MAX = 32,
    MANNER_MAX = 128
};

static void conclude(struct verdict *v, enum reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void add(struct verdict *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void conclude(struct verdict *v, enum reason reason, const char *fmt, ...) {
    v->reason = reason;
    v->status = reason == REASON_NONE ? STATUS_SUCCEEDED : reason_status(reason);
    va_list args;
    va_start(args, fmt);
    vsnprintf(v->message, sizeof v->message, fmt, args);
    va_end(args);
}

/* One more sentence behind the message. */
static void add(struct verdict *v, const char *fmt, ...) {
    size_t len = strlen(v->message);
    va_list args;
    va_start(args, fmt);
    if (len + 2 < sizeof v->message) {
        v->message[len++] = ' ';
        vsnprintf(v->message + len, sizeof v->message - len, fmt, args);
    }
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

static const char *processes(int64_t count) {
    return count == 1 ? "process" : "processes";
}

/* --- figures --- */

static int64_t sum(int64_t a, int64_t b) {
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return a + b;
}

/* Peaks are summed, too: those of several containers need not fall together, so it is an upper bound. */
static struct usage usage_of(const struct evidence *e) {
    const struct spool_end *end = &e->end;
    const struct usage *others = &e->others;
    if (!e->end_known)
        return *others;
    return (struct usage){.cpu_us = sum(end->cpu_us, others->cpu_us),
                          .memory_peak_bytes = sum(end->memory_peak_bytes, others->memory_peak_bytes),
                          .pids_peak = sum(end->pids_peak, others->pids_peak),
                          .oom_kills = sum(end->oom_kills, others->oom_kills),
                          .throttled_us = sum(end->throttled_us, others->throttled_us)};
}

static void put_end_status(const struct evidence *e, struct verdict *v) {
    if (!e->end_known)
        return;
    if (WIFSIGNALED(e->end.wait_status))
        v->signal = WTERMSIG(e->end.wait_status);
    else if (WIFEXITED(e->end.wait_status))
        v->exit_code = WEXITSTATUS(e->end.wait_status);
}

/* --- ended by Berth --- */

static void decide_fault(const struct evidence *e, struct verdict *v) {
    const char *words = e->fault_text[0] ? e->fault_text : "no more is known";
    conclude(v, e->fault, "%s", words);
}

/* How the job took the stop, as the end of a sentence. */
static const char *stop_manner(const struct evidence *e, char out[MANNER_MAX]) {
    char grace[UNITS_TEXT_MAX];
    units_format_duration(e->spec->stop.grace_ms, grace);
    if (!e->started)
        snprintf(out, MANNER_MAX, "its command was not started");
    else if (e->killed && e->forced)
        snprintf(out, MANNER_MAX, "it was killed at once, as was asked (force)");
    else if (e->killed)
        snprintf(out, MANNER_MAX, "it had to be killed, %s after the stop signal", grace);
    else
        snprintf(out, MANNER_MAX, "it ended within its grace of %s", grace);
    return out;
}

static void stop_pull(const struct evidence *e, struct verdict *v) {
    char figure[UNITS_TEXT_MAX];
    const char *others = e->spec->services_count ? " or an image of its services" : "";
    conclude(v, e->stop,
             "The image \"%s\"%s was not there within %s. Raise deadlines.pull, or look at the registry's "
             "speed.",
             e->spec->image, others, units_format_duration(e->spec->deadlines.pull_ms, figure));
}

static void stop_start(const struct evidence *e, struct verdict *v) {
    char figure[UNITS_TEXT_MAX];
    conclude(v, e->stop,
             "The container was not started within %s. The engine is slow or overloaded; raise "
             "deadlines.start if that is normal here.",
             units_format_duration(e->spec->deadlines.start_ms, figure));
}

static void stop_run(const struct evidence *e, struct verdict *v) {
    char whole[UNITS_TEXT_MAX];
    char first[UNITS_TEXT_MAX];
    char more[UNITS_TEXT_MAX];
    char extended[3 * UNITS_TEXT_MAX] = "";
    char manner[MANNER_MAX];
    int64_t run_ms = e->spec->deadlines.run_ms;
    units_format_duration(run_ms + e->extended_ms, whole);
    if (e->extended_ms)
        snprintf(extended, sizeof extended, " (%s, extended by %s)", units_format_duration(run_ms, first),
                 units_format_duration(e->extended_ms, more));
    conclude(v, e->stop,
             "The job ran longer than its deadline of %s%s and was stopped; %s. Raise deadlines.run if "
             "it needs more.",
             whole, extended, stop_manner(e, manner));
}

static void stop_idle(const struct evidence *e, struct verdict *v) {
    char figure[UNITS_TEXT_MAX];
    char manner[MANNER_MAX];
    conclude(v, e->stop,
             "The job wrote no output for %s, its idle deadline, and was stopped; %s. Raise deadlines.idle "
             "if such a silence is normal, or let the job write a sign of life.",
             units_format_duration(e->spec->deadlines.idle_ms, figure), stop_manner(e, manner));
}

static void stop_service(const struct evidence *e, struct verdict *v) {
    char manner[MANNER_MAX];
    conclude(v, e->stop, "A service of the job failed, and so the job was stopped; %s.",
             stop_manner(e, manner));
    if (e->stop_text[0])
        add(v, "%s", e->stop_text);
}

static void stop_shutdown(const struct evidence *e, struct verdict *v) {
    char manner[MANNER_MAX];
    conclude(v, e->stop, "The job was canceled because the orchestrator was told to end all its jobs; %s.",
             stop_manner(e, manner));
}

static void stop_superseded(const struct evidence *e, struct verdict *v) {
    char manner[MANNER_MAX];
    conclude(v, e->stop, "The job was canceled in favour of a newer one with the same concurrency key; %s.",
             stop_manner(e, manner));
}

static void stop_requested(const struct evidence *e, struct verdict *v) {
    char manner[MANNER_MAX];
    conclude(v, e->stop, "The job was canceled on request; %s.", stop_manner(e, manner));
}

static void decide_stop(const struct evidence *e, struct verdict *v) {
    static void (*const stops[REASON_COUNT])(const struct evidence *e, struct verdict *v) = {
        [REASON_PULL_DEADLINE] = stop_pull,     [REASON_START_DEADLINE] = stop_start,
        [REASON_RUN_DEADLINE] = stop_run,       [REASON_IDLE_DEADLINE] = stop_idle,
        [REASON_SERVICE_FAILED] = stop_service, [REASON_SHUTDOWN] = stop_shutdown,
        [REASON_SUPERSEDED] = stop_superseded,  [REASON_REQUESTED] = stop_requested,
    };
    if (stops[e->stop])
        stops[e->stop](e, v);
    else
        conclude(v, e->stop, "The job was stopped.");
    if (e->paused)
        add(v, "Someone else had paused its container (`docker pause`?); it was resumed so that it could "
               "end.");
}

/* --- ended by the kernel, or by others --- */

static void decide_oom(const struct evidence *e, struct verdict *v) {
    char limit[UNITS_TEXT_MAX];
    char peak[UNITS_TEXT_MAX];
    units_format_size(e->spec->limits.memory_bytes, limit);
    if (e->end_known && e->end.oom_kills > 0)
        conclude(v, REASON_OOM,
                 "The kernel killed %lld %s of the job for memory, and the job failed: the limit is %s, the "
                 "peak was %s. Raise limits.memory or let the job use less.",
                 (long long)e->end.oom_kills, processes(e->end.oom_kills), limit,
                 e->end.memory_peak_bytes > 0 ? units_format_size(e->end.memory_peak_bytes, peak)
                                              : "not told");
    else
        conclude(v, REASON_OOM,
                 "The kernel killed the job for memory, berth-init with it: the limit is %s. Raise "
                 "limits.memory or let the job use less.",
                 limit);
}

static void decide_host_restarted(struct verdict *v) {
    conclude(v, REASON_HOST_RESTARTED,
             "The machine was restarted while the job ran, and its container ended with it.");
}

static void decide_engine_restarted(struct verdict *v) {
    conclude(v, REASON_ENGINE_RESTARTED,
             "The Docker Engine ended or was restarted while the job ran, and took the container with it. "
             "Run the job again (retry.on takes \"engine_restarted\"); with live-restore in the engine's "
             "settings jobs outlive its restarts.");
}

static void decide_killed(int signal, struct verdict *v) {
    char name[SIGNAL_TEXT_MAX];
    conclude(v, REASON_CONTAINER_KILLED,
             "The container was killed by someone else with signal %s: neither Berth nor the kernel's memory "
             "limit did it. Look for `docker kill`, `docker stop` or a clean-up job at that time.",
             signal_text(signal, name));
    v->signal = signal;
}

/* Without a word of init; a counter of the whole attempt speaks for a container that is alone in it. */
static bool oom_known(const struct evidence *e) {
    return e->engine_oom_killed || (e->others.oom_kills > 0 && !e->spec->services_count);
}

static void decide_removed(const struct evidence *e, struct verdict *v) {
    if (oom_known(e) && !e->kill_signal) {
        decide_oom(e, v);
        return;
    }
    conclude(v, REASON_CONTAINER_REMOVED,
             "The container was removed by someone else while the job ran (`docker rm`, a prune job?), so "
             "how the command ended is not known.");
}

/* --- ended by itself --- */

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

/* A signal that came from outside of the container, and none of ours was sent, has ended the command. */
static bool ended_from_outside(const struct evidence *e, const struct verdict *v) {
    int outside = e->end.signal_outside;
    return outside && v->signal && (v->signal == outside || outside == LAUNCH_KILL_SIGNAL);
}

static void decide_own_end(const struct evidence *e, struct verdict *v) {
    char name[SIGNAL_TEXT_MAX];
    int outside = e->end.signal_outside;
    if (e->end.exec_errno)
        decide_not_executed(e, v);
    else if (outside && e->host_restarted)
        decide_host_restarted(v);
    else if (outside && e->engine_restarted) /* also where the command took it for a wish and ended with 0 */
        decide_engine_restarted(v);
    else if (ended_from_outside(e, v))
        decide_killed(v->signal, v);
    else if (v->exit_code == 0)
        conclude(v, REASON_NONE, "The command ended with exit code 0.");
    else if (e->end.oom_kills > 0)
        decide_oom(e, v);
    else if (v->signal)
        conclude(v, REASON_SIGNAL, "The command was ended by signal %s.", signal_text(v->signal, name));
    else
        conclude(v, REASON_EXIT_CODE, "The command ended with exit code %d.", v->exit_code);
    if (outside && (v->reason == REASON_NONE || v->reason == REASON_EXIT_CODE))
        add(v, "Someone else had sent signal %s to the container before.", signal_text(outside, name));
}

/* --- ended without a word of init --- */

/* What init itself ends with when it has refused its work, and nobody else. */
static bool refused_by_init(const struct evidence *e, struct verdict *v) {
    if (!e->inspected || e->kill_signal)
        return false;
    if (e->engine_exit_code == LAUNCH_EXIT_BIND_CHANGED)
        conclude(v, REASON_SPEC_REFUSED,
                 "A bind of the job was not what it had been when it was checked: the path was changed "
                 "between the check and the start, and the command was not executed. Let nobody else change "
                 "names below the directories that are bound.");
    else if (e->engine_exit_code == LAUNCH_EXIT_BIND_HIDDEN)
        conclude(v, REASON_SPEC_REFUSED,
                 "A bind of the job could not be checked, and the command was not executed: the container's "
                 "user cannot reach the bind's target. Choose a target whose directories in the image this "
                 "user may enter, or another user.");
    else if (e->engine_exit_code == LAUNCH_EXIT_BROKEN)
        conclude(v, REASON_INTERNAL,
                 "berth-init could not begin its work in the container, and the command never ran%s%s. What "
                 "it said about that is not kept. Most likely the engine does not see the state directory at "
                 "the same path: berthd's probe at its start looks for that.",
                 e->engine_error[0] ? "; the engine says: " : "", e->engine_error);
    else
        return false;
    return true;
}

static void decide_inspected(const struct evidence *e, struct verdict *v) {
    int by_code = e->engine_exit_code - EXIT_SIGNALED;
    if (e->kill_signal)
        decide_killed(e->kill_signal, v);
    else if (oom_known(e))
        decide_oom(e, v);
    else if (by_code > 0 && by_code <= SIGNAL_LAST)
        decide_killed(by_code, v);
    else
        conclude(
            v, REASON_INTERNAL,
            "The container ended with status %d, and berth-init left no record of how the command ended%s%s.",
            e->engine_exit_code, e->engine_error[0] ? "; the engine says: " : "", e->engine_error);
}

static void decide_without_end(const struct evidence *e, struct verdict *v) {
    if (refused_by_init(e, v))
        return;
    if (e->host_restarted)
        decide_host_restarted(v);
    else if (e->engine_restarted)
        decide_engine_restarted(v);
    else if (e->container_missing)
        decide_removed(e, v);
    else if (e->inspected)
        decide_inspected(e, v);
    else
        conclude(v, REASON_INTERNAL,
                 "How the command ended is not known: there is neither a container nor a record.");
}

/* --- all together --- */

enum reason verdict_refusal(int http_status, const char *text) {
    enum { SERVER_ERROR = 500 };
    /* moby: daemon/oci_linux.go (user), container/container.go (workdir), runc's libcontainer (exec, mounts,
     * limits) */
    static const char *const faults_of_the_job[] = {
        "unable to find user",           "unable to find group", "no matching entries in",
        "uids and gids must be in",      "Cannot mkdir",         "is not a directory",
        "not a directory: unknown",      "working directory",    "memory limit too low",
        "container init was OOM-killed", "error setting rlimit", "is not directory",
    };
    if (http_status < SERVER_ERROR)
        return REASON_SPEC_REFUSED;
    for (size_t i = 0; i < ARRAY_LEN(faults_of_the_job); i++)
        if (strstr(text, faults_of_the_job[i]))
            return REASON_SPEC_REFUSED;
    return REASON_INTERNAL;
}

/* A lack of memory that did not end the job is worth a word all the same. */
static void add_warnings(const struct evidence *e, struct verdict *v) {
    char limit[UNITS_TEXT_MAX];
    if (e->end_known && e->end.oom_kills > 0 && v->reason != REASON_OOM)
        add(v, "Warning: the kernel killed %lld %s of the job for memory (limit %s) while it ran.",
            (long long)e->end.oom_kills, processes(e->end.oom_kills),
            units_format_size(e->spec->limits.memory_bytes, limit));
    if (e->others.oom_kills > 0 && e->end_known && e->spec->services_count)
        add(v, "Warning: the kernel killed %lld %s of the job's services for memory.",
            (long long)e->others.oom_kills, processes(e->others.oom_kills));
}

void verdict_decide(const struct evidence *e, struct verdict *ret_verdict) {
    struct verdict v = {.exit_code = -1, .usage = usage_of(e)};
    put_end_status(e, &v);
    if (e->fault != REASON_NONE)
        decide_fault(e, &v);
    else if (e->stop != REASON_NONE && !(e->stop_missed && e->end_known))
        decide_stop(e, &v);
    else if (e->end_known)
        decide_own_end(e, &v);
    else
        decide_without_end(e, &v);
    add_warnings(e, &v);
    *ret_verdict = v;
}
