/*
 * berth-init - the first process of every container (docs/adr, "Why berth-init"): starts the job's command,
 * writes what it puts out and how it ended into the spool, passes signals on, buries orphans.
 *
 *   berth-init [--dir DIR]   DIR in place of LAUNCH_DIR is for tests
 *   berth-init --probe       shows the engine's view of a directory
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/launch.h"
#include "runner/init/child.h"
#include "runner/init/counters.h"
#include "runner/init/launchfile.h"
#include "runner/init/output.h"
#include "runner/init/ready.h"

enum { PROBE_BYTES_MAX = 4096, SIGNALS_AT_ONCE = 16, END_ATTEMPTS_MAX = 100, LOWEST_FD = 3 };

/* One of each: init is one process with one job. Zero pages until they are used. */
static struct writer writer;
static struct streams streams;
static struct output output;
static struct child child;
static struct ready ready;
static struct spool_end end;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    fputs("berth-init: ", stderr);
    vfprintf(stderr, fmt, args);
    fputs("\n", stderr);
    va_end(args);
    _exit(LAUNCH_EXIT_BROKEN);
}

static const char *path_below(const char *dir, const char *path, char out[PATH_MAX]) {
    int len = snprintf(out, PATH_MAX, "%s%s", dir, path + sizeof LAUNCH_DIR - 1);
    if (len < 0 || len >= PATH_MAX)
        die("the directory's name %.40s... is too long", dir);
    return out;
}

static int open_below(const char *dir, const char *path, int flags) {
    char full[PATH_MAX];
    int fd = open(path_below(dir, path, full), flags | O_CLOEXEC);
    if (fd < 0)
        die("%s cannot be opened: %s; the job was not started", full, strerror(errno));
    return fd;
}

static int probe(const char *dir) {
    char bytes[PROBE_BYTES_MAX];
    int from = open_below(dir, LAUNCH_PROBE_PATH, O_RDONLY);
    int to = open_below(dir, LAUNCH_SPOOL_PATH, O_WRONLY | O_APPEND);
    ssize_t len = read(from, bytes, sizeof bytes);
    if (len < 0 || write(to, bytes, (size_t)len) != len)
        die("the probe cannot be copied: %s", strerror(errno));
    return 0;
}

/* 0 to 2 may be closed; nothing of ours may land there, since the command's own go there. */
static void standard_fds_fill(void) {
    int fds[2];
    while (fcntl(LOWEST_FD - 1, F_GETFD) < 0 || fcntl(1, F_GETFD) < 0 || fcntl(0, F_GETFD) < 0)
        if (pipe2(fds, O_CLOEXEC) < 0)
            die("no descriptors: %s", strerror(errno));
}

/* /dev/null, or what reads like it where there is no such device. */
static int open_nothing(void) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int fds[2];
    if (fd >= 0)
        return fd;
    if (pipe2(fds, O_CLOEXEC) < 0)
        die("no empty input can be made: %s", strerror(errno));
    close(fds[1]);
    return fds[0];
}

static int signals_open(void) {
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigdelset(&set, STREAMS_SIGNAL);
    sigdelset(&set, SIGIO);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        die("signals cannot be awaited: %s", strerror(errno));
    return fd;
}

static void signal_pass(const struct signalfd_siginfo *info) {
    struct spool_signal record = {.signal = (int32_t)info->ssi_signo, .sender_pid = (int32_t)info->ssi_pid};
    if (record.sender_pid == getpid())
        return; /* what init brought upon itself: SIGXFSZ for the spool */
    if (record.signal == LAUNCH_KILL_SIGNAL) {
        child_kill_all(&child);
        ready_end(&ready);
    } else {
        child_signal(&child, record.signal);
    }
    if (info->ssi_pid == 0 && info->ssi_code <= 0) /* sent, by nobody in here; not by the kernel */
        end.signal_outside = record.signal;
    writer_record(&writer, SPOOL_SIGNAL, &record, sizeof record);
}

static void signals_step(int fd) {
    struct signalfd_siginfo infos[SIGNALS_AT_ONCE];
    ssize_t got = read(fd, infos, sizeof infos);
    for (ssize_t i = 0; i < got / (ssize_t)sizeof *infos; i++) {
        if (infos[i].ssi_signo == SIGCHLD)
            child_reap(&child, &ready.command);
        else
            signal_pass(&infos[i]);
    }
}

/* Until the command has ended. While the spool is stuck its output stays in the pipes. */
static void run(int signal_fd) {
    struct pollfd fds[1 + READY_POLL_FDS + OUTPUT_POLL_FDS] = {{.fd = signal_fd, .events = POLLIN}};
    while (!child.ended) {
        int timeout = WRITER_RETRY_MS;
        int ready_timeout;
        unsigned outputs = 1 + ready_poll(&ready, fds + 1, &ready_timeout);
        unsigned count = outputs;
        int stuck = writer_flush(&writer);
        if (!stuck)
            count += output_poll(&output, fds + outputs, &timeout);
        bool ready_first = ready_timeout >= 0 && (timeout < 0 || ready_timeout < timeout);
        int found = poll(fds, count, ready_first ? ready_timeout : timeout);
        if (found < 0)
            continue;
        if (fds[0].revents)
            signals_step(signal_fd);
        if (!child.ended)
            ready_step(&ready, outputs > 1 ? fds[1].revents : 0);
        short wrote = 0;
        for (unsigned i = outputs; i < count; i++)
            wrote |= fds[i].revents;
        bool quiet = found == 0 && !ready_first;
        if (!stuck && (quiet || wrote))
            output_step(&output, quiet);
    }
}

static void flush_patiently(void) {
    for (unsigned i = 0; writer_flush(&writer) && i < END_ATTEMPTS_MAX + 1; i++)
        poll(NULL, 0, WRITER_RETRY_MS);
}

static void finish(void) {
    ready_end(&ready);
    flush_patiently();
    output_end(&output);
    while (!output_ended(&output)) {
        output_step(&output, false);
        flush_patiently();
    }
    counters_read(COUNTERS_MEMBERSHIP, COUNTERS_MOUNT, &end);
    end.output_bytes = writer.output_bytes;
    writer_end(&writer);
    writer_record(&writer, SPOOL_END, &end, sizeof end);
    flush_patiently();
}

static void start(const struct launchfile *launch, int in_fd, char **env) {
    struct child_launch what = {.argv = launch->argv,
                                .env = env,
                                .in_fd = in_fd,
                                .out_fd = streams.write_fd[0],
                                .err_fd = streams.write_fd[1]};
    int error = child_start(&child, &what);
    if (!error) {
        struct spool_started started = {.pid = child.pid};
        writer_record(&writer, SPOOL_STARTED, &started, sizeof started);
        ready_begin(&ready);
        return;
    }
    struct {
        struct spool_exec_failed failed;
        char path[4096];
    } record = {.failed.error = error};
    size_t len = strnlen(launch->argv[0], sizeof record.path);
    memcpy(record.path, launch->argv[0], len);
    writer_record(&writer, SPOOL_EXEC_FAILED, &record, sizeof record.failed + len);
    end.exec_errno = error;
    child.wait_status = child_exec_status(error) << 8;
    child.ended = true;
}

/* A spool that has anything in it belongs to a job that has run: a start request that reached the engine late
 * must not run it twice. */
static int open_spool(const char *dir) {
    int fd = open_below(dir, LAUNCH_SPOOL_PATH, O_WRONLY | O_APPEND);
    if (lseek(fd, 0, SEEK_END) > 0)
        die("the spool has been written before: this attempt has been started already, it is not run again");
    return fd;
}

/* Is what the runner has looked at what the engine has mounted? */
static void binds_check(const struct launchfile *launch) {
    for (size_t i = 0; i < launch->bind_count; i++) {
        const struct launchfile_bind *bind = &launch->binds[i];
        struct stat st;
        int error = stat(bind->target, &st) < 0 ? errno : 0;
        if (!error && st.st_dev == bind->dev && st.st_ino == bind->inode)
            continue;
        if (error == EACCES) {
            fprintf(stderr,
                    "berth-init: what is mounted at %s cannot be checked: the container's user may not enter "
                    "a directory above it; the job was not started\n",
                    bind->target);
            _exit(LAUNCH_EXIT_BIND_HIDDEN);
        }
        fprintf(stderr,
                "berth-init: what is mounted at %s is not what was to be: its source was moved or "
                "replaced; the job was not started\n",
                bind->target);
        _exit(LAUNCH_EXIT_BIND_CHANGED);
    }
}

/* Who wants to know when a service is ready mounts the file; -1: nobody does. */
static int open_ready(const char *dir) {
    char full[PATH_MAX];
    int fd = open(path_below(dir, LAUNCH_READY_PATH, full), O_WRONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        die("%s cannot be opened: %s; the job was not started", full, strerror(errno));
    return fd;
}

static void prepare(const char *dir, struct launchfile *launch, char ***ret_env) {
    char path[PATH_MAX];
    const char *wrong = launchfile_read(path_below(dir, LAUNCH_FILE_PATH, path), launch);
    if (wrong)
        die("%s: %s%s%s; the job was not started", path, wrong, errno ? ": " : "",
            errno ? strerror(errno) : "");
    char **env = launchfile_environment(launch, environ);
    if (!env)
        die("no memory for the environment; the job was not started");
    binds_check(launch);
    writer_init(&writer, open_spool(dir));
    wrong = ready_init(&ready, launch, open_ready(dir), env);
    if (wrong)
        die("%s: %s; the job was not started", path, wrong);
    *ret_env = env;
}

static int job(const char *dir) {
    struct launchfile launch;
    char **env;
    prepare(dir, &launch, &env);
    int in_fd = launch.has_input ? open_below(dir, LAUNCH_INPUT_PATH, O_RDONLY) : open_nothing();
    int signal_fd = signals_open();
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0,
          0); /* as the first process it is one anyway; for tests and --init */
    if (streams_open(&streams) < 0)
        die("no pipes for the job's output: %s; the job was not started", strerror(errno));
    output_init(&output, &streams, &writer);
    output.ready = launch.ready == LAUNCHFILE_READY_LOG ? &ready : NULL;
    start(&launch, in_fd, env);
    close(in_fd);
    run(signal_fd);
    end.wait_status = child.wait_status;
    finish();
    return WIFSIGNALED(child.wait_status) ? 128 + WTERMSIG(child.wait_status)
                                          : WEXITSTATUS(child.wait_status);
}

int main(int argc, char **argv) {
    const char *dir = LAUNCH_DIR;
    int at = 1;
    standard_fds_fill();
    if (argc > at + 1 && strcmp(argv[at], "--dir") == 0) {
        dir = argv[at + 1];
        at += 2;
    }
    if (argc == at + 1 && strcmp(argv[at], "--probe") == 0)
        return probe(dir);
    if (argc != at)
        die("usage: berth-init [--dir DIR] [--probe]; it takes its orders from %s", LAUNCH_FILE_PATH);
    return job(dir);
}
