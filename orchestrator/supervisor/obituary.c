#include "orchestrator/supervisor/obituary.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

const char *obituary_cause(const struct death *death, char out[OBITUARY_CAUSE_MAX]) {
    if (death->exited)
        snprintf(out, OBITUARY_CAUSE_MAX, "exit %d", death->status);
    else
        snprintf(out, OBITUARY_CAUSE_MAX, "signal %d (%s)", death->status, strsignal(death->status));
    return out;
}

void obituary_write(const struct child *child, const struct death *death, enum restart_what what,
                    int64_t delay_ms) {
    char cause[OBITUARY_CAUSE_MAX];
    static const char *const next[] = {
        [RESTART_DONE] = "none", [RESTART_AGAIN] = "restart", [RESTART_NEVER] = "give up"};
    bool quiet = what == RESTART_DONE && death->exited && death->status == 0;
    log_write(quiet ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, quiet ? "child ended" : "child died",
              LOG_FIELDS_(LS("child", role_name(child->role)), LS("attempt", child->name),
                          LI("child_pid", child->pid), LS("cause", obituary_cause(death, cause)),
                          LS("ready", death->was_ready ? "yes" : "no"), LI("lived_ms", death->lived_ms),
                          LS("next", next[what]), LI("delay_ms", delay_ms)));
}
