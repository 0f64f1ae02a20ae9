/* orders - what the database wants of runners: to cancel, to go on for longer, to end at all. They come again
 * with every poll until the attempt has ended; a runner ignores what it knows already. */
#include <string.h>

#include "base/log.h"
#include "orchestrator/supervisor/supervisor_private.h"
#include "proto/fault_points.h"

static enum reason cancel_reason(const char *word) {
    enum reason reason;
    return reason_parse(word, &reason) && reason_status(reason) == STATUS_CANCELED ? reason
                                                                                   : REASON_REQUESTED;
}

static void give(struct supervisor *s, const struct claim_order *order) {
    char name[ATTEMPT_NAME_MAX];
    struct child *runner =
        children_find_runner(&s->children, attempt_dir_name(order->job, (int)order->number, name));
    if (!runner)
        return;
    FAULT(PARENT_ORDERED);
    if (order->run_extra_ms > 0)
        care_extend(runner, order->run_extra_ms);
    if (order->cancel)
        care_cancel(runner, order->force, cancel_reason(order->reason));
    if (order->overdue_ms > 0)
        care_replace(runner, order->overdue_ms);
    FAULT(PARENT_ORDER_GIVEN);
}

static void on_orders(void *arg, const PGresult *result, const struct err *err) {
    struct supervisor *s = arg;
    s->dispatch.ordering = false;
    if (err) {
        dispatch_complain(s, "orders", err);
        return;
    }
    for (int i = 0; i < PQntuples(result); i++) {
        struct claim_order order = claim_order_row(result, i);
        give(s, &order);
    }
    if (s->dispatch.order_again)
        orders_ask(s);
}

void orders_ask(struct supervisor *s) {
    struct dispatch *d = &s->dispatch;
    struct claim c;
    d->order_again = d->ordering;
    if (d->ordering || !db_pool_is_up(s->pool) || children_sum(&s->children).runners == 0)
        return;
    claim_orders(&c, s->settings.instance);
    d->ordering = dispatch_send(s, &c, on_orders, "orders");
}

static bool is_owned(const PGresult *owned, const char *name) {
    char one[ATTEMPT_NAME_MAX];
    for (int i = 0; i < PQntuples(owned); i++) {
        struct claim_ours row = claim_owned_row(owned, i);
        if (row.job && strcmp(attempt_dir_name(row.job, (int)row.number, one), name) == 0)
            return true;
    }
    return false;
}

void orders_fence(struct supervisor *s, const PGresult *owned) {
    if (PQntuples(owned) == 0) /* our name is not ours now: the heartbeat finds out why */
        return;
    if (PQntuples(owned) >= CLAIM_OWNED_MAX) /* perhaps not all of them */
        return;
    for (size_t i = 0; i < s->children.count; i++) {
        struct child *child = s->children.items[i];
        if (child->role != CHILD_RUNNER || is_owned(owned, child->name) || adopt_is_done(s, child->name))
            continue;
        if (!child->fenced)
            log_warn("attempt has ended in the database without its runner, stopping it",
                     LS("attempt", child->name));
        child->fenced = true; /* also for one that is about to be started again */
        care_cancel(child, false, REASON_REQUESTED);
    }
}
