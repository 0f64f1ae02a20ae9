/*
 * leave - signals and how berthd ends.
 *
 * TERM, INT: claim nothing more, wait for the drain timeout, go, containers stay. A second one: go at once.
 * QUIT: cancel everything, wait for its end, go. HUP: settings. Every end passes through leave_now().
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>

#include "base/fdutil.h"
#include "base/log.h"
#include "orchestrator/supervisor/supervisor.h"
#include "orchestrator/supervisor/supervisor_private.h"
#include "proto/attempt.h"
#include "proto/fault_points.h"

static int on_leave_timer(sd_event_source *source, uint64_t usec, void *arg) {
    struct supervisor *s = arg;
    (void)source;
    (void)usec;
    if (s->children.count)
        log_warn("children have not ended, killing them", LI("children", (int64_t)s->children.count));
    return sd_event_exit(s->loop, s->exit_status);
}

void leave_now(struct supervisor *s, int exit_status) {
    if (s->phase == PHASE_LEAVING)
        return;
    struct children_sum sum = children_sum(&s->children);
    log_info("leaving", LI("jobs_left_running", sum.runners), LI("exit", exit_status));
    FAULT(PARENT_LEAVING);
    s->phase = PHASE_LEAVING;
    s->exit_status = exit_status;
    lease_leave(s);
    for (size_t i = s->children.count; i-- > 0;)
        care_let_go(s->children.items[i]);
    if (timer_arm(s->loop, &s->phase_timer, LEAVE_WAIT_MS, on_leave_timer, s) < 0)
        sd_event_exit(s->loop, exit_status);
    leave_check(s);
}

/* The next attempt whose directory is still there: it runs, or the scribe has not recorded its end. */
static const char *next_left(DIR *dir) {
    char job[ATTEMPT_ID_MAX];
    int number;
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
        if (attempt_parse_dir_name(e->d_name, job, &number) == 0)
            return e->d_name;
    return NULL;
}

/* Whether the scribe has taken over every attempt. While the database is away it cannot: the next start waits
 * for it, unless somebody wants all of it done now. */
static bool all_recorded(const struct supervisor *s) {
    bool patient = s->phase == PHASE_DRAINING;
    if (patient && (!s->pool || !db_pool_is_up(s->pool)))
        return true;
    AUTO_DIR DIR *dir = dir_open(s->state.attempts_fd);
    return dir ? !next_left(dir) : patient;
}

static bool any_process(const struct supervisor *s) {
    for (size_t i = 0; i < s->children.count; i++)
        if (s->children.items[i]->pid > 0)
            return true;
    return false;
}

void leave_check(struct supervisor *s) {
    if (s->phase == PHASE_LEAVING) {
        if (!any_process(s) && s->leave_recorded)
            sd_event_exit(s->loop, s->exit_status);
        return;
    }
    if (s->phase != PHASE_DRAINING && s->phase != PHASE_CANCELING)
        return;
    if (children_sum(&s->children).runners == 0 && all_recorded(s))
        leave_now(s, SUPERVISOR_EXIT_DONE);
}

/* Whoever wanted all jobs ended must not read "done" while some are not. */
static int leave_unfinished(const struct supervisor *s) {
    bool left = children_sum(&s->children).runners > 0; /* also of those without a directory yet */
    AUTO_DIR DIR *dir = dir_open(s->state.attempts_fd);
    for (const char *name = dir ? next_left(dir) : NULL; name; name = next_left(dir)) {
        left = true;
        log_error(adopt_is_done(s, name)
                      ? "job has ended and its end is not recorded; the next start does it"
                      : "job has not ended; its container stays, and the next start goes on with it",
                  LS("attempt", name));
    }
    return left || !dir ? SUPERVISOR_EXIT_AGAIN : SUPERVISOR_EXIT_DONE;
}

static void stop_waiting(struct supervisor *s) {
    leave_now(s, s->phase == PHASE_CANCELING ? leave_unfinished(s) : SUPERVISOR_EXIT_DONE);
}

static int on_patience_over(sd_event_source *source, uint64_t usec, void *arg) {
    (void)source;
    (void)usec;
    stop_waiting(arg);
    return 0;
}

static int on_attempts_change(sd_event_source *source, const struct inotify_event *event, void *arg) {
    (void)source;
    (void)event;
    leave_check(arg);
    return 0;
}

/* Waits in this phase until leave_check() finds nothing left, at most so long. */
static void wait_in(struct supervisor *s, enum phase phase, int64_t ms) {
    s->phase = phase;
    FAULT_IF(phase == PHASE_DRAINING, PARENT_DRAINING);
    FAULT_IF(phase == PHASE_CANCELING, PARENT_CANCELING);
    if (!s->attempts_watch && sd_event_add_inotify_fd(s->loop, &s->attempts_watch, s->state.attempts_fd,
                                                      IN_DELETE | IN_MOVED_FROM, on_attempts_change, s) < 0)
        log_warn("attempt directories cannot be watched, waiting for the time-out instead");
    if (timer_arm(s->loop, &s->phase_timer, ms, on_patience_over, s) < 0)
        stop_waiting(s);
    else
        leave_check(s);
}

static int on_term(sd_event_source *source, const struct signalfd_siginfo *info, void *arg) {
    struct supervisor *s = arg;
    (void)source;
    bool second = s->phase == PHASE_DRAINING || s->phase == PHASE_CANCELING;
    log_info("signal received", LS("signal", strsignal((int)info->ssi_signo)),
             LS("then", second ? "leave" : "drain"), LI("running", children_sum(&s->children).runners));
    if (second)
        stop_waiting(s);
    else if (s->phase != PHASE_LEAVING)
        wait_in(s, PHASE_DRAINING, s->settings.drain_timeout_ms);
    return 0;
}

static void on_shut_down(void *arg, const PGresult *result, const struct err *err) {
    struct supervisor *s = arg;
    (void)result;
    s->shut_down_sent = false;
    if (err)
        log_warn("that all jobs are canceled was not recorded, it is tried again", LERR(err));
}

/* In the database too: a job that ends by itself before its runner hears of it is not to be tried again. */
void leave_cancel_all(struct supervisor *s) {
    struct claim c;
    struct claim_self self = startup_self(s);
    for (size_t i = 0; i < s->children.count; i++)
        if (s->children.items[i]->role == CHILD_RUNNER)
            care_cancel(s->children.items[i], false, REASON_SHUTDOWN);
    if (s->shut_down_sent || !s->pool || !db_pool_is_up(s->pool))
        return;
    claim_shut_down(&c, &self);
    s->shut_down_sent = claim_send(s->pool, &c, on_shut_down, s, NULL) == 0;
}

static int on_quit(sd_event_source *source, const struct signalfd_siginfo *info, void *arg) {
    struct supervisor *s = arg;
    (void)source;
    (void)info;
    if (s->phase == PHASE_CANCELING || s->phase == PHASE_LEAVING)
        return 0;
    log_info("signal received", LS("signal", "Quit"), LS("then", "cancel all"),
             LI("running", children_sum(&s->children).runners));
    leave_cancel_all(s);
    wait_in(s, PHASE_CANCELING, QUIT_WAIT_MS);
    return 0;
}

/* The numbers and words that are marked reloadable; children get them with their next start. */
static void take_over(struct settings *to, struct settings *from) {
    for (size_t i = 0; i < settings_table.count; i++) {
        const struct config_entry *e = &settings_table.entries[i];
        char *into = (char *)to + e->offset;
        char *of = (char *)from + e->offset;
        if (!e->reloadable)
            continue;
        if (e->type == CONFIG_STRING) {
            char *old = *(char **)(void *)into;
            *(char **)(void *)into = *(char **)(void *)of;
            *(char **)(void *)of = old; /* freed with `from` */
        } else if (e->type == CONFIG_BOOL) {
            *(bool *)into = *(bool *)of;
        } else if (*(int64_t *)(void *)of || e->def) { /* unset: what was resolved at the start stays */
            *(int64_t *)(void *)into = *(int64_t *)(void *)of;
        }
    }
}

static int on_hup(sd_event_source *source, const struct signalfd_siginfo *info, void *arg) {
    struct supervisor *s = arg;
    struct settings fresh = {0};
    struct config_origins origins;
    struct err err = {0};
    AUTO_BUF struct buf report = BUF(CONFIG_FILE_MAX_BYTES);
    (void)source;
    (void)info;
    if (settings_load(&fresh, s->argv, &origins, &report, &err) < 0) {
        log_error("settings not reloaded, the old ones stay", LS("error", buf_str(&report)));
    } else {
        take_over(&s->settings, &fresh);
        log_set_level_word(s->settings.log_level);
        log_info("settings reloaded", LS("log_level", s->settings.log_level), LI("slots", s->settings.slots));
        dispatch_kick(s);
    }
    config_free(&settings_table, &fresh);
    return 0;
}

int leave_watch_signals(struct supervisor *s, struct err *err) {
    static const struct {
        int signal;
        sd_event_signal_handler_t handler;
    } table[] = {{SIGTERM, on_term}, {SIGINT, on_term}, {SIGQUIT, on_quit}, {SIGHUP, on_hup}};
    _Static_assert(ARRAY_LEN(table) == SIGNALS_COUNT, "one source for each signal");
    for (size_t i = 0; i < SIGNALS_COUNT; i++) {
        int done = sd_event_add_signal(s->loop, &s->signals[i], table[i].signal, table[i].handler, s);
        if (done < 0) {
            errno = -done;
            return err_sys(err, "watch signal %d", table[i].signal);
        }
    }
    return 0;
}
