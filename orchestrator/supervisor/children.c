#include "orchestrator/supervisor/children.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const struct {
    const char *name;
    bool runner;
} roles[CHILD_ROLE_COUNT] = {
#define X(symbol, word, runner_) {.name = (word), .runner = (runner_)},
    ROLE_TABLE(X)
#undef X
};

const char *role_name(enum role role) {
    return roles[role].name;
}

bool role_is_runner_program(enum role role) {
    return roles[role].runner;
}

bool role_needs_secret(enum role role, const char *key) {
    if (role == CHILD_GATEWAY)
        return true;
    return (role == CHILD_SCRIBE || role == CHILD_REAPER) && strcmp(key, "database_url") == 0;
}

struct child *children_add(struct children *c, enum role role, const char *name) {
    size_t most = role == CHILD_RUNNER ? CHILDREN_MAX - CHILD_ROLE_COUNT : CHILDREN_MAX;
    if (c->count >= most || (role == CHILD_RUNNER && children_find_runner(c, name)))
        return NULL;
    struct child *child = mem_alloc(sizeof *child);
    child->role = role;
    child->fd = -1;
    snprintf(child->name, sizeof child->name, "%s", name);
    c->items[c->count++] = child;
    return child;
}

void children_remove(struct children *c, struct child *child) {
    for (size_t i = 0; i < c->count; i++) {
        if (c->items[i] != child)
            continue;
        c->items[i] = c->items[--c->count];
        free(child);
        return;
    }
}

struct child *children_find_runner(const struct children *c, const char *name) {
    for (size_t i = 0; i < c->count; i++)
        if (c->items[i]->role == CHILD_RUNNER && strcmp(c->items[i]->name, name) == 0)
            return c->items[i];
    return NULL;
}

struct child *children_find_role(const struct children *c, enum role role) {
    for (size_t i = 0; i < c->count; i++)
        if (c->items[i]->role == role)
            return c->items[i];
    return NULL;
}

struct children_sum children_sum(const struct children *c) {
    struct children_sum sum = {0};
    for (size_t i = 0; i < c->count; i++) {
        if (c->items[i]->role != CHILD_RUNNER)
            continue;
        sum.runners++;
        sum.memory_bytes += c->items[i]->memory_bytes;
        sum.cpus_milli += c->items[i]->cpus_milli;
    }
    return sum;
}
