/*
 * What berth-init is given to run in its tests:
 *
 * order N MAX_LEN MAX_RUN SEED: N writes in runs of random length to stdout and stderr; each begins with its
 * number in eight digits and ends with its own length in the same way.
 *
 * flood BYTES WRITE_BYTES: lines of 70 bytes on stdout.
 *
 * beside BYTES SILENT EVERY: a flood on stdout; behind SILENT bytes, every so many, a line on stderr says how
 * many there were.
 *
 * zombies N: N orphans that end while the command runs; prints how many ended unburied.
 *
 * closed: closes both streams, burns no time, waits for TERM.
 *
 * signals N: prints the number of each of N signals it gets, in its handler's order.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LEN_MIN = 20, LEN_MAX = 100000, OUTSTANDING = 16, LINE = 70, BESIDE_WRITE = 4096 };

static void write_whole(int fd, const char *bytes, size_t len) {
    while (len) {
        ssize_t put = write(fd, bytes, len);
        if (put <= 0)
            _exit(99);
        bytes += put;
        len -= (size_t)put;
    }
}

/* Until init has read all of it. With a pipe that was never full the order is exact whatever the machine's
 * load. */
static void read_await(void) {
    int waiting[2] = {1, 1};
    while (waiting[0] || waiting[1]) {
        sched_yield();
        ioctl(STDOUT_FILENO, FIONREAD, &waiting[0]);
        ioctl(STDERR_FILENO, FIONREAD, &waiting[1]);
    }
}

static int order(int n, int max_len, int max_run, unsigned seed) {
    static char bytes[LEN_MAX + LEN_MIN];
    int fd = STDOUT_FILENO;
    int left = 0;
    srandom(seed);
    for (int i = 0; i < n; i++) {
        if (left-- <= 0) {
            fd = fd == STDOUT_FILENO ? STDERR_FILENO : STDOUT_FILENO;
            left = (int)(random() % max_run);
        }
        int len = LEN_MIN + (max_len > LEN_MIN ? (int)(random() % (max_len - LEN_MIN)) : 0);
        memset(bytes, '.', (size_t)len);
        snprintf(bytes, sizeof bytes, "%08d", i);
        bytes[8] = '.';
        snprintf(bytes + len - 9, sizeof bytes - LEN_MAX, "%08d\n", len);
        write_whole(fd, bytes, (size_t)len);
        if (i % OUTSTANDING == 0)
            read_await();
    }
    return 0;
}

static int flood(size_t bytes, size_t write_bytes) {
    char *block = malloc(write_bytes);
    if (!block)
        return 1;
    for (size_t i = 0; i < write_bytes; i++)
        block[i] = i % LINE == LINE - 1 ? '\n' : 'x';
    for (size_t done = 0; done < bytes; done += write_bytes)
        write_whole(STDOUT_FILENO, block, write_bytes);
    free(block);
    return 0;
}

static int beside(long bytes, long silent, long every) {
    static char block[BESIDE_WRITE];
    char line[24];
    memset(block, 'x', sizeof block);
    for (long done = 0; done < bytes; done += (long)sizeof block) {
        if (done >= silent && done % every == 0)
            write_whole(STDERR_FILENO, line, (size_t)snprintf(line, sizeof line, "%ld\n", done));
        write_whole(STDOUT_FILENO, block, sizeof block);
    }
    return 0;
}

/* Each orphan holds a pipe; when all have ended, /proc must not show them any more. */
static int zombies(int n) {
    int fds[2];
    char byte;
    int left = 0;
    if (pipe(fds) < 0)
        return 1;
    pid_t *pids = calloc((size_t)n, sizeof *pids);
    for (int i = 0; pids && i < n; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            pid_t orphan = fork();
            if (orphan == 0) {
                close(fds[0]);
                _exit(0);
            }
            write_whole(fds[1], (char *)&orphan, sizeof orphan);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
        if (read(fds[0], &pids[i], sizeof *pids) != sizeof *pids)
            return 1;
    }
    close(fds[1]);
    while (read(fds[0], &byte, 1) > 0)
        continue;
    for (int i = 0; pids && i < n; i++)
        for (int tries = 0; kill(pids[i], 0) == 0; tries++)
            if (tries == 500) {
                left++;
                break;
            } else {
                poll(NULL, 0, 10); /* init has been told; there is no event for being buried */
            }
    free(pids);
    printf("%d\n", left);
    return 0;
}

static int closed(void) {
    sigset_t set;
    int sig;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int tell = dup(STDERR_FILENO);
    fcntl(tell, F_SETFD, FD_CLOEXEC);
    write_whole(tell, "ready\n", 6);
    close(tell);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    sigwait(&set, &sig);
    return 3;
}

static int signals(int n) {
    sigset_t set;
    char text[16];
    int sig;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    write_whole(STDERR_FILENO, "ready\n", 6);
    while (n-- > 0) {
        sigwait(&set, &sig);
        write_whole(STDOUT_FILENO, text, (size_t)snprintf(text, sizeof text, "%d\n", sig));
    }
    return 0;
}

int main(int argc, char **argv) {
    long n[4] = {0};
    for (int i = 2; i < argc && i < 6; i++)
        n[i - 2] = strtol(argv[i], NULL, 10);
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "order") == 0)
        return order((int)n[0], (int)n[1], (int)n[2], (unsigned)n[3]);
    if (strcmp(what, "flood") == 0)
        return flood((size_t)n[0], (size_t)n[1]);
    if (strcmp(what, "beside") == 0)
        return beside(n[0], n[1], n[2]);
    if (strcmp(what, "zombies") == 0)
        return zombies((int)n[0]);
    if (strcmp(what, "closed") == 0)
        return closed();
    if (strcmp(what, "signals") == 0)
        return signals((int)n[0]);
    return 2;
}
