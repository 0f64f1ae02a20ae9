#include "runner/services.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "proto/fault_points.h"
#include "runner/job_parts.h"
#include "runner/system_log.h"
#include "runner/tail.h"

enum {
    ENDING_MAX = 256,
    READS_MAX = 16 /* of what inotify has to tell, before other things have their turn */
};

void services_open(struct job *job) {
    const struct spec *spec = job->attempt->spec;
    struct services *s = &job->services;
    *s = (struct services){.count = spec->services_count, .notify_fd = -1};
    s->items = mem_alloc((s->count + 1) * sizeof *s->items);
    for (size_t i = 0; i < s->count; i++) {
        part_init(&s->items[i].part, job, &spec->services[i]);
        s->items[i].looks = 1;
    }
}

void services_close(struct job *job) {
    struct services *s = &job->services;
    if (!s->items)
        return;
    if (s->notify_fd >= 0) {
        orders_watch_end(job->orders);
        close(s->notify_fd);
    }
    free(s->items);
    *s = (struct services){.notify_fd = -1};
}

static int open_file(const struct service *s, const char *file) {
    char name[ATTEMPT_FILE_NAME_MAX];
    return openat(s->part.job->dir_fd, part_file(&s->part, file, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

/* --- what wakes us --- */

/* It is looked at from now on until it is certain that it runs. */
static void suspect(struct service *s) {
    s->looks = SERVICES_LOOKS;
    s->look_ns = clock_boot_ns();
    s->pause_ms = SERVICES_LOOK_FIRST_MS;
}

/* Whether it says anything new. A service can write to its files as often as it likes, and must not keep the
 * engine busy by that: one that is looked at already is not looked at any sooner. */
static bool take_event(struct services *s, const struct inotify_event *event) {
    bool all = event->mask & IN_Q_OVERFLOW;
    bool is_new = false;
    for (size_t i = 0; i < s->count; i++) {
        struct service *service = &s->items[i];
        bool suspected = service->looks && service->pause_ms;
        if ((all || event->wd == service->spool_watch) && !suspected) {
            suspect(service);
            is_new = true;
        }
        is_new |= (all || event->wd == service->ready_watch) && !service->ready;
    }
    return is_new;
}

static void on_notify(void *arg) {
    struct job *job = arg;
    char bytes[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool is_new = false;
    ssize_t got;
    for (int i = 0; i < READS_MAX && (got = read(job->services.notify_fd, bytes, sizeof bytes)) > 0; i++)
        for (const char *at = bytes; at < bytes + got;) {
            const struct inotify_event *event = (const void *)at;
            is_new |= take_event(&job->services, event);
            at += sizeof *event + event->len;
        }
    if (is_new)
        orders_stir(job->orders);
}

static int add_watch(const struct service *s, const char *file, uint32_t mask) {
    char name[ATTEMPT_FILE_NAME_MAX];
    AUTO_FREE char *path = mem_printf("%s/%s", s->part.job->dir, part_file(&s->part, file, name));
    int watch = inotify_add_watch(s->part.job->services.notify_fd, path, mask);
    return watch > 0 ? watch : 0;
}

void services_watch(struct job *job) {
    struct services *s = &job->services;
    struct err err = {0};
    if (!s->count)
        return;
    if (s->notify_fd < 0 && !s->unwatched) {
        s->notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        struct ctx_watch watch = {.fd = s->notify_fd, .on_ready = on_notify, .arg = job};
        if (s->notify_fd < 0)
            err_sys(&err, "inotify_init1");
        s->unwatched = s->notify_fd < 0 || orders_watch_also(job->orders, watch, &err) < 0;
        if (s->unwatched)
            log_warn("services cannot be watched, they are looked at again and again", LERR(&err));
    }
    for (size_t i = 0; i < s->count && s->notify_fd >= 0; i++) {
        struct service *service = &s->items[i];
        if (!service->spool_watch)
            service->spool_watch = add_watch(service, ATTEMPT_SPOOL, IN_CLOSE_WRITE);
        if (!service->ready_watch)
            service->ready_watch = add_watch(service, ATTEMPT_READY, IN_MODIFY);
        if ((!service->spool_watch || !service->ready_watch) && !s->unwatched) {
            err_sys(&err, "inotify_add_watch");
            s->unwatched = true;
            log_warn("a service cannot be watched, they are looked at again and again", LERR(&err));
        }
    }
}

/* --- how one has ended --- */

static void describe_record(const struct service *s, const struct spool_end *end, char *out, size_t max) {
    char limit[UNITS_TEXT_MAX];
    if (end->exec_errno)
        snprintf(out, max, "its command could not be executed (%s)", strerrordesc_np(end->exec_errno));
    else if (end->oom_kills > 0)
        snprintf(out, max, "the kernel killed %lld of its processes for memory (its limit is %s)",
                 (long long)end->oom_kills, units_format_size(s->part.service->limits.memory_bytes, limit));
    else if (WIFSIGNALED(end->wait_status))
        snprintf(out, max, "it was ended by signal %d (SIG%s)", WTERMSIG(end->wait_status),
                 sigabbrev_np(WTERMSIG(end->wait_status)) ? sigabbrev_np(WTERMSIG(end->wait_status)) : "?");
    else
        snprintf(out, max, "it ended with exit code %d", WEXITSTATUS(end->wait_status));
    if (end->signal_outside) {
        size_t have = strlen(out);
        snprintf(out + have, max - have, " after someone else had sent it signal %d", end->signal_outside);
    }
}

static void describe_without(const struct part *part, char *out, size_t max) {
    enum { SIGNALED = 128 };
    if (!part->inspected)
        snprintf(out, max, "its container was removed by someone else");
    else if (part->engine_oom_killed)
        snprintf(out, max, "the kernel killed it for memory");
    else if (part->engine_exit_code > SIGNALED)
        snprintf(out, max, "its container was killed with signal %d by someone else",
                 part->engine_exit_code - SIGNALED);
    else
        snprintf(out, max, "its container ended with status %d%s%.100s", part->engine_exit_code,
                 part->engine_error[0] ? ": " : "", part->engine_error);
}

/* Adds " Its last lines: ….", as far as there is room. */
static void add_tail(const struct service *s, char *text, size_t max) {
    static const char before[] = " Its last lines: ";
    char tail[SERVICES_TAIL_BYTES] = "";
    AUTO_FD int fd = open_file(s, ATTEMPT_SPOOL);
    size_t have = strlen(text);
    if (fd < 0 || max < have + sizeof before + 2)
        return;
    size_t room = max - have - sizeof before; /* the full stop takes the place of its NUL */
    tail_read(fd, SERVICES_TAIL_LINES, tail, room < sizeof tail ? room : sizeof tail);
    if (tail[0])
        snprintf(text + have, max - have, "%s%s.", before, tail);
}

static void describe_end(const struct service *s, char *text, size_t max) {
    char how[ENDING_MAX] = "";
    struct spool_end end;
    bool known = part_end(&s->part, &end, NULL, NULL) > 0;
    s->part.job->services.from_outside = !known || end.signal_outside;
    if (known)
        describe_record(s, &end, how, sizeof how);
    else
        describe_without(&s->part, how, sizeof how);
    system_log(s->part.job->dir_fd, "service %s: %s%s", part_name(&s->part), how,
               s->ready ? "" : ", and it was not ready yet");
    snprintf(text, max, "The service \"%s\" ended %s: %s.", part_name(&s->part),
             s->ready ? "before the job did" : "before it was ready", how);
    add_tail(s, text, max);
}

/* Whether it has ended; asks the engine only where there is a reason to. */
static bool has_ended(struct service *s) {
    int64_t now_ns = clock_boot_ns();
    bool unwatched = s->part.job->services.unwatched;
    if ((!s->looks && !unwatched) || now_ns < s->look_ns)
        return false;
    if (part_ends_by_itself(&s->part) || part_look(&s->part, NULL) != PART_SEEN_RUNNING)
        return true;
    if (s->looks)
        s->looks--;
    s->look_ns = now_ns + (s->looks ? s->pause_ms : SERVICES_UNWATCHED_MS) * NS_PER_MS;
    s->pause_ms *= 2;
    return false;
}

bool services_failed(struct job *job) {
    struct evidence *e = &job->evidence;
    for (size_t i = 0; i < job->services.count; i++) {
        struct service *s = &job->services.items[i];
        s->ready = true; /* else the main container would not have been started */
        if (has_ended(s)) {
            describe_end(s, e->stop_text, sizeof e->stop_text);
            return true;
        }
    }
    return false;
}

int64_t services_next_ns(const struct job *job) {
    int64_t next_ns = CTX_NEVER;
    for (size_t i = 0; i < job->services.count; i++) {
        const struct service *s = &job->services.items[i];
        if ((s->looks || job->services.unwatched) && s->look_ns < next_ns)
            next_ns = s->look_ns;
    }
    return next_ns;
}

/* --- the start --- */

static bool has_begun(const struct service *s) {
    struct stat st;
    AUTO_FD int fd = open_file(s, ATTEMPT_SPOOL);
    return fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0;
}

/* Where it was started by a runner before, the engine knows when. */
static void take_start(struct service *s) {
    int64_t ago_us = clock_real_us() - s->part.started_us;
    int64_t deadline_us = s->part.service->deadline_ms * US_PER_MS;
    if (ago_us < 0 ||
        ago_us > deadline_us) /* the clock was set, or the deadline has passed: look once more */
        ago_us = ago_us < 0 ? 0 : deadline_us;
    s->started_ns = clock_boot_ns() - ago_us * (NS_PER_MS / US_PER_MS);
    suspect(s);
}

static int launch(struct service *s, bool exists, struct err *err) {
    struct job *job = s->part.job;
    struct ctx ctx = job_start_ctx(job);
    char id[ENGINE_ID_MAX];
    const struct part_place place = {.network = job->network, .cgroup_parent = job->cgroup};
    if (!exists && part_create(&s->part, &ctx, &place, id, err) < 0)
        return -1;
    FAULT(RUNNER_SERVICE_CREATED);
    if (part_start(&s->part, &ctx, s->part.container, err) != 0)
        return -1;
    FAULT(RUNNER_SERVICE_STARTED);
    s->started_ns = clock_boot_ns();
    s->look_ns = s->started_ns;
    system_log(job->dir_fd, "service %s: started (%s)", part_name(&s->part), s->part.service->image);
    return 0;
}

static int start_one(struct service *s, struct err *err) {
    struct job *job = s->part.job;
    if (s->started_ns)
        return 0;
    bool look = job->resumed || s->part.create_sent;
    switch (look ? part_look(&s->part, NULL) : PART_SEEN_MISSING) {
    case PART_SEEN_MISSING:
        if (has_begun(s))
            return job_fault(
                job, REASON_CONTAINER_REMOVED,
                "The container %s of a service was removed by someone else (`docker rm`, a prune job?).",
                s->part.container);
        return launch(s, false, err);
    case PART_SEEN_CREATED:
        return launch(s, true, err);
    case PART_SEEN_RUNNING:
    case PART_SEEN_ENDED:
        break;
    }
    take_start(s); /* an end is told with the others */
    return 0;
}

int services_start(struct job *job, struct err *err) {
    services_watch(job);
    for (size_t i = 0; i < job->services.count; i++)
        if (start_one(&job->services.items[i], err) < 0)
            return -1;
    return 0;
}

/* --- readiness --- */

/* init's word, or its reason; "" when there is none yet. */
static void read_word(const struct service *s, char word[LAUNCH_READY_BYTES + 1]) {
    AUTO_FD int fd = open_file(s, ATTEMPT_READY);
    ssize_t len = fd < 0 ? 0 : pread(fd, word, LAUNCH_READY_BYTES, 0);
    word[len < 0 ? 0 : len] = '\0';
    word[strcspn(word, "\n")] = '\0';
    for (size_t end = strlen(word); end && word[end - 1] == ' '; end--)
        word[end - 1] = '\0';
    tail_clean(word);
}

static int not_ready(const struct service *s, const char *word) {
    char figure[UNITS_TEXT_MAX];
    struct evidence *e = &s->part.job->evidence;
    system_log(s->part.job->dir_fd, "service %s: not ready within its deadline: %s", part_name(&s->part),
               word[0] ? word : "no word of its init");
    job_fault(s->part.job, REASON_SERVICE_NOT_READY, "The service \"%s\" was not ready within %s: %s.",
              part_name(&s->part), units_format_duration(s->part.service->deadline_ms, figure),
              word[0] ? word : "its init said nothing, the engine may be overloaded");
    add_tail(s, e->fault_text, sizeof e->fault_text);
    return -1;
}

/* 1: ready; 0: not yet, *next_ns may become nearer; -1: evidence.fault. */
static int look_at(struct service *s, int64_t *next_ns) {
    char word[LAUNCH_READY_BYTES + 1];
    struct evidence *e = &s->part.job->evidence;
    int64_t now_ns = clock_boot_ns();
    int64_t passed_ms = (now_ns - s->started_ns) / NS_PER_MS;
    if (has_ended(s)) {
        e->fault = REASON_SERVICE_FAILED;
        describe_end(s, e->fault_text, sizeof e->fault_text);
        return -1;
    }
    if (s->ready)
        return 1;
    read_word(s, word);
    if (strcmp(word, LAUNCH_READY_WORD) == 0) {
        s->ready = true;
        system_log(s->part.job->dir_fd, "service %s: ready after %lld ms", part_name(&s->part),
                   (long long)passed_ms);
        return 1;
    }
    if (passed_ms >= s->part.service->deadline_ms)
        return not_ready(s, word);
    if (!s->tell_after_ms)
        s->tell_after_ms = SERVICES_TELL_MS;
    if (passed_ms >= s->tell_after_ms) {
        system_log(s->part.job->dir_fd, "service %s: not ready after %lld s: %s", part_name(&s->part),
                   (long long)(passed_ms / MS_PER_S), word[0] ? word : "no word of its init yet");
        while (s->tell_after_ms <= passed_ms)
            s->tell_after_ms *= 2;
    }
    int64_t until_ms =
        s->tell_after_ms < s->part.service->deadline_ms ? s->tell_after_ms : s->part.service->deadline_ms;
    if (s->started_ns + until_ms * NS_PER_MS < *next_ns)
        *next_ns = s->started_ns + until_ms * NS_PER_MS;
    return 0;
}

/* 0 when all are ready. */
static int await_ready(struct job *job, struct err *err) {
    for (;;) {
        orders_calm(job->orders);
        size_t ready = 0;
        int64_t next_ns = CTX_NEVER;
        for (size_t i = 0; i < job->services.count; i++) {
            int got = look_at(&job->services.items[i], &next_ns);
            if (got < 0)
                return -1;
            ready += got == 1;
        }
        if (ready == job->services.count)
            return 0;
        if (ctx_check(&job->orders->live, "wait for the services", err) < 0)
            return -1;
        struct ctx ctx = ctx_child(&job->orders->calm);
        ctx_deadline_at(&ctx, next_ns);
        ctx_deadline_at(&ctx, services_next_ns(job));
        ctx_poll(&ctx, NULL, 0, "wait for the services", NULL);
    }
}

int services_await_ready(struct job *job, struct err *err) {
    int64_t begun_ns = clock_boot_ns();
    int got = await_ready(job, err);
    FAULT_IF(got == 0 && job->services.count, RUNNER_SERVICES_READY);
    if (job->start_by_ns)
        job->start_by_ns += clock_boot_ns() - begun_ns;
    return got;
}

/* --- the end --- */

static void stop_one(struct service *s) {
    struct job *job = s->part.job;
    int64_t grace_ms = job->attempt->spec->stop.grace_ms;
    if (grace_ms > SERVICES_GRACE_MAX_MS)
        grace_ms = SERVICES_GRACE_MAX_MS;
    if ((job->resumed || s->part.create_sent) && part_look(&s->part, NULL) == PART_SEEN_RUNNING)
        part_stop(&s->part, 0, clock_boot_ns() + grace_ms * NS_PER_MS);
}

void services_stop(struct job *job) {
    for (size_t i = job->services.count; i-- > 0;)
        stop_one(&job->services.items[i]);
}

static void add(int64_t *sum, int64_t one) {
    if (one >= 0)
        *sum = *sum < 0 ? one : *sum + one;
}

bool services_usage(const struct job *job, struct usage *ret_usage) {
    bool whole = true;
    *ret_usage = (struct usage){-1, -1, -1, -1, -1};
    for (size_t i = 0; i < job->services.count; i++) {
        struct spool_end end;
        const struct service *s = &job->services.items[i];
        if (part_end(&s->part, &end, NULL, NULL) <= 0) {
            whole = whole && !has_begun(s);
            continue;
        }
        add(&ret_usage->cpu_us, end.cpu_us);
        add(&ret_usage->memory_peak_bytes, end.memory_peak_bytes);
        add(&ret_usage->pids_peak, end.pids_peak);
        add(&ret_usage->oom_kills, end.oom_kills);
        add(&ret_usage->throttled_us, end.throttled_us);
    }
    return whole;
}

int services_remove(struct job *job, const struct ctx *ctx, struct err *err) {
    for (size_t i = 0; i < job->services.count; i++)
        if (part_remove(&job->services.items[i].part, ctx, err) < 0)
            return -1;
    return 0;
}
