#include "runner/launch_file.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "proto/launch.h"

/* The string with its key in front and its NUL behind. */
static int put(struct buf *out, char key, const char *text) {
    return buf_add(out, &key, 1) < 0 || buf_add(out, text, strlen(text) + 1) < 0 ? -1 : 0;
}

static int put_variable(struct buf *out, const char *name, const char *value) {
    return buf_adds(out, "e") < 0 || buf_adds(out, name) < 0 || buf_adds(out, "=") < 0 ||
                   buf_add(out, value, strlen(value) + 1) < 0
               ? -1
               : 0;
}

static int put_own(const struct attempt *attempt, int64_t deadline_us, struct buf *out) {
    char number[16];
    char deadline[CLOCK_RFC3339_MAX];
    snprintf(number, sizeof number, "%d", attempt->number);
    const struct {
        const char *name, *value;
    } own[] = {
        {"CI", "true"},
        {"BERTH", "1"},
        {"BERTH_JOB_ID", attempt->job},
        {"BERTH_JOB_NAME", attempt->spec->name ? attempt->spec->name : ""},
        {"BERTH_ATTEMPT", number},
        {"BERTH_DEADLINE", deadline_us ? clock_format_rfc3339(deadline_us, deadline) : NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (own[i].value && put_variable(out, own[i].name, own[i].value) < 0)
            return -1;
    return 0;
}

/* The launch file's rule is that a later entry wins nothing: each name stands in it once. */
static bool is_own(const char *name) {
    static const char *const own[] = {
        "CI", "BERTH", "BERTH_JOB_ID", "BERTH_JOB_NAME", "BERTH_ATTEMPT", "BERTH_DEADLINE"};
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (strcmp(own[i], name) == 0)
            return true;
    return false;
}

static int put_all(const struct attempt *attempt, const struct argv *argv, int64_t deadline_us,
                   struct buf *out) {
    const struct spec *spec = attempt->spec;
    if (buf_add(out, LAUNCH_VERSION, sizeof LAUNCH_VERSION) < 0)
        return -1;
    for (size_t i = 0; i < argv->count; i++)
        if (put(out, 'a', argv->items[i]) < 0)
            return -1;
    for (size_t i = 0; i < spec->env.count; i++)
        if (!is_own(spec->env.items[i].key) &&
            put_variable(out, spec->env.items[i].key, spec->env.items[i].value) < 0)
            return -1;
    if (put_own(attempt, deadline_us, out) < 0)
        return -1;
    if (spec->input && put(out, 'i', "") < 0)
        return -1;
    return buf_add(out, ".", sizeof ".");
}

int launch_file_build(const struct attempt *attempt, const struct argv *argv, int64_t deadline_us,
                      struct buf *out, struct err *err) {
    enum { OWN_ENTRIES = 8 };
    size_t entries = argv->count + attempt->spec->env.count + OWN_ENTRIES;
    if (entries > LAUNCH_ENTRIES_MAX || put_all(attempt, argv, deadline_us, out) < 0 ||
        out->len > LAUNCH_BYTES_MAX)
        return err_set(
            err, ERR_LIMIT, 0,
            "Arguments and environment are too much: %zu entries (at most %d), at most %d bytes in all.",
            entries, LAUNCH_ENTRIES_MAX, LAUNCH_BYTES_MAX);
    return 0;
}

void launch_file_program(const char *bytes, size_t len, char *ret_program, size_t max) {
    const size_t at = sizeof LAUNCH_VERSION; /* with its NUL */
    bool known = len > at + 1 && memcmp(bytes, LAUNCH_VERSION, at) == 0 && bytes[at] == 'a';
    size_t room = known ? strnlen(bytes + at + 1, len - at - 1) : 0;
    snprintf(ret_program, max, "%.*s", (int)room, known ? bytes + at + 1 : "");
}
