#include "orchestrator/reaper/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { PLAN_ROOM_FIRST = 64 };

const char *orphan_kind_name(enum orphan_kind kind) {
    static const char *const names[] = {
#define X(symbol, word) word,
        ORPHAN_TABLE(X)
#undef X
    };
    return names[kind];
}

struct orphan *plan_add(struct plan *plan, enum orphan_kind kind, const char *id, const char *name,
                        const char *why) {
    if (plan->count == plan->room) {
        plan->room = plan->room ? 2 * plan->room : PLAN_ROOM_FIRST;
        plan->items = mem_realloc(plan->items, plan->room * sizeof *plan->items);
    }
    struct orphan *orphan = &plan->items[plan->count++];
    *orphan = (struct orphan){.kind = kind, .id = mem_strdup(id), .name = mem_strdup(name), .why = why};
    return orphan;
}

static void orphan_done(struct orphan *orphan) {
    free(orphan->id);
    free(orphan->name);
}

void plan_drop(struct plan *plan, size_t i) {
    orphan_done(&plan->items[i]);
    plan->count--;
    memmove(&plan->items[i], &plan->items[i + 1], (plan->count - i) * sizeof *plan->items);
}

void plan_done(struct plan *plan) {
    for (size_t i = 0; i < plan->count; i++)
        orphan_done(&plan->items[i]);
    free(plan->items);
    *plan = (struct plan){0};
}
