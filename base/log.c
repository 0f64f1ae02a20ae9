#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/utf8.h"

enum { LOG_ROLE_MAX = 32, LOG_JOB_MAX = 64 };

/* Room for this is always kept, so that a line that is cut still is JSON. */
static const char cut_ending[] = "\",\"trunc\":true}\n";
enum { LOG_BODY_MAX = LOG_LINE_MAX - (int)sizeof cut_ending };

static const char *const level_names[] = {[LOG_LEVEL_DEBUG] = "debug",
                                          [LOG_LEVEL_INFO] = "info",
                                          [LOG_LEVEL_WARN] = "warn",
                                          [LOG_LEVEL_ERROR] = "error"};

static struct {
    char role[LOG_ROLE_MAX];
    char job[LOG_JOB_MAX];
    enum log_level level;
    bool readable;
} state = {.level = LOG_LEVEL_INFO};

struct line {
    char text[LOG_LINE_MAX];
    size_t len;
    bool cut; /* something did not fit: nothing more goes in */
};

void log_init(const char *role, const char *job) {
    snprintf(state.role, sizeof state.role, "%s", role);
    snprintf(state.job, sizeof state.job, "%s", job ? job : "");
    int kept = errno;
    state.readable = isatty(STDERR_FILENO);
    errno = kept;
}

void log_set_level(enum log_level level) {
    state.level = level;
}

void log_set_level_word(const char *word) {
    enum log_level level;
    if (word && log_level_parse(word, &level) == 0)
        log_set_level(level);
}

int log_level_parse(const char *name, enum log_level *ret) {
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++)
        if (strcmp(name, level_names[i]) == 0) {
            *ret = (enum log_level)i;
            return 0;
        }
    return -1;
}

/* All of it or nothing. */
static void put(struct line *line, const char *bytes, size_t len) {
    if (line->cut || line->len + len > LOG_BODY_MAX) {
        line->cut = true;
        return;
    }
    memcpy(line->text + line->len, bytes, len);
    line->len += len;
}

static void puts_raw(struct line *line, const char *text) {
    put(line, text, strlen(text));
}

/* One character as RFC 8259 has it in a string. What a terminal might obey (C0, DEL, C1) is escaped, what is
 * not UTF-8 becomes U+FFFD. Returns the bytes taken. */
static size_t put_char(struct line *line, const char *p, size_t left) {
    unsigned char c = (unsigned char)*p;
    size_t n = utf8_char_len(p, left);
    char escape[8];
    if (n == 0) {
        puts_raw(line, "\\ufffd");
        return 1;
    }
    if (c == '"' || c == '\\') {
        put(line, (const char[]){'\\', *p}, 2);
    } else if (c == '\n') {
        puts_raw(line, "\\n");
    } else if (c == '\t') {
        puts_raw(line, "\\t");
    } else if (c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)p[1] < 0xa0)) {
        snprintf(escape, sizeof escape, "\\u%04x", c == 0xc2 ? (unsigned char)p[1] : c);
        puts_raw(line, escape);
    } else {
        put(line, p, n);
    }
    return n;
}

/* The closing quote needs no check: cut_ending begins with one. */
static void put_string(struct line *line, const char *text) {
    put(line, "\"", 1);
    if (line->cut)
        return;
    for (size_t left = strlen(text); left && !line->cut;) {
        size_t n = put_char(line, text, left);
        text += n;
        left -= n;
    }
    line->text[line->len++] = '"';
}

/* A field whose start does not fit is left out as a whole. */
static void put_field(struct line *line, const struct log_field *f, bool readable) {
    size_t mark = line->len;
    if (readable) {
        puts_raw(line, " ");
        puts_raw(line, f->key);
        puts_raw(line, "=");
    } else {
        puts_raw(line, line->len == 1 ? "\"" : ",\"");
        puts_raw(line, f->key);
        puts_raw(line, "\":");
    }
    char number[24];
    snprintf(number, sizeof number, "%" PRId64, f->number);
    size_t value = line->len;
    if (f->text)
        put_string(line, f->text);
    else
        puts_raw(line, number);
    if (line->cut && line->len == value)
        line->len = mark;
}

static void put_json(struct line *line, enum log_level level, const char *message) {
    char ts[CLOCK_RFC3339_MAX];
    puts_raw(line, "{");
    put_field(line, &LS("ts", clock_format_rfc3339(clock_real_us(), ts)), false);
    put_field(line, &LS("level", level_names[level]), false);
    put_field(line, &LS("role", state.role), false);
    put_field(line, &LI("pid", getpid()), false);
    if (*state.job)
        put_field(line, &LS("job", state.job), false);
    put_field(line, &LS("msg", message), false);
}

/* "01:02:03.456 warn  gateway: message", in UTC like every other time that is shown. */
static void put_readable(struct line *line, enum log_level level, const char *message) {
    enum { TIME_AT = 11, TIME_LEN = 12 };
    char ts[CLOCK_RFC3339_MAX];
    clock_format_rfc3339(clock_real_us(), ts);
    put(line, ts + TIME_AT, TIME_LEN);
    puts_raw(line, " ");
    puts_raw(line, level_names[level]);
    puts_raw(line, strlen(level_names[level]) < 5 ? "  " : " ");
    puts_raw(line, state.role);
    puts_raw(line, *state.role ? ": " : "");
    for (size_t left = strlen(message); left && !line->cut;) {
        size_t n = put_char(line, message, left);
        message += n;
        left -= n;
    }
    if (*state.job)
        put_field(line, &LS("job", state.job), true);
}

void log_write(enum log_level level, const char *message, const struct log_field *fields) {
    if (level < state.level)
        return;
    int kept = errno;
    struct line line = {.len = 0};
    bool readable = state.readable;
    if (readable)
        put_readable(&line, level, message);
    else
        put_json(&line, level, message);
    for (const struct log_field *f = fields; f && f->key && !line.cut; f++)
        put_field(&line, f, readable);
    const char *ending = readable ? (line.cut ? " …\n" : "\n") : (line.cut ? cut_ending + 1 : "}\n");
    memcpy(line.text + line.len, ending, strlen(ending));
    line.len += strlen(ending);
    /* When the reader of standard error is gone or full, there is nowhere left to say so. */
    while (write(STDERR_FILENO, line.text, line.len) < 0 && errno == EINTR)
        continue;
    errno = kept;
}
