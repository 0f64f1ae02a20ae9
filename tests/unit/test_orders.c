#include <criterion/criterion.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "proto/control.h"
#include "runner/orders.h"

static int ends[2];
static struct orders orders;

static void begin(void) {
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    orders_init_child(&orders, ends[1]);
}

static void end(void) {
    close(ends[0]);
    close(ends[1]);
}

TestSuite(orders, .init = begin, .fini = end);

static void tell(struct control message) {
    struct err err = {0};
    cr_assert_eq(control_send(ends[0], &message, &err), 0, "%s", err.text);
    ctx_pump(&orders.live);
}

static void extend(int64_t run_ms) {
    tell((struct control){.type = CONTROL_EXTEND, .run_ms = run_ms});
}

Test(orders, an_extension_stirs_and_ends_nothing) {
    extend(5000);
    cr_assert_eq(orders.extend_ms, 5000);
    cr_assert_eq(ctx_state(&orders.calm), CTX_CANCELED);
    cr_assert_eq(ctx_state(&orders.live), CTX_LIVE);
    cr_assert_eq(ctx_state(&orders.patience), CTX_LIVE);
    cr_assert_not(orders.canceled);
}

Test(orders, the_last_extension_counts_and_the_same_one_is_no_news) {
    extend(5000);
    orders_calm(&orders);
    extend(5000);
    cr_assert_eq(ctx_state(&orders.calm), CTX_LIVE);
    extend(8000);
    cr_assert_eq(ctx_state(&orders.calm), CTX_CANCELED);
    cr_assert_eq(orders.extend_ms, 8000);
}

Test(orders, a_cancel_ends_the_calm_as_well) {
    tell((struct control){.type = CONTROL_CANCEL, .reason = REASON_SUPERSEDED});
    cr_assert_eq(ctx_state(&orders.calm), CTX_CANCELED);
    cr_assert_eq(ctx_state(&orders.patience), CTX_LIVE);
    cr_assert(orders.canceled && orders.reason == REASON_SUPERSEDED);
    tell((struct control){.type = CONTROL_CANCEL, .reason = REASON_REQUESTED, .force = true});
    cr_assert_eq(ctx_state(&orders.patience), CTX_CANCELED);
    cr_assert_eq(orders.reason, REASON_SUPERSEDED, "the first one counts");
}
