#include "runner/license.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "proto/control.h"

static void ask(const struct orders *orders) {
    struct err err = {0};
    if (control_send(orders->first.fd, &(struct control){.type = CONTROL_BEGIN}, &err) < 0)
        log_debug("the parent was not asked, it will be again", LERR(&err));
}

int license_await(struct orders *orders, int64_t *ret_waited_ns, struct err *err) {
    int64_t begun_ns = clock_boot_ns();
    for (int asked = 0; !orders->may_begin; asked++) {
        if (asked == 1)
            log_warn("no leave to begin the command yet, waiting for it");
        ask(orders);
        struct ctx look = ctx_child(&orders->calm);
        ctx_deadline_in(&look, LICENSE_ASK_AGAIN_MS);
        ctx_poll(&look, NULL, 0, "wait for leave to begin", NULL);
        orders_calm(orders);
        if (ctx_check(&orders->live, "wait for leave to begin the command", err) < 0)
            return -1;
    }
    *ret_waited_ns = clock_boot_ns() - begun_ns;
    return ctx_check(&orders->live, "begin the command", err);
}
