#include "runner/init/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

/* What the engine puts into an environment without PATH. */
static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

enum { OOM_SCORE_ABOVE_INIT = 100, OOM_SCORE_MAX = 1000 };

int child_exec_status(int error) {
    return error == ENOENT || error == ENOTDIR ? CHILD_NOT_FOUND : CHILD_NOT_EXECUTABLE;
}

static const char *search_path(char *const *env) {
    for (; *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return default_path;
}

/* Whether a later directory may still have the command (execvp(3)). */
static bool search_goes_on(int error) {
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == ENAMETOOLONG ||
           error == ELOOP || error == ESTALE || error == ENODEV || error == ETIMEDOUT;
}

/* Returns only on failure, with errno. EACCES anywhere is told rather than a later ENOENT. */
static int exec_command(char *const *argv, char *const *env) {
    if (strchr(argv[0], '/') || !*argv[0]) {
        execve(argv[0], argv, env);
        return errno;
    }
    int error = ENOENT;
    char tried[PATH_MAX];
    for (const char *dir = search_path(env); dir; dir = strchr(dir, ':') ? strchr(dir, ':') + 1 : NULL) {
        int len = (int)strcspn(dir, ":");
        int put = snprintf(tried, sizeof tried, "%.*s/%s", len ? len : 1, len ? dir : ".", argv[0]);
        if (put < 0 || (size_t)put >= sizeof tried)
            continue;
        execve(tried, argv, env);
        if (!search_goes_on(errno))
            return errno;
        if (errno == EACCES)
            error = EACCES;
    }
    return error;
}

static void signals_reset(void) {
    struct sigaction act = {.sa_handler = SIG_DFL};
    for (int sig = 1; sig < NSIG; sig++)
        sigaction(sig, &act, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* When the container's memory runs out, the kernel should choose the job and not the one who can tell of it.
 * A job may raise its score without any right; where /proc is not there, the kernel's own judgement has to
 * do. */
static void oom_score_raise(void) {
    AUTO_FD int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    char text[16] = "";
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
        return;
    long score = strtol(text, NULL, 10) + OOM_SCORE_ABOVE_INIT;
    int len = snprintf(text, sizeof text, "%ld", score < OOM_SCORE_MAX ? score : OOM_SCORE_MAX);
    ssize_t put = pwrite(fd, text, (size_t)len, 0);
    (void)put;
}

/* dup2 clears close-on-exec; the descriptors are all above 2 (main opens 0 to 2 first where they are closed).
 */
static int child_run(const struct child_launch *launch) {
    oom_score_raise();
    if (setsid() < 0 || dup2(launch->in_fd, STDIN_FILENO) < 0 || dup2(launch->out_fd, STDOUT_FILENO) < 0 ||
        dup2(launch->err_fd, STDERR_FILENO) < 0)
        return errno;
    signals_reset();
    return exec_command(launch->argv, launch->env);
}

/* The errno that the child sends, or 0 when its end of the pipe was closed by a successful execve. */
static int exec_result(int fd) {
    int error = 0;
    ssize_t got;
    do
        got = read(fd, &error, sizeof error);
    while (got < 0 && errno == EINTR);
    return got == sizeof error ? error : 0;
}

int child_start(struct child *child, const struct child_launch *launch) {
    int fds[2];
    *child = (struct child){.ended = false};
    if (pipe2(fds, O_CLOEXEC) < 0)
        return errno;
    AUTO_FD int result_fd = fds[0];
    pid_t pid = fork();
    if (pid == 0) {
        int error = child_run(launch);
        ssize_t put = write(fds[1], &error, sizeof error);
        _exit(put == sizeof error ? CHILD_NOT_FOUND : CHILD_NOT_EXECUTABLE);
    }
    int error = pid < 0 ? errno : 0;
    close(fds[1]);
    if (pid < 0)
        return error;
    child->pid = pid;
    error = exec_result(result_fd);
    if (error)
        waitpid(pid, NULL, 0);
    return error;
}

void child_kill_all(const struct child *child) {
    kill(getpid() == 1 ? -1 : -child->pid, SIGKILL);
}

void child_signal(const struct child *child, int signal) {
    kill(-child->pid, signal);
}

static void note_end(struct child *child, pid_t pid, int status) {
    if (!child || pid != child->pid || child->ended)
        return;
    child->ended = true;
    child->wait_status = status;
}

void child_reap(struct child *child, struct child *other) {
    int status;
    for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
        note_end(child, pid, status);
        note_end(other, pid, status);
    }
}
