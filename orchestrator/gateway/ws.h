/*
 * ws - /v1/jobs/{id}/stream: a live log over a WebSocket, subprotocol berth.v1 (proto/message.h).
 *
 * Who offers berth.v1 is told what is wrong by a close code behind the handshake, since a browser cannot see
 * an HTTP status there; who offers no subprotocol is told by HTTP.
 */
#ifndef BERTH_GATEWAY_WS_H
#define BERTH_GATEWAY_WS_H

#include "orchestrator/gateway/gateway_private.h"

enum {
    WS_VIEWERS_MAX = 2048,     /* one more is closed with 4429 */
    WS_SLOW_MS = 30000,        /* takes nothing for this long: 4408 as soon as it takes something, … */
    WS_SLOW_KILL_S = 30,       /* … and hung up on when it does not within this more */
    WS_SUBPROTOCOLS_MAX = 126, /* bytes of Sec-WebSocket-Protocol that libwebsockets 4.1 reads */
    WS_REASON_MAX = 120,       /* of a close message: a control frame holds 125 */
};

struct ws;

/* Before the handshake. 0: go on; 1: answered by HTTP; -1: hang up. */
int ws_confirm(struct gateway *gateway, struct lws *wsi, char *upgrade);
struct ws *ws_open(struct gateway *gateway, struct lws *wsi); /* at ESTABLISHED */
int ws_writable(struct ws *ws);                               /* -1: close */
void ws_free(struct ws *ws);
void ws_tick(void);
/* Closes all with 1001. */
void ws_go_away(void);
bool ws_any(void);

#endif
