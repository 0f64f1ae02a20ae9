#include "runner/byhand.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/attempt.h"
#include "proto/labels.h"
#include "runner/docker/network.h"
#include "runner/follow.h"
#include "runner/job.h"
#include "runner/place.h"

enum {
    DIR_MODE = 0700,
    SPOOL_MODE = 0666,
    SYSTEM_MODE = 0644,
    EXIT_SIGNALED = 128,
    NETWORK_MAX_MS = 10 * 1000
};

struct run {
    const struct byhand *settings;
    char *dir, *attempts; /* <state>/byhand, <state>/byhand/attempts */
    int dir_fd, attempts_fd;
    int lock_fd; /* shared by all jobs that run by hand; whoever can have it alone is the last */
    char cluster[ATTEMPT_ID_MAX];
    char name[ATTEMPT_NAME_MAX]; /* of the attempt's directory; "" until it is made */
    int signal_fd, epoll_fd, locks_fd;
    struct follow follow, system; /* the job's output, and what Berth says about it */
    struct orders orders;
};

static void run_done(struct run *run) {
    follow_done(&run->follow);
    follow_done(&run->system);
    if (run->name[0])
        dir_remove_tree(run->attempts_fd, run->name, NULL);
    const int fds[] = {run->epoll_fd, run->signal_fd,   run->locks_fd,
                       run->lock_fd,  run->attempts_fd, run->dir_fd};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(run->attempts);
    free(run->dir);
}

static void complain(const char *text) {
    fprintf(stderr, "berth-runner: %s\n", text);
}

/* --- the job --- */

static int read_job(const char *path, struct buf *text, struct err *err) {
    if (strcmp(path, "-") == 0)
        return fd_read_all(STDIN_FILENO, text, err);
    return file_read(AT_FDCWD, path, SPEC_BYTES_MAX, text, err);
}

/* Faults are told one a line, with their pointers. */
static int parse_job(const char *path, const char *bind_roots, struct spec **ret_spec) {
    AUTO_BUF struct buf text = BUF(SPEC_BYTES_MAX);
    AUTO_FAULTS struct spec_faults faults = {0};
    struct err err = {0};
    struct spec_policy policy = spec_policy_builtin();
    policy.bind_roots = bind_roots;
    if (read_job(path, &text, &err) < 0) {
        complain(err.text);
        return -1;
    }
    if (spec_parse_text(buf_str(&text), text.len, &policy, ret_spec, &faults) == 0)
        return 0;
    for (size_t i = 0; i < faults.count; i++)
        fprintf(stderr, "berth-runner: %s: %s: %s\n", path,
                faults.items[i].pointer[0] ? faults.items[i].pointer : "the job", faults.items[i].detail);
    if (faults.omitted)
        fprintf(stderr, "berth-runner: %s: and %zu more\n", path, faults.omitted);
    return -1;
}

/* --- directories --- */

/* One for all jobs by hand of this state directory, so that they share one network. */
static int get_cluster(struct run *run, struct err *err) {
    AUTO_BUF struct buf text = BUF(ATTEMPT_ID_MAX);
    if (faccessat(run->dir_fd, "cluster", F_OK, 0) == 0 &&
        file_read(run->dir_fd, "cluster", ATTEMPT_ID_MAX, &text, err) < 0)
        return -1;
    if (id_valid(buf_str(&text))) {
        snprintf(run->cluster, sizeof run->cluster, "%s", buf_str(&text));
        return 0;
    }
    id_new_v7(run->cluster);
    memcpy(run->cluster, run->cluster + ID_TEXT_MAX - 1 - 8,
           8); /* the network's name begins here: no clock in it */
    return file_write_atomic(run->dir_fd, "cluster", run->cluster, strlen(run->cluster), 0600, err);
}

static int open_dirs(struct run *run, struct err *err) {
    run->dir = mem_printf("%s/byhand", run->settings->state_dir);
    run->attempts = mem_printf("%s/" ATTEMPT_DIR, run->dir);
    if (dir_make(run->attempts, DIR_MODE, err) < 0)
        return err_wrap(err, "the state directory (--state-dir DIR or BERTH_STATE_DIR names another)");
    run->dir_fd = open(run->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    run->attempts_fd = open(run->attempts, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    run->lock_fd = open(run->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (run->dir_fd < 0 || run->attempts_fd < 0 || run->lock_fd < 0 || flock(run->lock_fd, LOCK_SH) < 0)
        return err_sys(err, "open %s", run->attempts);
    if (place_open_locks(run->settings->state_dir, &run->locks_fd, err) < 0)
        return -1;
    if (flock(run->attempts_fd, LOCK_EX) < 0) /* several may be the first */
        return err_sys(err, "lock %s", run->attempts);
    int got = get_cluster(run, err);
    flock(run->attempts_fd, LOCK_UN);
    return got;
}

static int follow_file(const char *dir, const char *name, mode_t mode, struct follow *ret_follow,
                       struct err *err) {
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
    return fd < 0 ? err_sys(err, "make %s", path) : follow_open(path, ret_follow, err);
}

static int make_attempt(struct run *run, struct spec *spec, struct err *err) {
    struct attempt attempt = {
        .instance = "byhand", .tenant = "byhand", .number = 1, .claimed_us = clock_real_us(), .spec = spec};
    id_new_v7(attempt.job);
    snprintf(attempt.cluster, sizeof attempt.cluster, "%s", run->cluster);
    if (attempt_create(run->attempts_fd, &attempt, err) < 0)
        return -1;
    attempt_dir_name(attempt.job, attempt.number, run->name);
    AUTO_FREE char *path = mem_printf("%s/%s", run->attempts, run->name);
    return follow_file(path, ATTEMPT_SPOOL, SPOOL_MODE, &run->follow, err) < 0
               ? -1
               : follow_file(path, ATTEMPT_SYSTEM, SYSTEM_MODE, &run->system, err);
}

/* --- signals and output while waiting --- */

static void on_ready(void *arg) {
    struct run *run = arg;
    struct signalfd_siginfo info;
    while (read(run->signal_fd, &info, sizeof info) == sizeof info)
        orders_cancel(&run->orders, REASON_REQUESTED, run->orders.canceled);
    follow_step(&run->follow);
    follow_step(&run->system);
}

static int watch_fd(struct run *run, int fd, struct err *err) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? err_sys(err, "epoll_ctl") : 0;
}

static int listen_to_all(struct run *run, struct err *err) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    run->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (run->signal_fd < 0 || run->epoll_fd < 0)
        return err_sys(err, "signalfd");
    orders_init(&run->orders, (struct ctx_watch){.fd = run->epoll_fd, .on_ready = on_ready, .arg = run});
    const int fds[] = {run->signal_fd, run->follow.notify_fd, run->system.notify_fd};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (watch_fd(run, fds[i], err) < 0)
            return -1;
    return 0;
}

/* --- the end --- */

static int exit_status(const struct verdict *verdict) {
    if (verdict->status == STATUS_TIMED_OUT)
        return BYHAND_EXIT_TIMED_OUT;
    if (verdict->status == STATUS_CANCELED)
        return BYHAND_EXIT_CANCELED;
    if (verdict->status == STATUS_ERRORED)
        return BYHAND_EXIT_ERRORED;
    if (verdict->signal)
        return EXIT_SIGNALED + verdict->signal;
    return verdict->exit_code >= 0 ? verdict->exit_code : BYHAND_EXIT_ERRORED;
}

/* The last one takes the network along: there is no reaper here. */
static void remove_network(struct run *run, struct engine *engine) {
    char name[LABELS_NAME_MAX];
    struct ctx ctx = orders_fresh(&run->orders, NETWORK_MAX_MS);
    if (flock(run->lock_fd, LOCK_EX | LOCK_NB) == 0 && engine_api_version(engine)[0])
        network_remove(engine, &ctx, labels_egress_network(run->cluster, name), NULL);
}

static int report(struct run *run, const struct verdict *verdict) {
    follow_step(&run->follow);
    follow_step(&run->system);
    if (run->follow.lost_bytes)
        fprintf(stderr, "berth-runner: %lld bytes of the output are lost: the job wrote into its own spool\n",
                (long long)run->follow.lost_bytes);
    if (verdict->status != STATUS_SUCCEEDED)
        fprintf(stderr, "berth-runner: %s/%s: %s\n", status_name(verdict->status),
                reason_name(verdict->reason), verdict->message);
    return exit_status(verdict);
}

static int run_to_end(struct run *run, struct engine *engine, struct err *err) {
    struct job_place place = run->settings->place;
    place.attempts_dir = run->attempts;
    place.state_dir = run->settings->state_dir;
    place.name = run->name;
    place.init_path = run->settings->init_path;
    place.locks_fd = run->locks_fd;
    AUTO_JOB struct job *job = NULL;
    struct ctx reach =
        ctx_child(&run->orders.live); /* who is there to see it, need not wait for the engine */
    ctx_deadline_in(&reach, JOB_CALL_MAX_MS);
    if (engine_negotiate(engine, &reach, err) < 0)
        return -1;
    if (job_open(&place, engine, &run->orders, &job, err) < 0)
        return -1;
    int done = job_run(job, err);
    const struct journal *journal = job_journal(job);
    if (!journal_has(journal, JOURNAL_VERDICT))
        return -1;
    int status = report(run, &journal->verdict);
    if (done < 0)
        complain(err->text);
    if (job_attempt(job)->spec->network == SPEC_NETWORK_EGRESS)
        remove_network(run, engine);
    return status;
}

int byhand_run(const struct byhand *byhand) {
    AUTO_SPEC struct spec *spec = NULL;
    AUTO_ENGINE struct engine *engine = NULL;
    struct err err = {0};
    CLEANUP(run_done)
    struct run run = {.settings = byhand,
                      .dir_fd = -1,
                      .attempts_fd = -1,
                      .lock_fd = -1,
                      .signal_fd = -1,
                      .epoll_fd = -1,
                      .locks_fd = -1};
    if (parse_job(byhand->job, byhand->place.bind_roots, &spec) < 0)
        return BYHAND_EXIT_USAGE;
    if (engine_open(&byhand->engine, &engine, &err) < 0) {
        complain(err.text);
        return BYHAND_EXIT_USAGE;
    }
    int status = -1;
    if (open_dirs(&run, &err) == 0 && make_attempt(&run, spec, &err) == 0 && listen_to_all(&run, &err) == 0)
        status = run_to_end(&run, engine, &err);
    if (status >= 0)
        return status;
    complain(err.text);
    return BYHAND_EXIT_ERRORED;
}
