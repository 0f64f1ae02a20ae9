#include "runner/init/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    LOST_RECORD_BYTES = SPOOL_HEADER_BYTES + sizeof(struct spool_lost),
    STAT_BLOCK_BYTES = 512, /* stat(2) */
};

int64_t writer_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + 1;
}

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void writer_init(struct writer *w, int fd) {
    w->fd = fd;
    w->spool_max_bytes = WRITER_SPOOL_MAX_BYTES;
    w->room = 0;
    w->boundless = w->last = false;
    w->open = WRITER_NONE;
    for (unsigned i = 0; i < WRITER_STREAMS; i++)
        w->lost[i] = (struct writer_lost){.at = WRITER_NONE};
}

static void header_put(struct writer *w, size_t at, enum spool_type type, enum spool_stream stream,
                       size_t len) {
    struct spool_header header = {.type = type, .stream = stream, .len = (uint32_t)len, .time_us = now_us()};
    spool_put_header(w->buf + at, &header);
}

/* The time of an OUTPUT record is that of its last byte. */
static void output_close(struct writer *w) {
    if (w->open == WRITER_NONE)
        return;
    size_t payload = w->len - w->open - SPOOL_HEADER_BYTES;
    if (payload)
        header_put(w, w->open, SPOOL_OUTPUT, w->stream, payload);
    else
        w->len = w->open;
    w->output_bytes += (int64_t)payload;
    w->open = WRITER_NONE;
}

unsigned char *writer_room(struct writer *w, enum spool_stream stream, size_t least, size_t *ret_room) {
    if (w->open != WRITER_NONE &&
        (w->stream != stream || w->len - w->open + least > SPOOL_HEADER_BYTES + SPOOL_PAYLOAD_MAX))
        output_close(w);
    if (w->open == WRITER_NONE) {
        w->open = w->len;
        w->stream = stream;
        w->len += SPOOL_HEADER_BYTES;
    }
    *ret_room = SPOOL_PAYLOAD_MAX - (w->len - w->open - SPOOL_HEADER_BYTES);
    return w->buf + w->len;
}

void writer_took(struct writer *w, size_t bytes) {
    w->len += bytes;
}

void writer_output(struct writer *w, enum spool_stream stream, const void *bytes, size_t len) {
    const unsigned char *from = bytes;
    while (len) {
        size_t room;
        unsigned char *to = writer_room(w, stream, 1, &room);
        size_t part = len < room ? len : room;
        memcpy(to, from, part);
        writer_took(w, part);
        from += part;
        len -= part;
    }
}

int writer_record(struct writer *w, enum spool_type type, const void *payload, size_t len) {
    size_t keep_free = w->stuck_since_ms ? WRITER_OUTPUT_BYTES : 0;
    output_close(w);
    if (WRITER_BYTES - w->len < SPOOL_HEADER_BYTES + len + keep_free)
        return -1;
    header_put(w, w->len, type, 0, len);
    memcpy(w->buf + w->len + SPOOL_HEADER_BYTES, payload, len);
    w->len += SPOOL_HEADER_BYTES + len;
    return 0;
}

/* Says how much of a stream is missing, where there is room for the record. */
static void lost_put(struct writer *w, unsigned stream, int error) {
    struct spool_lost lost = {.bytes = w->lost[stream].bytes, .error = error};
    header_put(w, w->lost[stream].at, SPOOL_LOST, stream + SPOOL_STDOUT, sizeof lost);
    memcpy(w->buf + w->lost[stream].at + SPOOL_HEADER_BYTES, &lost, sizeof lost);
}

/* Makes room for the record at `at`. */
static void lost_insert(struct writer *w, unsigned stream, size_t at) {
    memmove(w->buf + at + LOST_RECORD_BYTES, w->buf + at, w->len - at);
    w->len += LOST_RECORD_BYTES;
    for (unsigned i = 0; i < WRITER_STREAMS; i++)
        if (w->lost[i].at != WRITER_NONE && w->lost[i].at >= at)
            w->lost[i].at += LOST_RECORD_BYTES;
    w->lost[stream].at = at;
}

static size_t record_at(const struct writer *w, size_t at, struct spool_header *ret_header) {
    const unsigned char *payload;
    size_t used;
    spool_next(w->buf + at, w->len - at, ret_header, &payload, &used);
    return used;
}

static void lost_moved(struct writer *w, size_t from, size_t to) {
    for (unsigned i = 0; i < WRITER_STREAMS; i++)
        if (w->lost[i].at == from)
            w->lost[i].at = to;
}

/* Removes what is written, and all output but a record that is written in part. Returns where output was
 * first removed, or WRITER_NONE. */
static size_t output_remove(struct writer *w) {
    struct spool_header header;
    size_t to = 0, gap_at = WRITER_NONE, sent = 0, used;
    for (size_t at = 0; at < w->len; at += used) {
        used = record_at(w, at, &header);
        if (at + used <= w->sent)
            continue;
        if (at >= w->sent && header.type == SPOOL_OUTPUT) {
            w->lost[header.stream - SPOOL_STDOUT].bytes += header.len;
            w->output_bytes -= header.len;
            gap_at = gap_at == WRITER_NONE ? to : gap_at;
            continue;
        }
        if (at < w->sent)
            sent = w->sent - at;
        lost_moved(w, at, to);
        memmove(w->buf + to, w->buf + at, used);
        to += used;
    }
    w->len = to;
    w->sent = sent;
    return gap_at;
}

static void output_drop(struct writer *w, int error) {
    size_t gap_at = output_remove(w);
    for (unsigned i = WRITER_STREAMS; i-- > 0;) {
        if (w->lost[i].bytes && w->lost[i].at == WRITER_NONE)
            lost_insert(w, i, gap_at);
    }
    for (unsigned i = 0; i < WRITER_STREAMS; i++)
        if (w->lost[i].bytes)
            lost_put(w, i, error);
}

static int flush_failed(struct writer *w, int error) {
    int64_t now = writer_now_ms();
    if (!w->stuck_since_ms)
        w->stuck_since_ms = now;
    if (!w->hopeless && now - w->stuck_since_ms < WRITER_PATIENCE_MS)
        return 1;
    w->hopeless = true;
    output_drop(w, error);
    return 0;
}

/* A record that has begun to be written stays as it is; bytes that go missing later need another. */
static void lost_forget(struct writer *w) {
    for (unsigned i = 0; i < WRITER_STREAMS; i++)
        if (w->lost[i].at != WRITER_NONE && w->sent > w->lost[i].at)
            w->lost[i] = (struct writer_lost){.at = WRITER_NONE};
}

void writer_end(struct writer *w) {
    w->last = true;
}

/* Whether all of it fits and the reserve is still there behind it: 0, or the error that says no. */
static int room_keep(struct writer *w) {
    int64_t needed = (int64_t)(w->len - w->sent) + WRITER_RESERVE_BYTES;
    struct stat st;
    if (w->last || w->room >= needed)
        return 0;
    if (fstat(w->fd, &st) < 0)
        return errno;
    if ((int64_t)st.st_blocks * STAT_BLOCK_BYTES > w->spool_max_bytes)
        return EDQUOT;
    if (w->boundless || fallocate(w->fd, FALLOC_FL_KEEP_SIZE, st.st_size, needed + WRITER_ROOM_BYTES) == 0) {
        w->room = needed + WRITER_ROOM_BYTES;
        return 0;
    }
    if (errno != ENOSPC && errno != EDQUOT) {
        w->boundless = true;
        return 0;
    }
    if (fallocate(w->fd, FALLOC_FL_KEEP_SIZE, st.st_size, needed) < 0)
        return errno;
    w->room = needed;
    return 0;
}

int writer_flush(struct writer *w) {
    output_close(w);
    int full = w->sent < w->len ? room_keep(w) : 0;
    if (full)
        return flush_failed(w, full);
    while (w->sent < w->len) {
        ssize_t put = write(w->fd, w->buf + w->sent, w->len - w->sent);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return flush_failed(w, put < 0 ? errno : EIO);
        w->sent += (size_t)put;
        w->room -= put;
        lost_forget(w);
    }
    w->len = w->sent = 0;
    w->stuck_since_ms = 0;
    w->hopeless = false;
    return 0;
}
