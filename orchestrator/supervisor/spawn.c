#include "orchestrator/supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "proto/child.h"
#include "proto/fault_points.h"

static const char own_prefix[] = "BERTH_";

/* The parent's environment without its settings: a child gets those, secrets among them, over its socket.
 * What a test wants of fault points is no setting, and meant for all processes. */
static bool is_for_children(const char *variable) {
#ifdef BERTH_FAULTS
    if (strncmp(variable, FAULT_VARIABLE "=", sizeof FAULT_VARIABLE) == 0)
        return true;
#endif
    return strncmp(variable, own_prefix, sizeof own_prefix - 1) != 0;
}

static char **child_environment(void) {
    size_t count = 0;
    while (environ[count])
        count++;
    char **env = mem_alloc((count + 1) * sizeof *env);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (is_for_children(environ[i]))
            env[kept++] = environ[i];
    return env;
}

/* From here on we are the child: no return, nothing but system calls. */
static _Noreturn void child_fail(const char *what, const char *program) {
    dprintf(STDERR_FILENO, "berthd: start %s: %s: %s\n", program, what, strerror(errno));
    _exit(CHILD_EXIT_AWAY);
}

static void child_reset_signals(void) {
    struct sigaction normal = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int i = 1; i < NSIG; i++)
        sigaction(i, &normal, NULL); /* fails for those that nobody can change */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child_change_user(const struct spawn *what) {
    if (!what->change_user)
        return;
    if (setgroups(0, NULL) < 0 || setresgid(what->gid, what->gid, what->gid) < 0 ||
        setresuid(what->uid, what->uid, what->uid) < 0)
        child_fail("change of user", what->argv[0]);
}

static void child_take_descriptors(const char *program, int sock) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0)
        child_fail("standard input", program);
    if (sock == CHILD_FD ? fcntl(sock, F_SETFD, 0) < 0 : dup2(sock, CHILD_FD) < 0)
        child_fail("socket", program);
    /* Not before the program is executed, which may be one of them. */
    if (close_range(CHILD_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        child_fail("close descriptors", program);
}

static _Noreturn void child_run(const struct spawn *what, char **env, int sock, pid_t parent) {
    child_reset_signals();
    setpgid(0, 0); /* so that Ctrl-C at a terminal reaches the parent only */
    child_change_user(what);
    /* Behind the change of user, which takes it away; and the parent may have died before it was set. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        child_fail("parent death signal", what->argv[0]);
    if (getppid() != parent)
        _exit(CHILD_EXIT_AGAIN);
    child_take_descriptors(what->argv[0], sock);
    execve(what->path, what->argv, env);
    child_fail("execute", what->argv[0]);
}

int spawn_child(const struct spawn *what, pid_t *ret_pid, int *ret_fd, struct err *err) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(err, "make the socket of %s", what->argv[0]);
    AUTO_FD int ours = pair[0];
    AUTO_FD int theirs = pair[1];
    AUTO_FREE char **env = child_environment();
    if (fd_set_nonblock(ours, err) < 0)
        return -1;
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(err, "fork for %s", what->argv[0]);
    if (pid == 0)
        child_run(what, env, theirs, parent);
    *ret_pid = pid;
    *ret_fd = STEAL_FD(ours);
    return 0;
}
