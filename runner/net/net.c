#include "runner/net/net.h"

int net_egress_ensure(const struct net_place *place, const struct ctx *ctx, char ret_id[ENGINE_ID_MAX],
                      struct err *err) {
    (void)place, (void)ctx, (void)ret_id;
    return err_set(err, ERR_BUG, 0, "no networks yet");
}

int net_private_ensure(const struct net_place *place, const struct ctx *ctx, char ret_id[ENGINE_ID_MAX],
                       struct err *err) {
    (void)place, (void)ctx, (void)ret_id;
    return err_set(err, ERR_BUG, 0, "no networks yet");
}

int net_private_remove(const struct net_place *place, const struct ctx *ctx, struct err *err) {
    (void)place, (void)ctx, (void)err;
    return 0;
}
