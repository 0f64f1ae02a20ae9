#include "runner/limits/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "proto/attempt.h"
#include "runner/limits/limits_parts.h"

/* A group's path as the engine wants it begins with /, as libcgroup wants it without. */
static const char *name_of(const char *group) {
    return group[0] == '/' ? group + 1 : group;
}

int limits_for_processors(int each, int max) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 1 ? each : processors > max / each ? max : (int)processors * each;
}

int limits_setup(const struct limits_bound *bound, char ret_group[LIMITS_GROUP_MAX], struct err *err) {
    char safe[LIMITS_INSTANCE_MAX], group[LIMITS_GROUP_MAX];
    limits_safe_name(bound->instance, bound->systemd, safe);
    snprintf(group, sizeof group,
             bound->systemd ? LIMITS_PREFIX "%s" LIMITS_SLICE_END : "/" LIMITS_PREFIX "%s", safe);
    if (bound->systemd) {
        if (slice_make(group, bound, err) < 0)
            return -1;
    } else if (group_ready(err) < 0 || group_make(name_of(group), err) < 0 ||
               group_bound(name_of(group), bound, err) < 0)
        return -1;
    snprintf(ret_group, LIMITS_GROUP_MAX, "%s", group);
    return 0;
}

static int slice_of(const char *group, const char *attempt, char out[LIMITS_GROUP_MAX], struct err *err) {
    char part[ATTEMPT_NAME_MAX];
    if (limits_attempt_to_part(attempt, part, sizeof part) < 0)
        return err_set(err, ERR_BUG, 0, "\"%.80s\" is no attempt", attempt);
    int len = (int)(strlen(group) - strlen(LIMITS_SLICE_END));
    snprintf(out, LIMITS_GROUP_MAX, "%.*s-%s" LIMITS_SLICE_END, len, group, part);
    return 0;
}

int limits_name(const char *group, const char *attempt, char ret_parent[LIMITS_GROUP_MAX], struct err *err) {
    if (limits_is_slice(group))
        return slice_of(group, attempt, ret_parent, err);
    snprintf(ret_parent, LIMITS_GROUP_MAX, "%.90s%s%.63s", group, group[0] ? "/" : "",
             group[0] ? attempt : "");
    return 0;
}

int limits_make(const char *group, const char *attempt, char ret_parent[LIMITS_GROUP_MAX], struct err *err) {
    char parent[LIMITS_GROUP_MAX] = "";
    if (limits_name(group, attempt, parent, err) < 0)
        return -1;
    if (limits_is_slice(parent) ? slice_make(parent, NULL, err) < 0 : parent[0] && group_ready(err) < 0)
        return -1;
    if (parent[0] && !limits_is_slice(parent) && group_make(name_of(parent), err) < 0) {
        group_remove(name_of(parent), NULL); /* it may be there in some of the hierarchies */
        return -1;
    }
    snprintf(ret_parent, LIMITS_GROUP_MAX, "%s", parent);
    return 0;
}

/* The path below the hierarchy's root. */
static int path_of(const char *group, char out[LIMITS_PATH_MAX]) {
    if (limits_is_slice(group))
        return limits_slice_path(group, out, LIMITS_PATH_MAX);
    snprintf(out, LIMITS_PATH_MAX, "%s", name_of(group));
    return 0;
}

void limits_usage(const char *parent, struct usage *ret_usage) {
    char path[LIMITS_PATH_MAX];
    struct limits_dirs dirs = {0};
    if (parent[0] && path_of(parent, path) == 0 && group_ready(NULL) == 0)
        group_dirs(path, &dirs);
    limits_read(&dirs, ret_usage);
}

int limits_remove(const char *parent, struct err *err) {
    if (!parent[0])
        return 0;
    if (limits_is_slice(parent))
        return slice_remove(parent, err);
    return group_ready(err) < 0 ? -1 : group_remove(name_of(parent), err);
}

int limits_clear(const char *parent, struct err *err) {
    char path[LIMITS_PATH_MAX];
    if (parent[0] && path_of(parent, path) == 0 && group_ready(err) == 0)
        group_clear(path);
    return limits_remove(parent, err);
}

/* --- for the reaper --- */

struct names {
    const char *group;
    char **items;
    size_t count;
};

/* What is there is bounded by what the kernel holds; each attempt's stands in several hierarchies. */
static void add_name(void *arg, const char *child) {
    struct names *names = arg;
    char attempt[ATTEMPT_NAME_MAX], job[ATTEMPT_ID_MAX], part[LIMITS_GROUP_MAX];
    int number;
    snprintf(attempt, sizeof attempt, "%s", child);
    if (limits_is_slice(names->group)) {
        size_t stem = strlen(names->group) - strlen(LIMITS_SLICE_END);
        if (!limits_is_slice(child) || strncmp(child, names->group, stem) != 0 || child[stem] != '-')
            return;
        snprintf(part, sizeof part, "%.*s", (int)(strlen(child) - strlen(LIMITS_SLICE_END) - stem - 1),
                 child + stem + 1);
        if (limits_part_to_attempt(part, attempt, sizeof attempt) < 0)
            return;
    } else if (attempt_parse_dir_name(child, job, &number) < 0)
        return;
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], attempt) == 0)
            return;
    names->items = mem_realloc(names->items, (names->count + 2) * sizeof *names->items);
    names->items[names->count++] = mem_strdup(attempt);
    names->items[names->count] = NULL;
}

int limits_list(const char *group, char ***ret_names, struct err *err) {
    struct names names = {.group = group, .items = mem_alloc(sizeof(char *))};
    char path[LIMITS_PATH_MAX];
    int rc = 0;
    if (group[0] && path_of(group, path) == 0)
        rc = group_ready(err) < 0 ? -1 : group_each(path, add_name, &names, err);
    if (rc < 0)
        limits_list_free(names.items);
    else
        *ret_names = names.items;
    return rc;
}

void limits_list_free(char **names) {
    for (size_t i = 0; names && names[i]; i++)
        free(names[i]);
    free(names);
}
