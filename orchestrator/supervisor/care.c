/* care - a child's life as the parent sees it: start, messages, death, and again. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "orchestrator/supervisor/obituary.h"
#include "orchestrator/supervisor/spawn.h"
#include "orchestrator/supervisor/supervisor_private.h"
#include "proto/child.h"
#include "proto/control.h"
#include "proto/fault_points.h"

static void child_died(struct supervisor *s, struct child *child, const struct death *death);

/* --- messages --- */

enum { MESSAGES_PER_EVENT_MAX = 16 }; /* of one child; what is left comes with the next turn of the loop */

static void remove_secrets(json_t *settings, enum role role) {
    for (size_t i = 0; i < settings_table.count; i++) {
        const struct config_entry *e = &settings_table.entries[i];
        if (e->secret && !role_needs_secret(role, e->key))
            json_object_del(settings, e->key);
    }
}

static int send_config(struct supervisor *s, const struct child *child, struct err *err) {
    AUTO_BUF struct buf text = BUF(CHILD_MESSAGE_MAX);
    if (config_dump(&settings_table, &s->settings, &text) < 0)
        return err_set(err, ERR_LIMIT, 0, "the settings are longer than a message may be, %d bytes",
                       CHILD_MESSAGE_MAX);
    AUTO_JSON json_t *settings = json_loadb(buf_str(&text), text.len, 0, NULL);
    explicit_bzero(text.data, text.len);
    if (!settings)
        return err_set(err, ERR_BUG, 0, "the settings are not JSON");
    remove_secrets(settings, child->role);
    struct control message = {.type = CONTROL_CONFIG,
                              .settings = settings,
                              .instance = s->settings.instance,
                              .cluster = s->cluster,
                              .cgroup = s->cgroup};
    return control_send(child->fd, &message, err);
}

static void on_ready(struct child *child) {
    if (child->state != CHILD_STARTED)
        return;
    FAULT_IF(child->role == CHILD_RUNNER, PARENT_RUNNER_READY);
    child->state = CHILD_READY;
    if (child->role == CHILD_GATEWAY)
        health_tell(child->supervisor);
    log_debug("child ready", LS("child", role_name(child->role)), LS("attempt", child->name),
              LI("child_pid", child->pid));
}

static void on_wants_license(struct child *child) {
    child->wants_license = child->role == CHILD_RUNNER && !child->fenced;
    license_ask(child->supervisor);
}

static void close_messages(struct child *child) {
    child->message_source = sd_event_source_disable_unref(child->message_source);
    if (child->fd >= 0)
        close(child->fd);
    child->fd = -1;
}

/* A message that is wrong means that it is another version, or mad: it is ended and its successor gets a
 * chance. */
static void on_wrong_message(struct child *child, const struct err *err) {
    log_error("child sent a message that is wrong, ending it", LS("child", role_name(child->role)),
              LS("attempt", child->name), LERR(err));
    if (child->pid > 0)
        kill(child->pid, SIGKILL);
    close_messages(child);
}

static void read_messages(struct child *child) {
    for (int i = 0; i < MESSAGES_PER_EVENT_MAX && child->fd >= 0; i++) {
        struct control message = {0};
        struct err err = {0};
        int got = control_recv(child->fd, &message, &err);
        if (got < 0 && err.kind == ERR_SYS && err.code == EAGAIN)
            return;
        if (got < 0) {
            on_wrong_message(child, &err);
            return;
        }
        if (got == 0) {
            close_messages(child);
            return;
        }
        if (message.type == CONTROL_READY)
            on_ready(child);
        else if (message.type == CONTROL_BEGIN)
            on_wants_license(child);
        else if (message.type == CONTROL_ALIVE)
            child->unanswered = 0;
        else if (message.type == CONTROL_PROBED)
            probe_answered(child->supervisor, &message);
        else if (message.type == CONTROL_HEALTH && child->role == CHILD_REAPER)
            health_set(child->supervisor, message.part, message.ok, message.detail);
        control_done(&message);
    }
}

static int on_message(sd_event_source *source, int fd, uint32_t revents, void *arg) {
    (void)source;
    (void)fd;
    (void)revents;
    read_messages(arg);
    return 0;
}

static void send_order(const struct child *runner, const struct control *message, const char *order) {
    struct err err = {0};
    if (runner->fd >= 0 && control_send(runner->fd, message, &err) < 0)
        log_debug("order not sent, it will be repeated", LS("order", order), LS("attempt", runner->name),
                  LERR(&err));
}

void care_cancel(const struct child *runner, bool force, enum reason reason) {
    struct control message = {.type = CONTROL_CANCEL, .force = force, .reason = reason};
    send_order(runner, &message, "cancel");
}

void care_license(const struct child *runner) {
    struct control message = {.type = CONTROL_BEGIN};
    send_order(runner, &message, "begin");
}

void care_extend(const struct child *runner, int64_t run_ms) {
    struct control message = {.type = CONTROL_EXTEND, .run_ms = run_ms};
    send_order(runner, &message, "extend");
}

void care_replace(struct child *runner, int64_t late_ms) {
    if (runner->pid <= 0 || clock_boot_ms() - runner->born_ms < CLAIM_OVERDUE_MS)
        return;
    log_error("attempt is past its run deadline and its runner has not ended it, another runner takes over",
              LS("attempt", runner->name), LI("late_ms", late_ms), LI("child_pid", runner->pid));
    kill(runner->pid, SIGKILL);
}

/* --- birth --- */

static int on_exit_event(sd_event_source *source, const siginfo_t *info, void *arg) {
    struct child *child = arg;
    (void)source;
    read_messages(child); /* READY, which comes first, may still lie there */
    struct death death = {
        .was_ready = child->state == CHILD_READY,
        .exited = info->si_code == CLD_EXITED,
        .status = info->si_status,
        .lived_ms = clock_boot_ms() - child->born_ms,
        .may_end = role_is_runner_program(child->role),
    };
    child_died(child->supervisor, child, &death);
    return 0;
}

static int watch(struct supervisor *s, struct child *child, struct err *err) {
    int done = sd_event_add_child(s->loop, &child->exit_source, child->pid, WEXITED, on_exit_event, child);
    if (done >= 0)
        done = sd_event_add_io(s->loop, &child->message_source, child->fd, EPOLLIN, on_message, child);
    /* Deaths after messages: what a child said last counts. */
    if (done >= 0)
        done = sd_event_source_set_priority(child->exit_source, SD_EVENT_PRIORITY_NORMAL + 1);
    errno = -done;
    return done < 0 ? err_sys(err, "watch child %s", role_name(child->role)) : 0;
}

static int start(struct supervisor *s, struct child *child, struct err *err) {
    bool runner = role_is_runner_program(child->role);
    char *const role_argv[] = {"berthd", (char *)role_name(child->role), NULL};
    char *const job_argv[] = {"berth-runner", "--attempt", child->name, NULL};
    char *const probe_argv[] = {"berth-runner", "--probe", NULL};
    struct spawn what = {
        .path = runner ? s->runner_path : "/proc/self/exe",
        .argv = child->role == CHILD_RUNNER  ? job_argv
                : child->role == CHILD_PROBE ? probe_argv
                                             : role_argv,
        .change_user = child->role == CHILD_GATEWAY && s->change_user,
        .uid = s->gateway_uid,
        .gid = s->gateway_gid,
    };
    if (spawn_child(&what, &child->pid, &child->fd, err) < 0)
        return -1;
    FAULT_IF(child->role == CHILD_RUNNER, PARENT_RUNNER_SPAWNED);
    child->state = CHILD_STARTED;
    child->born_ms = clock_boot_ms();
    child->unanswered = 0;
    if (watch(s, child, err) < 0)
        return -1;
    if (send_config(s, child, err) < 0)
        return -1;
    FAULT_IF(child->role == CHILD_RUNNER, PARENT_RUNNER_TOLD);
    if (child->fenced)
        care_cancel(child, false, REASON_REQUESTED);
    return 0;
}

static void forget_process(struct child *child) {
    close_messages(child);
    child->exit_source = sd_event_source_disable_unref(child->exit_source);
    child->pid = 0;
    child->wants_license = false;
    child->state = CHILD_WAITING;
}

int care_start(struct supervisor *s, struct child *child) {
    struct err err = {0};
    if (start(s, child, &err) == 0)
        return 0;
    log_error("child cannot be started", LS("child", role_name(child->role)), LS("attempt", child->name),
              LERR(&err));
    if (child->pid > 0) {
        kill(child->pid, SIGKILL);
        if (child->exit_source) /* its death comes as an event */
            return 0;
        waitpid(child->pid, NULL, 0);
    }
    struct death death = {
        .exited = true, .status = CHILD_EXIT_AWAY, .may_end = role_is_runner_program(child->role)};
    child_died(s, child, &death);
    return -1;
}

struct child *care_add(struct supervisor *s, enum role role, const char *name) {
    struct child *child = children_add(&s->children, role, name);
    if (child)
        child->supervisor = s;
    return child;
}

int care_add_runner(struct supervisor *s, const char *name, const struct spec *spec) {
    struct child *child = care_add(s, CHILD_RUNNER, name);
    if (!child)
        return -1;
    child->memory_bytes = spec ? spec_memory_bytes(spec) : 0;
    child->cpus_milli = spec ? spec_cpus_milli(spec) : 0;
    care_start(s, child);
    return 0;
}

/* --- death --- */

static void bury(struct supervisor *s, struct child *child) {
    forget_process(child);
    child->timer_source = sd_event_source_disable_unref(child->timer_source);
    children_remove(&s->children, child);
}

/* Recorded and removed by the scribe, or by somebody: either way there is nothing to run; if the attempt has
 * not ended in the database, the look at what is ours makes it again. */
static bool directory_is_gone(const struct supervisor *s, const struct child *child) {
    return child->role == CHILD_RUNNER && faccessat(s->state.attempts_fd, child->name, F_OK, 0) < 0 &&
           errno == ENOENT;
}

static int on_restart_timer(sd_event_source *source, uint64_t usec, void *arg) {
    struct child *child = arg;
    struct supervisor *s = child->supervisor;
    (void)source;
    (void)usec;
    if (s->phase == PHASE_LEAVING)
        return 0;
    FAULT_IF(child->role == CHILD_RUNNER, PARENT_RUNNER_AGAIN);
    if (!directory_is_gone(s, child)) {
        care_start(s, child);
        return 0;
    }
    log_warn("attempt's directory is gone, its runner is not started again", LS("attempt", child->name));
    bury(s, child);
    s->dispatch.owned_wanted = true;
    leave_check(s);
    dispatch_kick(s);
    return 0;
}

static void never_again(struct supervisor *s, struct child *child) {
    log_error("a part of berthd cannot work as it was told to, its reason is above; berthd ends",
              LS("child", role_name(child->role)), LI("exit", CHILD_EXIT_NEVER));
    bury(s, child);
    leave_now(s, CHILD_EXIT_NEVER);
}

static void child_died(struct supervisor *s, struct child *child, const struct death *death) {
    uint32_t random = 0;
    int64_t delay_ms = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
        random = (uint32_t)child->pid;
    enum restart_what what = s->phase == PHASE_LEAVING || child->role == CHILD_PROBE
                                 ? RESTART_DONE
                                 : restart_decide(&child->restart, death, random, &delay_ms);
    obituary_write(child, death, what, delay_ms);
    FAULT_IF(child->role == CHILD_RUNNER && what == RESTART_DONE, PARENT_RUNNER_ENDED);
    FAULT_IF(child->role == CHILD_RUNNER && what == RESTART_AGAIN, PARENT_RUNNER_DIED);
    forget_process(child);
    if (child->role == CHILD_RUNNER && what == RESTART_AGAIN && child->restart.faults >= RESTART_FAULTS_MAX)
        adopt_give_up(s, child->name);
    if (child->role == CHILD_PROBE) {
        probe_ended(s);
        bury(s, child);
    } else if (what == RESTART_DONE) {
        bury(s, child);
    } else if (what == RESTART_NEVER) {
        never_again(s, child);
    } else if (timer_arm(s->loop, &child->timer_source, delay_ms, on_restart_timer, child) < 0) {
        log_error("no timer for the restart of a child, berthd ends", LS("child", role_name(child->role)));
        leave_now(s, CHILD_EXIT_BUG);
    }
    leave_check(s);
    dispatch_kick(s);
}

void care_let_go(struct child *child) {
    child->timer_source = sd_event_source_disable_unref(child->timer_source);
    close_messages(child);
}

/* At the very end, outside of the loop. */
void care_kill_all(struct supervisor *s) {
    while (s->children.count) {
        struct child *child = s->children.items[s->children.count - 1];
        if (child->pid > 0) {
            kill(child->pid, SIGKILL);
            waitpid(child->pid, NULL, 0);
        }
        bury(s, child);
    }
}

int timer_arm(sd_event *loop, sd_event_source **source, int64_t in_ms, sd_event_time_handler_t handler,
              void *arg) {
    uint64_t in_us = (uint64_t)(in_ms > 0 ? in_ms : 0) * (uint64_t)US_PER_MS;
    /* Made anew, as another handler may be wanted than the last time. */
    *source = sd_event_source_disable_unref(*source);
    return sd_event_add_time_relative(loop, source, CLOCK_BOOTTIME, in_us, (uint64_t)US_PER_MS, handler, arg);
}
