/*
 * listen - "127.0.0.1:8710", "[::1]:8710", ":8710" as host and port, and whether one can listen there.
 */
#ifndef BERTH_GATEWAY_LISTEN_H
#define BERTH_GATEWAY_LISTEN_H

#include <stdbool.h>

#include "base/err.h"

struct listen_address {
    char host[64]; /* a numeric address; "" is all of them */
    int port;
    bool v6;
};

int listen_parse(const char *text, struct listen_address *ret, struct err *err);
/* ERR_SYS that names the address and the remedy: libwebsockets itself would not say why it cannot. */
int listen_probe(const char *text, const struct listen_address *address, struct err *err);

#endif
