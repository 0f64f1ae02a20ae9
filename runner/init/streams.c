#include "runner/init/streams.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

static void flag_set(int fd, int flag, bool on) {
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        fcntl(fd, F_SETFL, on ? flags | flag : flags & ~flag);
}

static int pipe_open(struct streams *s, unsigned stream) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -1;
    s->read_fd[stream] = fds[0];
    s->write_fd[stream] = fds[1];
    fchmod(fds[1], 0622); /* a job that changes its user can still open /dev/stderr */
    flag_set(fds[0], O_NONBLOCK, true);
    if (fcntl(fds[0], F_SETOWN, getpid()) < 0 || fcntl(fds[0], F_SETSIG, STREAMS_SIGNAL) < 0)
        return 1;
    return 0;
}

/* All alike, so that one always fits into the other; EPERM where the user has many pipes. */
static void pipes_size(struct streams *s) {
    int fds[] = {s->write_fd[0], s->write_fd[1], s->drain_fd[0][1], s->drain_fd[1][1]};
    int least = STREAMS_PIPE_BYTES;
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
        fcntl(fds[i], F_SETPIPE_SZ, STREAMS_PIPE_BYTES);
        int bytes = fcntl(fds[i], F_GETPIPE_SZ);
        least = bytes < least ? bytes : least;
    }
    for (unsigned i = 0; i < ARRAY_LEN(fds); i++)
        fcntl(fds[i], F_SETPIPE_SZ, least);
    s->pipe_bytes = (size_t)least;
}

static int events_open(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, STREAMS_SIGNAL);
    sigaddset(&set, SIGIO); /* what the kernel sends in its place when the queue is full */
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Writes as a job would, and looks whether the order comes back. */
static bool exact_works(struct streams *s) {
    static const unsigned char order[] = {0, 1, 1, 0};
    unsigned char seen[STREAMS_EVENTS_MAX];
    char byte[2];
    for (unsigned i = 0; i < sizeof order; i++)
        if (write(s->write_fd[order[i]], "", 1) != 1)
            return false;
    bool works = streams_events(s, seen) == sizeof order && memcmp(seen, order, sizeof order) == 0;
    for (unsigned i = 0; i < STREAMS; i++) {
        works &= streams_drain(s, i, sizeof byte) == sizeof byte;
        while (works && streams_waiting(s, i) == 0 && read(s->drain_fd[i][0], byte, sizeof byte) == 1)
            continue;
    }
    return works;
}

int streams_open(struct streams *s) {
    *s = (struct streams){.read_fd = {-1, -1}, .write_fd = {-1, -1}, .event_fd = -1};
    bool possible = true;
    for (unsigned i = 0; i < STREAMS; i++) {
        int r = pipe_open(s, i);
        if (r < 0 || pipe2(s->drain_fd[i], O_CLOEXEC | O_NONBLOCK) < 0)
            return -1;
        possible &= r == 0;
    }
    pipes_size(s);
    s->event_fd = possible ? events_open() : -1;
    if (s->event_fd < 0)
        return 0;
    streams_set_exact(s, true);
    if (!exact_works(s)) {
        streams_set_exact(s, false);
        close(s->event_fd);
        s->event_fd = -1;
    }
    return 0;
}

void streams_close(struct streams *s) {
    for (unsigned i = 0; i < STREAMS; i++) {
        close(s->read_fd[i]);
        close(s->write_fd[i]);
        close(s->drain_fd[i][0]);
        close(s->drain_fd[i][1]);
    }
    if (s->event_fd >= 0)
        close(s->event_fd);
}

bool streams_widen(struct streams *s, unsigned stream) {
    return fcntl(s->write_fd[stream], F_SETPIPE_SZ, STREAMS_WIDE_BYTES) >= STREAMS_WIDE_BYTES;
}

void streams_set_exact(struct streams *s, bool exact) {
    for (unsigned i = 0; i < STREAMS; i++) {
        if (exact)
            fcntl(s->write_fd[i], F_SETPIPE_SZ, (int)s->pipe_bytes);
        flag_set(s->read_fd[i], O_ASYNC, exact);
        flag_set(s->write_fd[i], O_DIRECT, exact);
    }
    s->exact = exact;
    unsigned char ignored[STREAMS_EVENTS_MAX];
    while (!exact && s->event_fd >= 0 && streams_events(s, ignored) != 0)
        continue;
}

int streams_events(struct streams *s, unsigned char ret_stream[STREAMS_EVENTS_MAX]) {
    struct signalfd_siginfo infos[STREAMS_EVENTS_MAX];
    ssize_t got = read(s->event_fd, infos, sizeof infos);
    int count = 0;
    bool missed = false;
    for (ssize_t i = 0; i < got / (ssize_t)sizeof *infos; i++) {
        int fd = infos[i].ssi_fd;
        if (infos[i].ssi_signo != (unsigned)STREAMS_SIGNAL)
            missed = true;
        else if (infos[i].ssi_code > 0 && (fd == s->read_fd[0] || fd == s->read_fd[1]))
            ret_stream[count++] = fd == s->read_fd[1];
    }
    return missed ? -1 : count;
}

size_t streams_drain(struct streams *s, unsigned stream, size_t max) {
    ssize_t moved = splice(s->read_fd[stream], NULL, s->drain_fd[stream][1], NULL, max, SPLICE_F_NONBLOCK);
    return moved > 0 ? (size_t)moved : 0;
}

bool streams_full(const struct streams *s, unsigned stream) {
    struct pollfd fd = {.fd = s->write_fd[stream], .events = POLLOUT};
    return poll(&fd, 1, 0) == 0;
}

size_t streams_waiting(const struct streams *s, unsigned stream) {
    int bytes = 0;
    return ioctl(s->read_fd[stream], FIONREAD, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}
