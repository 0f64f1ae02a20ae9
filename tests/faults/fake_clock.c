/* Preloaded by test_clock.py: the wall clock of a process is off by what stands in the file FAKE_CLOCK_FILE,
 * which a test changes while the process runs. Every other clock is as it is, as when somebody sets the time
 * of a machine. The kernel stamps files by the clock that it has, so what fstatat(2) tells is off by what the
 * clock was off when the process began; when the clock jumps, the stamps do not. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset_s;
static int64_t first_offset_s;

__attribute__((constructor)) static void open_offset(void) {
    const char *name = getenv("FAKE_CLOCK_FILE");
    int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd >= 0 ? mmap(NULL, sizeof *offset_s, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0)
        close(fd);
    if (at == MAP_FAILED)
        return;
    offset_s = at;
    first_offset_s = *offset_s;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int done = (int)syscall(SYS_clock_gettime, clock, now);
    if (done == 0 && offset_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *offset_s;
    return done;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    now->tv_sec = t.tv_sec;
    now->tv_usec = t.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (into)
        *into = t.tv_sec;
    return t.tv_sec;
}

int fstatat(int dir, const char *restrict name, struct stat *restrict ret, int flags) {
    int done = (int)syscall(SYS_newfstatat, dir, name, ret, flags);
    if (done == 0)
        ret->st_mtim.tv_sec += first_offset_s;
    return done;
}
