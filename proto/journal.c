#include "proto/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "proto/attempt.h"
#include "proto/fault_points.h"

enum { EXIT_CODE_MAX = 255, SIGNAL_MAX = 64, STEP_FILE_MODE = 0600 };

static const char *const words[JOURNAL_STEP_COUNT] = {
#define X(symbol, word) word,
    JOURNAL_STEP_TABLE(X)
#undef X
};

static const struct {
    const char *key;
    size_t offset;
} usage_fields[] = {
    {"cpu_us", offsetof(struct usage, cpu_us)},
    {"memory_peak_bytes", offsetof(struct usage, memory_peak_bytes)},
    {"pids_peak", offsetof(struct usage, pids_peak)},
    {"oom_kills", offsetof(struct usage, oom_kills)},
    {"throttled_us", offsetof(struct usage, throttled_us)},
};

static int64_t *usage_field(struct usage *usage, size_t i) {
    return (int64_t *)(void *)((char *)usage + usage_fields[i].offset);
}

static json_t *known_or_null(int64_t value) {
    return value < 0 ? json_null() : json_integer(value);
}

static json_t *seconds_or_null(int64_t us) {
    return us < 0 ? json_null() : json_real((double)us / 1e6);
}

json_t *journal_text(const char *text) {
    if (!text)
        return NULL;
    AUTO_FREE char *clean = mem_strdup(text);
    size_t len = strlen(clean);
    for (size_t i = 0; i < len;) {
        size_t step = utf8_char_len(clean + i, len - i);
        if (!step)
            clean[i] = '?';
        i += step ? step : 1;
    }
    return json_string(clean);
}

/* Copies a string member; false when it is absent, no string, or too long. */
static bool take_string(const json_t *doc, const char *key, char *out, size_t max) {
    const char *text = json_get_string(doc, key);
    if (!text || strlen(text) >= max)
        return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

/* An absent or null member is `none`; false when it is anything but an integer within min … max. */
static bool take_int(const json_t *doc, const char *key, int min, int max, int none, int *ret) {
    const json_t *value = json_object_get(doc, key);
    json_int_t n = json_integer_value(value);
    if (!value || json_is_null(value)) {
        *ret = none;
        return true;
    }
    if (!json_is_integer(value) || n < min || n > max)
        return false;
    *ret = (int)n;
    return true;
}

static struct usage usage_from_json(const json_t *doc) {
    struct usage usage;
    for (size_t i = 0; i < ARRAY_LEN(usage_fields); i++) {
        int64_t value = json_get_int(doc, usage_fields[i].key, -1);
        *usage_field(&usage, i) = value < 0 ? -1 : value;
    }
    return usage;
}

static bool take_reason(const json_t *doc, enum status status, enum reason *ret) {
    const char *word = json_get_string(doc, "reason");
    if (!word)
        *ret = REASON_NONE;
    else if (!reason_parse(word, ret))
        return false;
    return status == STATUS_SUCCEEDED ? *ret == REASON_NONE : reason_status(*ret) == status;
}

/* Each folder reads the fields of one step into *j; false: the line is not to be understood, *j is as before.
 */
static bool fold_pulled(struct journal *j, const json_t *doc) {
    const json_t *digest = json_object_get(doc, "digest"); /* an image made on the spot has none */
    return !digest || json_is_null(digest) || take_string(doc, "digest", j->digest, sizeof j->digest);
}

static bool fold_created(struct journal *j, const json_t *doc) {
    return take_string(doc, "container", j->container, sizeof j->container);
}

/* A time before the line's own takes its place; what is told and none, or later, does not. */
static int64_t earlier(const json_t *doc, const char *key, int64_t own) {
    int64_t since = json_get_int(doc, key, own);
    return since > 0 && since < own ? since : own;
}

/* The first start counts: the run deadline does not move when a later runner tells it again. */
static bool fold_started(struct journal *j, const json_t *doc) {
    char boot_id[sizeof j->started_boot_id] = "";
    char container[sizeof j->container] = "";
    int64_t boot_ns = json_get_int(doc, "boot_ns", -1);
    if (boot_ns < 0 || !take_string(doc, "boot_id", boot_id, sizeof boot_id))
        return false;
    if (json_object_get(doc, "container") && !take_string(doc, "container", container, sizeof container))
        return false;
    if (json_object_get(doc, "container"))
        memcpy(j->container, container, sizeof container);
    if (journal_has(j, JOURNAL_STARTED))
        return true;
    j->time_us[JOURNAL_STARTED] = earlier(doc, "since_us", json_get_int(doc, "time_us", 0));
    j->started_boot_ns = earlier(doc, "since_boot_ns", boot_ns);
    memcpy(j->started_boot_id, boot_id, sizeof boot_id);
    return true;
}

/* By the clock of whoever wrote it: not before the start. */
static bool fold_exited(struct journal *j, const json_t *doc) {
    if (journal_has(j, JOURNAL_EXITED))
        return true;
    int64_t time_us = earlier(doc, "since_us", json_get_int(doc, "time_us", 0));
    j->time_us[JOURNAL_EXITED] =
        time_us < j->time_us[JOURNAL_STARTED] ? j->time_us[JOURNAL_STARTED] : time_us;
    return true;
}

/* The last one counts: it says by how much in all. */
static bool fold_extended(struct journal *j, const json_t *doc) {
    int64_t run_ms = json_get_int(doc, "run_ms", 0);
    if (run_ms < 1)
        return false;
    j->extended_ms = run_ms;
    return true;
}

static bool fold_stopping(struct journal *j, const json_t *doc) {
    enum reason cause = REASON_NONE;
    if (!reason_parse(json_get_string(doc, "cause"), &cause))
        return false;
    if (j->stopping != REASON_NONE)
        return true;
    j->stopping = cause;
    j->stopping_boot_ns = json_get_int(doc, "boot_ns", 0);
    if (!take_string(doc, "boot_id", j->stopping_boot_id, sizeof j->stopping_boot_id))
        j->stopping_boot_id[0] = '\0';
    if (!take_string(doc, "text", j->stopping_text, sizeof j->stopping_text))
        j->stopping_text[0] = '\0';
    return true;
}

/* The first verdict stands: the scribe may have told it already. */
static bool fold_verdict(struct journal *j, const json_t *doc) {
    struct verdict v = {0};
    if (!status_parse(json_get_string(doc, "status"), &v.status) || !status_is_terminal(v.status) ||
        !take_reason(doc, v.status, &v.reason) || !take_string(doc, "message", v.message, sizeof v.message) ||
        !take_int(doc, "exit_code", 0, EXIT_CODE_MAX, -1, &v.exit_code) ||
        !take_int(doc, "signal", 0, SIGNAL_MAX, 0, &v.signal))
        return false;
    v.usage = usage_from_json(json_object_get(doc, "usage"));
    if (!journal_has(j, JOURNAL_VERDICT))
        j->verdict = v;
    return true;
}

static bool fold_nothing(struct journal *j, const json_t *doc) {
    (void)j;
    (void)doc;
    return true;
}

static bool (*const folders[JOURNAL_STEP_COUNT])(struct journal *j, const json_t *doc) = {
    [JOURNAL_PULLED] = fold_pulled,     [JOURNAL_CREATED] = fold_created,   [JOURNAL_STARTED] = fold_started,
    [JOURNAL_EXTENDED] = fold_extended, [JOURNAL_STOPPING] = fold_stopping, [JOURNAL_EXITED] = fold_exited,
    [JOURNAL_VERDICT] = fold_verdict,   [JOURNAL_CLEANED] = fold_nothing,
};

static bool fold_line(struct journal *j, const char *line, size_t len) {
    if (len > JOURNAL_LINE_MAX)
        return false;
    AUTO_JSON json_t *doc = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    const char *word = json_get_string(doc, "step");
    int64_t time_us = json_get_int(doc, "time_us", 0);
    for (unsigned i = 0; word && time_us > 0 && i < JOURNAL_STEP_COUNT; i++) {
        if (strcmp(word, words[i]) != 0)
            continue;
        if (!folders[i](j, doc))
            return false;
        if (!j->time_us[i])
            j->time_us[i] = time_us;
        return true;
    }
    return false;
}

int journal_fold(struct journal *j, const char *text, size_t len) {
    int skipped = 0;
    const char *end = text + len;
    for (const char *line = text; line < end;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        if (!newline)
            break;
        skipped += !fold_line(j, line, (size_t)(newline - line));
        j->used += (size_t)(newline + 1 - line);
        line = newline + 1;
    }
    return skipped;
}

int journal_read(int dir_fd, struct journal *j, struct err *err) {
    AUTO_FD int fd = openat(dir_fd, ATTEMPT_JOURNAL, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return err_sys(err, "open journal");
    if (lseek(fd, (off_t)j->used, SEEK_SET) < 0)
        return err_sys(err, "read journal from %zu on", j->used);
    AUTO_BUF struct buf text = BUF(JOURNAL_BYTES_MAX);
    if (fd_read_all(fd, &text, err) < 0)
        return err_wrap(err, "read journal");
    journal_fold(j, buf_str(&text), text.len);
    return 0;
}

/* One line with its newline; NULL when a field is no JSON. Takes the reference of `fields`. */
static char *make_line(enum journal_step step, json_t *fields, struct err *err) {
    AUTO_JSON json_t *own = fields;
    char boot_id[CLOCK_BOOT_ID_MAX];
    if (clock_boot_id(boot_id, err) < 0)
        return NULL;
    AUTO_JSON json_t *doc =
        json_pack("{s:s, s:I, s:I, s:s}", "step", words[step], "time_us", (json_int_t)clock_real_us(),
                  "boot_ns", (json_int_t)clock_boot_ns(), "boot_id", boot_id);
    if (own)
        json_object_update_missing(doc, own);
    AUTO_FREE char *text = json_dumps(doc, JSON_COMPACT);
    if (!text) {
        err_set(err, ERR_BUG, 0, "journal step %s cannot be written as JSON", words[step]);
        return NULL;
    }
    return mem_printf("%s\n", text);
}

/* 1: the file ends within a line (a runner died there), 0: it does not; -1. */
static int ends_torn(int fd, off_t size, struct err *err) {
    char last = '\n';
    if (size > 0 && pread(fd, &last, 1, size - 1) != 1)
        return err_sys(err, "read the journal's last byte");
    return last != '\n';
}

static int append_line(int dir_fd, const char *line, struct err *err) {
    AUTO_FD int fd =
        openat(dir_fd, ATTEMPT_JOURNAL, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, STEP_FILE_MODE);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(err, "open journal");
    int torn = ends_torn(fd, st.st_size, err);
    if (torn < 0)
        return -1;
    AUTO_FREE char *bytes =
        mem_printf("%s%s", torn ? "\n" : "", line); /* ended, the torn line harms only itself */
    size_t len = strlen(bytes);
    if (len > JOURNAL_LINE_MAX || (size_t)st.st_size + len > JOURNAL_BYTES_MAX)
        return err_set(err, ERR_LIMIT, 0, "journal: a line has more than %d bytes, or all have more than %d",
                       JOURNAL_LINE_MAX, JOURNAL_BYTES_MAX);
    ssize_t n = write(fd, bytes, len);
    if (n >= 0 && (size_t)n < len)
        errno = ENOSPC;
    if (n < (ssize_t)len || fdatasync(fd) < 0 || (st.st_size == 0 && fsync(dir_fd) < 0))
        return err_sys(err, "write journal");
    return 0;
}

/* A step that is added needs its two points, or this does not compile. */
static const enum fault before_step[JOURNAL_STEP_COUNT] = {
#define X(symbol, word) [JOURNAL_##symbol] = FAULT_RUNNER_BEFORE_##symbol,
    JOURNAL_STEP_TABLE(X)
#undef X
};
static const enum fault after_step[JOURNAL_STEP_COUNT] = {
#define X(symbol, word) [JOURNAL_##symbol] = FAULT_RUNNER_AFTER_##symbol,
    JOURNAL_STEP_TABLE(X)
#undef X
};

int journal_append(int dir_fd, struct journal *j, enum journal_step step, json_t *fields, struct err *err) {
    AUTO_FREE char *line = make_line(step, fields, err);
    if (!line)
        return -1;
    FAULT_AT(before_step[step]);
    if (append_line(dir_fd, line, err) < 0)
        return err_wrap(err, "journal step %s", words[step]);
    FAULT_AT(after_step[step]);
    return journal_read(dir_fd, j, err);
}

json_t *journal_verdict_fields(const struct verdict *verdict) {
    struct usage values = verdict->usage;
    json_t *usage = json_object();
    for (size_t i = 0; i < ARRAY_LEN(usage_fields); i++)
        json_object_set_new(usage, usage_fields[i].key, known_or_null(*usage_field(&values, i)));
    return json_pack("{s:s, s:s?, s:o, s:o, s:o, s:o}", "status", status_name(verdict->status), "reason",
                     reason_name(verdict->reason), "message", journal_text(verdict->message), "exit_code",
                     known_or_null(verdict->exit_code), "signal",
                     verdict->signal ? json_integer(verdict->signal) : json_null(), "usage", usage);
}

json_t *usage_to_json(const struct usage *usage) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "cpu_seconds", seconds_or_null(usage->cpu_us),
                     "memory_peak_bytes", known_or_null(usage->memory_peak_bytes), "pids_peak",
                     known_or_null(usage->pids_peak), "oom_kills", known_or_null(usage->oom_kills),
                     "throttled_seconds", seconds_or_null(usage->throttled_us));
}
