#include "runner/deadlines.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/ctx.h"
#include "proto/attempt.h"

void deadlines_begin(struct deadlines *d, const struct spec *spec, int64_t started_ns) {
    *d = (struct deadlines){.started_ns = started_ns,
                            .run_ms = spec->deadlines.run_ms,
                            .idle_ms = spec->deadlines.idle_ms,
                            .output_ns = started_ns,
                            .seen_ns = started_ns};
}

void deadlines_extend(struct deadlines *d, const struct spec *spec, int64_t extended_ms) {
    if (spec->deadlines.run_ms > 0)
        d->run_ms = spec->deadlines.run_ms + extended_ms;
}

/* What is new was written after the last look, whatever the wall clock, which was set meanwhile, says. */
void deadlines_see(struct deadlines *d, int64_t bytes, int64_t changed_ago_ns, int64_t now_ns) {
    if (bytes > d->spool_bytes) {
        int64_t changed_ns = now_ns - changed_ago_ns;
        if (changed_ns < d->seen_ns)
            changed_ns = d->seen_ns;
        d->output_ns = changed_ns < now_ns ? changed_ns : now_ns;
        d->spool_bytes = bytes;
    }
    d->seen_ns = now_ns;
}

static int64_t run_ns(const struct deadlines *d) {
    return d->run_ms > 0 ? d->started_ns + d->run_ms * NS_PER_MS : CTX_NEVER;
}

static int64_t idle_ns(const struct deadlines *d) {
    return d->idle_ms > 0 ? d->output_ns + d->idle_ms * NS_PER_MS : CTX_NEVER;
}

int64_t deadlines_next_ns(const struct deadlines *d) {
    return run_ns(d) < idle_ns(d) ? run_ns(d) : idle_ns(d);
}

enum reason deadlines_passed(const struct deadlines *d, int64_t now_ns) {
    if (now_ns >= run_ns(d))
        return REASON_RUN_DEADLINE;
    return now_ns >= idle_ns(d) ? REASON_IDLE_DEADLINE : REASON_NONE;
}

void deadlines_look(struct deadlines *d, int dir_fd) {
    struct stat st;
    if (d->idle_ms <= 0 || fstatat(dir_fd, ATTEMPT_SPOOL, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    int64_t changed_us = st.st_mtim.tv_sec * US_PER_S + st.st_mtim.tv_nsec / (NS_PER_MS / US_PER_MS);
    int64_t ago_ns = (clock_real_us() - changed_us) * (NS_PER_MS / US_PER_MS);
    deadlines_see(d, st.st_size, ago_ns, clock_boot_ns());
}
