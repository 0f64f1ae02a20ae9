#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "proto/spec_private.h"

enum { UID_MAX_ALLOWED = 2147483647 };

static char **text_at(struct spec_reader *r, const struct spec_field *field) {
    return (char **)(void *)((char *)r->spec + field->offset);
}

const char *spec_text(struct spec_reader *r, const struct spec_at *at, const json_t *value, size_t max) {
    const char *text = json_string_value(value);
    if (!text) {
        spec_fault(r->faults, at, "must be a string, not %s", spec_type_name(value));
        return NULL;
    }
    if (strlen(text) != json_string_length(value)) {
        spec_fault(r->faults, at, "contains a NUL character (\\u0000); take it out");
        return NULL;
    }
    if (json_string_length(value) > max) {
        spec_fault(r->faults, at, "has %zu bytes; at most %zu are allowed", json_string_length(value), max);
        return NULL;
    }
    return text;
}

/* U+0080 to U+009F are written C2 80 to C2 9F. */
bool spec_has_control(const char *text) {
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f))
            return true;
    return false;
}

bool spec_path_below(const char *path, const char *root) {
    size_t len = strlen(root);
    return strncmp(path, root, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool has_dots(const char *path) {
    for (const char *p = path; p; p = strchr(p + 1, '/')) {
        size_t len = strcspn(p + 1, "/");
        if ((len == 1 && p[1] == '.') || (len == 2 && p[1] == '.' && p[2] == '.'))
            return true;
    }
    return false;
}

char *spec_path(struct spec_reader *r, const struct spec_at *at, const char *text) {
    if (*text != '/')
        spec_fault(r->faults, at, "must be an absolute path; begin it with /");
    else if (strlen(text) > SPEC_PATH_MAX)
        spec_fault(r->faults, at, "is longer than a path may be (%d bytes)", SPEC_PATH_MAX);
    else if (has_dots(text) || strstr(text, "//"))
        spec_fault(r->faults, at, "must be a clean path; write it without \".\", \"..\" and double slashes");
    else if (spec_has_control(text))
        spec_fault(r->faults, at, "contains a control character");
    else {
        char *path = mem_strdup(text);
        for (size_t len = strlen(path); len > 1 && path[len - 1] == '/'; len--)
            path[len - 1] = '\0';
        return path;
    }
    return NULL;
}

static void read_name(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field) {
    const char *text = spec_text(r, at, value, SPEC_NAME_MAX);
    if (!text)
        return;
    if (!*text)
        spec_fault(r->faults, at, "is empty; give a name or leave it out");
    else if (spec_has_control(text))
        spec_fault(r->faults, at, "contains a control character; use printable characters only");
    else
        *text_at(r, field) = mem_strdup(text);
}

static void read_image(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                       const struct spec_field *field) {
    const char *text = spec_text(r, at, value, SPEC_IMAGE_MAX);
    char quote[SPEC_QUOTE_MAX];
    const char *fault = text ? spec_image_fault(text) : NULL;
    if (fault)
        spec_fault(r->faults, at, "\"%s\" is not an image reference: %s", spec_quote(text, quote), fault);
    else if (text)
        *text_at(r, field) = mem_strdup(text);
}

static void read_workdir(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                         const struct spec_field *field) {
    const char *text = spec_text(r, at, value, SPEC_PATH_MAX);
    AUTO_FREE char *path = text ? spec_path(r, at, text) : NULL;
    if (!path)
        return;
    if (spec_path_below(path, "/proc") || spec_path_below(path, "/sys"))
        spec_fault(r->faults, at, "must not be below /proc or /sys");
    else
        *text_at(r, field) = STEAL(path);
}

/* A user or a group: a number, or a name as useradd(8) takes it (and a few more, as images have them). */
static bool user_part_valid(const char *part, size_t len) {
    bool digits = len > 0;
    for (size_t i = 0; i < len; i++) {
        digits = digits && isdigit((unsigned char)part[i]);
        bool inner = i > 0 && strchr(".-@", part[i]);
        bool last = i > 0 && i + 1 == len && part[i] == '$';
        if (!isalnum((unsigned char)part[i]) && part[i] != '_' && !inner && !last)
            return false;
    }
    return len > 0 && (!digits || (len <= 10 && strtoll(part, NULL, 10) <= UID_MAX_ALLOWED));
}

static void read_user(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field) {
    const char *text = spec_text(r, at, value, SPEC_USER_MAX);
    if (!text)
        return;
    size_t user = strcspn(text, ":");
    bool valid = user_part_valid(text, user);
    if (valid && text[user] == ':')
        valid = user_part_valid(text + user + 1, strlen(text + user + 1));
    char quote[SPEC_QUOTE_MAX];
    if (!valid)
        spec_fault(r->faults, at,
                   "\"%s\" is not a user; write a name or number, and a group behind a colon if you like: "
                   "\"1000:1000\"",
                   spec_quote(text, quote));
    else
        *text_at(r, field) = mem_strdup(text);
}

static void read_input(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                       const struct spec_field *field) {
    (void)at;
    *text_at(r, field) = spec_input_line(value);
}

/* Which of the words (ended by NULL) it is; -1 when it is none, and a fault was added. */
static int read_word(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     const char *const *words, const char *all) {
    const char *text = json_string_value(value);
    for (int i = 0; text && words[i]; i++)
        if (strcmp(text, words[i]) == 0)
            return i;
    char quote[SPEC_QUOTE_MAX];
    if (text)
        spec_fault(r->faults, at, "\"%s\" is none of %s", spec_quote(text, quote), all);
    else
        spec_fault(r->faults, at, "must be one of %s, not %s", all, spec_type_name(value));
    return -1;
}

static void read_pull(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field) {
    static const char *const words[] = {
        [SPEC_PULL_MISSING] = "missing", [SPEC_PULL_ALWAYS] = "always", [SPEC_PULL_NEVER] = "never", NULL};
    (void)field;
    int word = read_word(r, at, value, words, "\"missing\", \"always\", \"never\"");
    if (word >= 0)
        r->spec->pull = (enum spec_pull)word;
}

static void read_network(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                         const struct spec_field *field) {
    static const char *const words[] = {
        [SPEC_NETWORK_EGRESS] = "egress", [SPEC_NETWORK_NONE] = "none", "private", NULL};
    (void)field;
    int word = read_word(r, at, value, words, "\"egress\", \"none\"");
    if (word == SPEC_NETWORK_NONE + 1)
        spec_fault(r->faults, at,
                   "\"private\" is not available in this version yet; use \"egress\" or \"none\"");
    else if (word >= 0)
        r->spec->network = (enum spec_network)word;
}

static void read_run_at(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                        const struct spec_field *field) {
    struct err err = {0};
    int64_t us = 0;
    char quote[SPEC_QUOTE_MAX];
    (void)field;
    const char *text = spec_text(r, at, value, SPEC_STRING_MAX);
    if (!text)
        return;
    if (clock_parse_rfc3339(text, &us, &err) < 0)
        spec_fault(r->faults, at, "\"%s\": %s", spec_quote(text, quote), err.text);
    else
        r->spec->run_at_us = us > 0 ? us : 0; /* long past is at once */
}

static const struct spec_range priority_range = {
    .min = -SPEC_PRIORITY_MAX, .max = SPEC_PRIORITY_MAX, .format = spec_format_count};

const struct spec_field spec_top_fields[] = {
    {.name = "name", .read = read_name, .offset = offsetof(struct spec, name)},
    {.name = "image", .read = read_image, .offset = offsetof(struct spec, image)},
    {.name = "command", .read = spec_read_list, .offset = offsetof(struct spec, command)},
    {.name = "script", .read = spec_read_script, .offset = offsetof(struct spec, script)},
    {.name = "entrypoint", .read = spec_read_list, .offset = offsetof(struct spec, entrypoint)},
    {.name = "env", .read = spec_read_env, .offset = offsetof(struct spec, env)},
    {.name = "secrets", .read = spec_read_later},
    {.name = "workdir", .read = read_workdir, .offset = offsetof(struct spec, workdir)},
    {.name = "user", .read = read_user, .offset = offsetof(struct spec, user)},
    {.name = "input", .read = read_input, .offset = offsetof(struct spec, input)},
    {.name = "limits", .read = spec_read_object, .members = spec_limits_fields},
    {.name = "deadlines", .read = spec_read_object, .members = spec_deadlines_fields},
    {.name = "stop", .read = spec_read_object, .members = spec_stop_fields},
    {.name = "retry", .read = spec_read_later},
    {.name = "pull", .read = read_pull},
    {.name = "network", .read = read_network},
    {.name = "services", .read = spec_read_later},
    {.name = "hardening", .read = spec_read_object, .members = spec_hardening_fields},
    {.name = "mounts", .read = spec_read_later},
    {.name = "priority",
     .read = spec_read_count,
     .offset = offsetof(struct spec, priority),
     .range = &priority_range},
    {.name = "run_at", .read = read_run_at},
    {.name = "concurrency", .read = spec_read_later},
    {.name = "labels", .read = spec_read_labels, .offset = offsetof(struct spec, labels)},
    {0},
};
