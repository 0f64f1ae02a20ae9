/*
 * hub_db - the hub on the gateway's own database and clock: its questions as statements, its tick as a timer.
 */
#ifndef BERTH_GATEWAY_HUB_DB_H
#define BERTH_GATEWAY_HUB_DB_H

#include "orchestrator/gateway/gateway_private.h"

int hub_db_start(struct gateway *gateway, struct err *err); /* makes gateway->hub */
void hub_db_stop(struct gateway *gateway);

#endif
