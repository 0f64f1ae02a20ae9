#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "proto/spec_private.h"

#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static void read_text(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field) {
    *(char **)spec_place(r, field) = mem_strdup(spec_text(r, at, value, SPEC_PATH_MAX));
}

static void read_target(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                        const struct spec_field *field) {
    const char *text = spec_text(r, at, value, SPEC_PATH_MAX);
    AUTO_FREE char *path = text ? spec_path(r, at, text) : NULL;
    const char *fault = path ? spec_target_fault(path) : NULL;
    if (fault)
        spec_fault(r->faults, at, "%s", fault);
    else
        *(char **)spec_place(r, field) = STEAL(path);
}

#define PLACE(member) .offset = offsetof(struct spec_mount, member)

const struct spec_field spec_mount_fields[] = {
    {.name = "type", .read = spec_read_word, PLACE(type), .words = spec_mount_words},
    {.name = "source", .read = read_text, PLACE(source)},
    {.name = "target", .read = read_target, PLACE(target)},
    {.name = "read_only", .read = spec_read_bool, PLACE(read_only)},
    {.name = "size", .read = spec_read_size, PLACE(bytes), .range = &spec_tmpfs_range},
    {0},
};

static void check_volume(struct spec_reader *r, const struct spec_at *at, const char *name) {
    char quote[SPEC_QUOTE_MAX];
    if (!*name || strchr("_.-", *name) || strspn(name, LETTERS_AND_DIGITS "_.-") < strlen(name) ||
        strlen(name) > SPEC_VOLUME_NAME_MAX)
        spec_fault(
            r->faults, at,
            "\"%s\" is not the name of a volume: up to %d letters and digits, and _ . - behind the first",
            spec_quote(name, quote), SPEC_VOLUME_NAME_MAX);
}

/* Whether `path`, clean and absolute, lies below one of the directories of a list with colons between, or is
 * one. */
static bool below_roots(const char *path, const char *roots) {
    for (const char *p = roots ? roots : ""; *p;) {
        size_t len = strcspn(p, ":");
        AUTO_FREE char *root = mem_strndup(p, len);
        p += len + (p[len] == ':');
        if (*root != '/')
            continue;
        while (len > 0 && root[len - 1] == '/')
            root[--len] = '\0'; /* "/" becomes "", below which every path lies */
        if (spec_path_below(path, root))
            return true;
    }
    return false;
}

/* Only the text: whether links lead elsewhere is looked at where the files are. */
static void check_bind(struct spec_reader *r, const struct spec_at *at, struct spec_mount *mount) {
    char quote[SPEC_QUOTE_MAX];
    char *path = spec_path(r, at, mount->source);
    if (!path)
        return;
    free(mount->source);
    mount->source = path;
    if (!r->policy->bind_roots || !*r->policy->bind_roots)
        spec_fault(
            r->faults, at,
            "\"%s\": the operator allows no directories of the host (BERTH_BIND_ROOTS is not set); use a "
            "volume",
            spec_quote(path, quote));
    else if (!below_roots(path, r->policy->bind_roots))
        spec_fault(r->faults, at,
                   "\"%s\" does not lie below a directory that the operator allows (BERTH_BIND_ROOTS)",
                   spec_quote(path, quote));
}

/* `value`: an object whose type was understood. */
static void check_source(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                         struct spec_mount *mount) {
    struct spec_at source = {.parent = at, .key = "source"};
    struct spec_at size = {.parent = at, .key = "size"};
    bool tmpfs = mount->type == SPEC_MOUNT_TMPFS;
    if (json_object_get(value, "size") && !tmpfs)
        spec_fault(r->faults, &size, "is for a mount of type tmpfs only; leave it out");
    if (!json_object_get(value, "source")) {
        if (!tmpfs)
            spec_fault(r->faults, &source, "is missing; name %s",
                       mount->type == SPEC_MOUNT_BIND ? "the directory or file of the host" : "the volume");
        return;
    }
    if (tmpfs)
        spec_fault(r->faults, &source, "means nothing to a mount of type tmpfs; leave it out");
    else if (mount->source && mount->type == SPEC_MOUNT_VOLUME)
        check_volume(r, &source, mount->source);
    else if (mount->source)
        check_bind(r, &source, mount);
}

static void read_mount(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                       struct spec_mount *mount) {
    struct spec_at type = {.parent = at, .key = "type"};
    struct spec_at target = {.parent = at, .key = "target"};
    const enum spec_mount_type unknown = SPEC_MOUNT_TMPFS + 1;
    mount->type = unknown;
    spec_read_members(r, at, value, spec_mount_fields, mount);
    if (!json_is_object(value))
        return;
    if (!json_object_get(value, "type"))
        spec_fault(r->faults, &type, "is missing; write \"volume\", \"bind\" or \"tmpfs\"");
    if (!json_object_get(value, "target"))
        spec_fault(r->faults, &target, "is missing; name the directory in the container");
    if (mount->type != unknown)
        check_source(r, at, value, mount);
}

void spec_read_mounts(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field) {
    size_t i;
    json_t *item;
    (void)field;
    if (!spec_is_array(
            r, at, value, SPEC_MOUNTS_MAX,
            "mounts such as [{\"type\": \"volume\", \"source\": \"cache\", \"target\": \"/cache\"}]"))
        return;
    r->spec->mounts_count = json_array_size(value);
    r->spec->mounts = mem_alloc(r->spec->mounts_count * sizeof *r->spec->mounts);
    json_array_foreach(value, i, item) {
        struct spec_at here = {.parent = at, .index = i};
        read_mount(r, &here, item, &r->spec->mounts[i]);
    }
}

/* Whether something else is mounted where mount i is. */
static bool target_taken(const struct spec *s, size_t i) {
    const char *target = s->mounts[i].target;
    for (size_t k = 0; target && k < i; k++)
        if (s->mounts[k].target && strcmp(s->mounts[k].target, target) == 0)
            return true;
    for (size_t k = 0; target && k < s->limits.tmpfs_count; k++)
        if (strcmp(s->limits.tmpfs[k].path, target) == 0)
            return true;
    return false;
}

void spec_check_mounts(struct spec_reader *r, const struct spec_at *top) {
    struct spec_at mounts = {.parent = top, .key = "mounts"};
    const struct spec *s = r->spec;
    int64_t ceiling = r->policy->max_tmpfs_bytes;
    int64_t sum = 0;
    char text[UNITS_TEXT_MAX];
    for (size_t i = 0; i < s->mounts_count; i++) {
        struct spec_at element = {.parent = &mounts, .index = i};
        struct spec_at target = {.parent = &element, .key = "target"};
        sum += s->mounts[i].bytes;
        if (target_taken(s, i))
            spec_fault(r->faults, &target, "is there twice (mounts and limits.tmpfs count together)");
    }
    if (sum && ceiling && sum + spec_tmpfs_bytes(&s->limits) > ceiling)
        spec_fault(r->faults, &mounts,
                   "of type tmpfs and limits.tmpfs together are over the ceiling of %s that the operator has "
                   "set (BERTH_MAX_TMPFS)",
                   units_format_size(ceiling, text));
}

void spec_mount_done(struct spec_mount *mount) {
    free(mount->source);
    free(mount->target);
}
