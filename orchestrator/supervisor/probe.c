/* probe - before the first claim: `berth-runner --probe` shows that the engine answers and sees the state
 * directory. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "orchestrator/supervisor/supervisor.h"
#include "orchestrator/supervisor/supervisor_private.h"
#include "proto/fault_points.h"

enum { PROBE_RETRY_MS = 1000, PROBE_RETRY_MAX_MS = 8000 };

static int on_probe_timer(sd_event_source *source, uint64_t usec, void *arg) {
    struct supervisor *s = arg;
    (void)source;
    (void)usec;
    if (s->phase != PHASE_STARTING || children_find_role(&s->children, CHILD_PROBE))
        return 0;
    struct child *child = care_add(s, CHILD_PROBE, "");
    if (child)
        care_start(s, child);
    return 0;
}

void probe_begin(struct supervisor *s) {
    s->engine_wait_until_ms = clock_boot_ms() + s->settings.start_timeout_ms;
    timer_arm(s->loop, &s->probe_timer, 0, on_probe_timer, s);
}

/* The runners that were taken up before the probe had answered were told of the group of the last start. */
static void keep_cgroup(struct supervisor *s, const char *cgroup) {
    struct err err = {0};
    const char *before = s->cgroup ? s->cgroup : "";
    if (strcmp(cgroup, before) == 0)
        return;
    free(s->cgroup);
    s->cgroup = mem_strdup(cgroup);
    if (state_dir_keep_cgroup(&s->state, cgroup, &err) < 0)
        log_warn("the control group of the jobs was not noted down", LERR(&err));
}

void probe_answered(struct supervisor *s, const struct control *answer) {
    if (s->phase != PHASE_STARTING)
        return;
    free(s->probe_detail);
    s->probe_detail = mem_strdup(answer->detail);
    health_set(s, HEALTH_ENGINE, answer->ok, answer->ok ? "" : answer->detail);
    if (!answer->ok)
        return;
    FAULT(PARENT_PROVED);
    s->phase = PHASE_RUNNING;
    keep_cgroup(s, answer->cgroup);
    if (*answer->warning)
        log_warn("this host does not allow all that jobs are to be bounded by",
                 LS("warning", answer->warning));
    log_info("engine and state directory proved, claiming begins", LS("engine", answer->detail),
             LS("cgroup", answer->cgroup), LI("slots", s->settings.slots),
             LI("memory_bytes", s->settings.memory_bytes));
    care_start(s, care_add(s, CHILD_REAPER, "")); /* is told of the group too */
}

void probe_ended(struct supervisor *s) {
    static const char silent[] = "berth-runner --probe ended without an answer";
    if (s->phase != PHASE_STARTING)
        return;
    const char *why = s->probe_detail ? s->probe_detail : silent;
    int64_t left_ms = s->engine_wait_until_ms - clock_boot_ms();
    if (left_ms <= 0) {
        log_error("the engine cannot be used, berthd ends", LS("error", why),
                  LI("after_ms", s->settings.start_timeout_ms), LI("exit", SUPERVISOR_EXIT_AWAY));
        leave_now(s, SUPERVISOR_EXIT_AWAY);
        return;
    }
    int64_t pause_ms =
        PROBE_RETRY_MAX_MS - left_ms * (PROBE_RETRY_MAX_MS - PROBE_RETRY_MS) / s->settings.start_timeout_ms;
    log_warn("the engine cannot be used yet, trying on", LS("error", why), LI("pause_ms", pause_ms));
    timer_arm(s->loop, &s->probe_timer, pause_ms < left_ms ? pause_ms : left_ms, on_probe_timer, s);
}
