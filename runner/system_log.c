#include "runner/system_log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "proto/attempt.h"
#include "proto/spool.h"

enum { MODE = 0644, RECORD_MAX = SPOOL_HEADER_BYTES + SYSTEM_LOG_LINE_MAX };

static const char last_line[] = "There is more to say than is kept; what follows is not in this log.\n";
enum { LAST_BYTES = SPOOL_HEADER_BYTES + sizeof last_line - 1 };

/* Whole, harmless characters, as many as there is room for. Returns their bytes. */
static size_t clean(const char *text, char *out, size_t room) {
    const unsigned char *from = (const unsigned char *)text;
    size_t left = strlen(text), len = 0;
    while (left) {
        size_t character = utf8_char_len(from, left);
        bool foul = !character || utf8_is_control(from, character);
        size_t put = foul ? 1 : character;
        if (len + put > room)
            break;
        memcpy(out + len, foul ? "?" : (const char *)from, put);
        len += put;
        from += character ? character : 1;
        left -= character ? character : 1;
    }
    return len;
}

/* One write, so that lines of two processes never run into each other; what is cut off by a full disk is no
 * record and is skipped by who reads. */
static void append(int fd, const char *line, size_t len) {
    unsigned char record[RECORD_MAX];
    const struct spool_header header = {.type = SPOOL_OUTPUT,
                                        .stream = SPOOL_SYSTEM,
                                        .len = (uint32_t)len,
                                        .time_us = (uint64_t)clock_real_us()};
    spool_put_header(record, &header);
    memcpy(record + SPOOL_HEADER_BYTES, line, len);
    ssize_t put = write(fd, record, SPOOL_HEADER_BYTES + len);
    (void)put;
}

static bool ends_with_last_line(int fd, off_t size) {
    char tail[sizeof last_line - 1];
    return pread(fd, tail, sizeof tail, size - (off_t)sizeof tail) == (ssize_t)sizeof tail &&
           memcmp(tail, last_line, sizeof tail) == 0;
}

void system_log(int dir_fd, const char *fmt, ...) {
    char text[2 * SYSTEM_LOG_LINE_MAX];
    char line[SYSTEM_LOG_LINE_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t len = clean(text, line, sizeof line - 1);
    line[len++] = '\n';
    AUTO_FD int fd =
        openat(dir_fd, ATTEMPT_SYSTEM, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, MODE);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    if (st.st_size + RECORD_MAX + LAST_BYTES <= SYSTEM_LOG_BYTES_MAX)
        append(fd, line, len);
    else if (!ends_with_last_line(fd, st.st_size))
        append(fd, last_line, sizeof last_line - 1);
}
