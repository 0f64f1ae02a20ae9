/*
 * origin - where no token is asked for, whether a request may come from a page of somebody else's site.
 *
 * Such a page reaches a loopback address through its reader's browser, either as itself, which Origin tells,
 * or under a name of its own that leads to this machine (DNS rebinding), which Host tells.
 */
#ifndef BERTH_GATEWAY_ORIGIN_H
#define BERTH_GATEWAY_ORIGIN_H

#include "orchestrator/gateway/gateway_private.h"

#define ORIGIN_REFUSED "the page that asks is not of this server"

enum { ORIGIN_MAX = 512 }; /* of either header */

/* `origin`, `host`: "" when absent. `listen`: the address as it was set. */
bool origin_ok(const char *origin, const char *host, const char *listen);

/* Whether the request that libwebsockets holds is to be refused with 403. */
bool origin_refuses(const struct gateway *gateway, struct lws *wsi);

#endif
