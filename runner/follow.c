#include "runner/follow.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "proto/spool.h"

int follow_open(const char *path, struct follow *ret_follow, struct err *err) {
    AUTO_FD int spool_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (spool_fd < 0)
        return err_sys(err, "open %s", path);
    AUTO_FD int notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (notify_fd < 0 || inotify_add_watch(notify_fd, path, IN_MODIFY) < 0)
        return err_sys(err, "watch %s", path);
    *ret_follow = (struct follow){.spool_fd = STEAL_FD(spool_fd),
                                  .notify_fd = STEAL_FD(notify_fd),
                                  .out_fd = {-1, STDOUT_FILENO, STDERR_FILENO, STDERR_FILENO},
                                  .buffer = mem_alloc(FOLLOW_BUFFER_BYTES)};
    return 0;
}

static void print(struct follow *f, unsigned stream, const unsigned char *bytes, size_t len) {
    if (stream >= ARRAY_LEN(f->out_fd) || f->out_fd[stream] < 0)
        return;
    if (fd_write_all(f->out_fd[stream], bytes, len, NULL) < 0)
        f->out_fd[stream] = -1;
}

static void tell_lost(struct follow *f, const struct spool_header *header, const unsigned char *payload) {
    struct spool_lost lost;
    memcpy(&lost, payload, sizeof lost);
    AUTO_FREE char *text =
        mem_printf("berth-init: %lld bytes of %s are missing here: %s\n", (long long)lost.bytes,
                   header->stream == SPOOL_STDOUT ? "stdout" : "stderr", strerror(lost.error));
    print(f, SPOOL_STDERR, (const unsigned char *)text, strlen(text));
}

static void take_record(struct follow *f, const struct spool_header *header, const unsigned char *payload) {
    if (header->type == SPOOL_OUTPUT)
        print(f, header->stream, payload, header->len);
    if (header->type == SPOOL_LOST)
        tell_lost(f, header, payload);
}

static void take_buffer(struct follow *f) {
    size_t at = 0;
    for (bool more = true; more && at < f->len;) {
        struct spool_header header;
        const unsigned char *payload;
        size_t used = 0;
        switch (spool_next(f->buffer + at, f->len - at, &header, &payload, &used)) {
        case SPOOL_RECORD:
            take_record(f, &header, payload);
            break;
        case SPOOL_GARBAGE:
            f->lost_bytes += (int64_t)used;
            break;
        case SPOOL_PARTIAL:
            more = false;
            break;
        }
        at += used;
    }
    f->len -= at;
    memmove(f->buffer, f->buffer + at, f->len);
}

void follow_step(struct follow *f) {
    char events[4096]; /* only that there were some is of interest */
    ssize_t got;
    while (read(f->notify_fd, events, sizeof events) > 0)
        ;
    while ((got = read(f->spool_fd, f->buffer + f->len, FOLLOW_BUFFER_BYTES - f->len)) > 0) {
        f->len += (size_t)got;
        take_buffer(f);
    }
}

void follow_done(struct follow *f) {
    if (!f->buffer)
        return;
    close(f->spool_fd);
    close(f->notify_fd);
    free(f->buffer);
    *f = (struct follow){0};
}
