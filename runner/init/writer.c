#include "runner/init/writer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MISSING_TEXT_BYTES = 120 };

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
    w->open = w->missing_at = WRITER_NONE;
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

/* Says at `at`, where there is room for it, how much is missing. */
static void missing_put(struct writer *w, size_t at, int error) {
    char text[MISSING_TEXT_BYTES + 1];
    int len = snprintf(text, sizeof text, "%llu bytes of output are missing here: %s",
                       (unsigned long long)w->missing, strerror(error));
    if (len < MISSING_TEXT_BYTES)
        memset(text + len, ' ', (size_t)(MISSING_TEXT_BYTES - len));
    header_put(w, at, SPOOL_WARNING, 0, MISSING_TEXT_BYTES);
    memcpy(w->buf + at + SPOOL_HEADER_BYTES, text, MISSING_TEXT_BYTES);
    w->missing_at = at;
}

static void missing_insert(struct writer *w, size_t at, int error) {
    size_t bytes = SPOOL_HEADER_BYTES + MISSING_TEXT_BYTES;
    memmove(w->buf + at + bytes, w->buf + at, w->len - at);
    w->len += bytes;
    missing_put(w, at, error);
}

static size_t record_at(const struct writer *w, size_t at, struct spool_header *ret_header) {
    const unsigned char *payload;
    size_t used;
    spool_next(w->buf + at, w->len - at, ret_header, &payload, &used);
    return used;
}

/* Removes what is written, and all output but a record that is written in part. */
static void output_drop(struct writer *w, int error) {
    struct spool_header header;
    size_t to = 0;
    size_t gap_at = WRITER_NONE;
    size_t missing_at = WRITER_NONE;
    size_t sent = 0;
    size_t used;
    for (size_t at = 0; at < w->len; at += used) {
        used = record_at(w, at, &header);
        if (at + used <= w->sent)
            continue;
        if (at >= w->sent && header.type == SPOOL_OUTPUT) {
            w->missing += header.len;
            w->output_bytes -= header.len;
            gap_at = gap_at == WRITER_NONE ? to : gap_at;
            continue;
        }
        if (at < w->sent)
            sent = w->sent - at;
        else if (at == w->missing_at)
            missing_at = to;
        memmove(w->buf + to, w->buf + at, used);
        to += used;
    }
    w->len = to;
    w->sent = sent;
    w->missing_at = missing_at;
    if (missing_at != WRITER_NONE)
        missing_put(w, missing_at, error);
    else if (gap_at != WRITER_NONE)
        missing_insert(w, gap_at, error);
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

/* A WARNING that has begun to be written stays as it is; bytes that go missing later need another. */
static void missing_forget(struct writer *w) {
    if (w->missing_at != WRITER_NONE && w->sent > w->missing_at) {
        w->missing_at = WRITER_NONE;
        w->missing = 0;
    }
}

int writer_flush(struct writer *w) {
    output_close(w);
    while (w->sent < w->len) {
        ssize_t put = write(w->fd, w->buf + w->sent, w->len - w->sent);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return flush_failed(w, put < 0 ? errno : EIO);
        w->sent += (size_t)put;
        missing_forget(w);
    }
    w->len = w->sent = 0;
    w->stuck_since_ms = 0;
    w->hopeless = false;
    return 0;
}
