#include "orchestrator/supervisor/restart.h"

#include "proto/child.h"

static int64_t delay_ms(unsigned failures, uint32_t random) {
    int64_t ceiling = RESTART_MIN_MS;
    for (unsigned i = 1; i < failures && ceiling < RESTART_MAX_MS; i++)
        ceiling *= 2;
    if (ceiling > RESTART_MAX_MS)
        ceiling = RESTART_MAX_MS;
    int64_t half = ceiling / 2;
    return ceiling - half + (int64_t)(random % (uint32_t)(half + 1));
}

/* Killed, or ended by a fault of its own. */
static bool is_fault(const struct death *death) {
    return !death->exited || (death->status != CHILD_EXIT_AWAY && death->status != CHILD_EXIT_AGAIN);
}

enum restart_what restart_decide(struct restart *r, const struct death *death, uint32_t random,
                                 int64_t *ret_delay_ms) {
    *ret_delay_ms = 0;
    if (death->exited && death->status == CHILD_EXIT_DONE && death->may_end)
        return RESTART_DONE;
    if (death->was_ready && death->lived_ms >= RESTART_WORKED_MS) {
        r->failures = r->faults = 0;
    } else {
        r->failures++;
        r->faults += is_fault(death);
        *ret_delay_ms = delay_ms(r->failures, random);
    }
    if (!death->exited || death->status != CHILD_EXIT_NEVER)
        return RESTART_AGAIN;
    if (!death->may_end) {
        *ret_delay_ms = 0;
        return RESTART_NEVER;
    }
    /* Its job would hang for ever without a runner: try on, but rarely. */
    *ret_delay_ms = RESTART_MAX_MS;
    return RESTART_AGAIN;
}
