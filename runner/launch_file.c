#include "runner/launch_file.h"

#include <inttypes.h>
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

static int put_own(const struct launch_plan *plan, struct buf *out) {
    const struct attempt *attempt = plan->attempt;
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
        {"BERTH_DEADLINE", plan->deadline_us ? clock_format_rfc3339(plan->deadline_us, deadline) : NULL},
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

static int put_words(struct buf *out, const struct spec_list *words) {
    for (size_t i = 0; i < words->count; i++)
        if (put(out, 'c', words->items[i]) < 0)
            return -1;
    return 0;
}

/* https://docs.docker.com/reference/api/engine/ (HealthConfig.Test): ["NONE"] switches it off, [] is that of
 * the image's parent, which the engine has filled in. Returns the words, 0 for none. */
static size_t health_words(const json_t *health) {
    const char *kind = json_string_value(json_array_get(health, 0));
    return kind && (strcmp(kind, "CMD") == 0 || strcmp(kind, "CMD-SHELL") == 0) ? json_array_size(health) - 1
                                                                                : 0;
}

static int put_health(struct buf *out, const json_t *health) {
    bool shell = strcmp(json_string_value(json_array_get(health, 0)), "CMD-SHELL") == 0;
    if (shell && (put(out, 'c', "/bin/sh") < 0 || put(out, 'c', "-c") < 0))
        return -1;
    for (size_t i = 1; i < json_array_size(health); i++) {
        const char *word = json_string_value(json_array_get(health, i));
        if (put(out, 'c', word ? word : "") < 0)
            return -1;
    }
    return 0;
}

static int put_ready(struct buf *out, const struct launch_plan *plan) {
    enum { PORT_TEXT_MAX = 24 };
    const struct spec_ready *ready = plan->ready;
    char port[PORT_TEXT_MAX] = "";
    if (!ready)
        return 0;
    snprintf(port, sizeof port, "%" PRId64, ready->port);
    switch (ready->kind) {
    case SPEC_READY_TCP:
        return put(out, 't', port);
    case SPEC_READY_HTTP:
        return buf_addf(out, "h%s%s", port, ready->path) < 0 ? -1 : buf_add(out, "", 1);
    case SPEC_READY_COMMAND:
        return put_words(out, &ready->command);
    case SPEC_READY_LOG:
        return put(out, 'l', ready->log);
    case SPEC_READY_DEFAULT:
    case SPEC_READY_HEALTH:
        break;
    }
    return health_words(plan->health) ? put_health(out, plan->health) : 0;
}

static int put_binds(struct buf *out, const struct mounts *mounts) {
    for (size_t i = 0; mounts && i < mounts->count; i++) {
        const struct mounts_file *file = &mounts->files[i];
        if (file->dev && (buf_addf(out, "b%ju:%ju:%s", (uintmax_t)file->dev, (uintmax_t)file->inode,
                                   mounts->items[i].target) < 0 ||
                          buf_add(out, "", 1) < 0))
            return -1;
    }
    return 0;
}

static int put_all(const struct launch_plan *plan, struct buf *out) {
    if (buf_add(out, LAUNCH_VERSION, sizeof LAUNCH_VERSION) < 0)
        return -1;
    for (size_t i = 0; i < plan->argv->count; i++)
        if (put(out, 'a', plan->argv->items[i]) < 0)
            return -1;
    for (size_t i = 0; i < plan->env->count; i++)
        if (!is_own(plan->env->items[i].key) &&
            put_variable(out, plan->env->items[i].key, plan->env->items[i].value) < 0)
            return -1;
    if (put_own(plan, out) < 0 || (plan->has_input && put(out, 'i', "") < 0) || put_ready(out, plan) < 0 ||
        put_binds(out, plan->mounts) < 0)
        return -1;
    return buf_add(out, ".", sizeof ".");
}

static size_t entries_most(const struct launch_plan *plan) {
    enum { OWN_ENTRIES = 8, SHELL_ENTRIES = 2 };
    size_t ready = plan->ready ? plan->ready->command.count + SHELL_ENTRIES : 0;
    return plan->argv->count + plan->env->count + ready + json_array_size(plan->health) +
           (plan->mounts ? plan->mounts->count : 0) + OWN_ENTRIES;
}

int launch_file_build(const struct launch_plan *plan, struct buf *out, struct err *err) {
    if (plan->ready && plan->ready->kind == SPEC_READY_HEALTH && !health_words(plan->health))
        return err_set(err, ERR_INVALID, 0,
                       "The image has no HEALTHCHECK, and \"ready\" asks for it with \"health\". Say "
                       "\"tcp\", \"http\", \"command\" or \"log\".");
    size_t entries = entries_most(plan);
    if (entries > LAUNCH_ENTRIES_MAX || put_all(plan, out) < 0 || out->len > LAUNCH_BYTES_MAX)
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
