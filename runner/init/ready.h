/*
 * ready - finds out when a service is ready and says so in LAUNCH_READY_PATH, beside the job's output and
 * without ever waiting for it.
 *
 * One try after the other: a connection to one of the container's own addresses (a service that listens on
 * its loopback alone cannot be reached by the job), a GET there, or a command. A try that fails is followed
 * by a pause. Where readiness is a line of the output, ready_output() sees every byte on its way into the
 * spool.
 */
#ifndef BERTH_RUNNER_INIT_READY_H
#define BERTH_RUNNER_INIT_READY_H

#include <poll.h>
#include <regex.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/launch.h"
#include "runner/init/child.h"
#include "runner/init/endpoint.h"
#include "runner/init/launchfile.h"
#include "runner/init/streams.h"

enum {
    READY_POLL_FDS = 1,
    READY_LINE_MAX = 4096, /* of a longer line only the beginning is looked at */
};

enum ready_state {
    READY_OFF, /* it is told, or nobody wants to know */
    READY_PAUSE,
    READY_CONNECT,
    READY_ANSWER,
    READY_COMMAND,
    READY_LOG,
};

struct ready {
    enum ready_state state;
    int file_fd;
    const struct launchfile *launch;
    char *const *env;
    int64_t until_ms; /* writer_now_ms(): the end of the pause or of the try */
    int pause_ms;
    struct endpoints endpoints;
    int fd; /* of a connection; -1 */
    struct endpoint_answer answer;
    struct child command; /* pid 0: none */
    bool overdue;         /* it was killed for that */
    regex_t expression;
    struct ready_line {
        size_t len;
        char text[READY_LINE_MAX + 1];
    } line[STREAMS];
    char why[LAUNCH_READY_BYTES]; /* of this round of addresses; "": nothing failed yet */
    bool why_answered;            /* somebody had taken the connection */
    char told[LAUNCH_READY_BYTES];
};

/* file_fd: LAUNCH_READY_PATH, or -1: nobody wants to know. Borrows all of it. NULL, or what is wrong with the
 * launch file. */
const char *ready_init(struct ready *r, const struct launchfile *launch, int file_fd, char *const *env);
/* The command was executed. */
void ready_begin(struct ready *r);

/* What to wait for: the number of descriptors, and in *ret_timeout_ms how long (-1: without end). */
unsigned ready_poll(const struct ready *r, struct pollfd fds[READY_POLL_FDS], int *ret_timeout_ms);
/* revents: of that descriptor; 0: none. Also after child_reap() has buried r->command. */
void ready_step(struct ready *r, short revents);
/* Bytes of the job; only of use while ready_wants_output(). */
void ready_output(struct ready *r, unsigned stream, const void *bytes, size_t len);
static inline bool ready_wants_output(const struct ready *r) {
    return r->state == READY_LOG;
}
/* The job's command has ended: so do the tries. */
void ready_end(struct ready *r);

#endif
