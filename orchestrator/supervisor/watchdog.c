/* watchdog - a child that hangs is ended, so that another one takes its place: while the scribe stands still
 * no job ends, while the gateway does nobody hears of any, and a runner that does hears of no cancel.
 * Questions are counted, not time: a host that slept or a parent that was stopped has asked none meanwhile.
 */
#include <signal.h>

#include "base/log.h"
#include "orchestrator/supervisor/supervisor_private.h"

enum { WATCHDOG_EVERY_MS = 15000, WATCHDOG_UNANSWERED_MAX = 4 };

/* One that waits for a disk dies only when the disk answers: told once. */
static void end(struct child *child) {
    log_error("a part of berthd has hung for a minute and is killed, another one takes its place",
              LS("child", role_name(child->role)), LS("attempt", child->name), LI("child_pid", child->pid));
    kill(child->pid, SIGKILL);
}

static void ask(struct child *child) {
    const struct control question = {.type = CONTROL_ALIVE};
    struct err err = {0};
    if (child->unanswered > WATCHDOG_UNANSWERED_MAX)
        return;
    if (child->unanswered++ == WATCHDOG_UNANSWERED_MAX)
        end(child);
    else if (control_send(child->fd, &question, &err) < 0)
        log_debug("not asked whether it is alive", LS("child", role_name(child->role)), LERR(&err));
}

static int on_turn(sd_event_source *source, uint64_t usec, void *arg) {
    struct supervisor *s = arg;
    (void)source;
    (void)usec;
    for (size_t i = 0; i < s->children.count; i++) {
        struct child *child = s->children.items[i];
        /* The probe listens to nobody, and has a bound of its own. */
        if (child->state == CHILD_READY && child->fd >= 0 && child->role != CHILD_PROBE)
            ask(child);
    }
    return timer_arm(s->loop, &s->watchdog_timer, WATCHDOG_EVERY_MS, on_turn, s);
}

int watchdog_begin(struct supervisor *s, struct err *err) {
    int made = timer_arm(s->loop, &s->watchdog_timer, WATCHDOG_EVERY_MS, on_turn, s);
    return made < 0 ? err_set(err, ERR_SYS, -made, "make the timer of the watchdog") : 0;
}
