#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "proto/spec_private.h"

enum { UID_MAX_ALLOWED = 2147483647 };

static char **text_at(const struct spec_reader *r, const struct spec_field *field) {
    return spec_place(r, field);
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

void spec_read_image(struct spec_reader *r, const struct spec_at *at, const json_t *value,
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

#define PLACE(member) .offset = offsetof(struct spec, member)
#define OBJECT(name_, place_, members_)                                                                      \
    { .name = (name_), .read = spec_read_object, .offset = (place_), .members = (members_) }

const struct spec_field spec_top_fields[] = {
    {.name = "name", .read = read_name, PLACE(name)},
    {.name = "image", .read = spec_read_image, PLACE(image)},
    {.name = "command", .read = spec_read_list, PLACE(command), .given = offsetof(struct spec, has_command)},
    {.name = "script", .read = spec_read_script, PLACE(script)},
    {.name = "entrypoint",
     .read = spec_read_list,
     PLACE(entrypoint),
     .given = offsetof(struct spec, has_entrypoint)},
    {.name = "env", .read = spec_read_env, PLACE(env)},
    {.name = "secrets", .read = spec_read_later},
    {.name = "workdir", .read = read_workdir, PLACE(workdir)},
    {.name = "user", .read = read_user, PLACE(user)},
    {.name = "input", .read = read_input, PLACE(input)},
    OBJECT("limits", offsetof(struct spec, limits), spec_limits_fields),
    OBJECT("deadlines", 0, spec_deadlines_fields),
    OBJECT("stop", 0, spec_stop_fields),
    {.name = "retry", .read = spec_read_retry, .members = spec_retry_fields},
    {.name = "pull", .read = spec_read_word, PLACE(pull), .words = spec_pull_words},
    {.name = "network", .read = spec_read_word, PLACE(network), .words = spec_network_words},
    {.name = "services", .read = spec_read_services, .members = spec_service_fields, .array = true},
    OBJECT("hardening", offsetof(struct spec, hardening), spec_hardening_fields),
    {.name = "mounts", .read = spec_read_mounts, .members = spec_mount_fields, .array = true},
    {.name = "priority", .read = spec_read_count, PLACE(priority), .range = &priority_range},
    {.name = "run_at", .read = read_run_at},
    {.name = "concurrency", .read = spec_read_concurrency, .members = spec_concurrency_fields},
    {.name = "labels", .read = spec_read_labels, PLACE(labels)},
    {0},
};
