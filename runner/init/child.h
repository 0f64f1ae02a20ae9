/*
 * child - the job's command, and a service's readiness command: started, signalled, buried.
 *
 * The only fork in init. Nothing but a readiness command needs another process after the job's own, so a job
 * that has used up its PIDs limit cannot stand in the way of its end.
 */
#ifndef BERTH_RUNNER_INIT_CHILD_H
#define BERTH_RUNNER_INIT_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

struct child {
    pid_t pid; /* also its session and process group */
    bool ended;
    int wait_status; /* once it has ended */
};

enum { CHILD_NOT_FOUND = 127, CHILD_NOT_EXECUTABLE = 126 };

struct child_launch {
    char **argv, **env;
    int in_fd, out_fd, err_fd;
};

/* Starts the command in a session of its own with default signal handling and an empty mask. 0: it was
 * executed; otherwise errno of execve, of fork or of a step between them. A name without a slash is looked
 * for in the PATH of launch->env, as execvpe(3) does. */
int child_start(struct child *child, const struct child_launch *launch);

/* The exit status that a shell gives for a command that could not be executed for this reason. */
int child_exec_status(int error);

/* Passes a signal on to the command's process group. */
/* SIGKILL to every process of the container. Outside of one (a test), to the command's group only. */
void child_kill_all(const struct child *child);
void child_signal(const struct child *child, int signal);

/* Buries every process that has ended and was left to init; notes the end of these (NULL: there is no other).
 */
void child_reap(struct child *child, struct child *other);

#endif
