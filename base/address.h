/*
 * address - "127.0.0.1:8710", "[::1]:8710", "localhost:8710", "*:8710" and ":8710" as host and port.
 *
 * The one reader of addresses to listen on, so that what the settings let pass is what can be listened on.
 * Numeric but for localhost, which is 127.0.0.1: a name may stand for several addresses, or for none.
 */
#ifndef BERTH_BASE_ADDRESS_H
#define BERTH_BASE_ADDRESS_H

#include <stdbool.h>

#include "base/err.h"

enum { ADDRESS_HOST_MAX = 64, ADDRESS_PORT_MAX = 65535 };

struct address {
    char host[ADDRESS_HOST_MAX]; /* a numeric address without brackets; "": every one of this machine */
    int port;                    /* 1 … ADDRESS_PORT_MAX */
    bool v6;
};

/* ERR_USAGE; its text says what to write, the caller names the setting and its value. */
int address_parse(const char *text, struct address *ret, struct err *err);

/* Whether only this machine can reach it: 127.0.0.0/8, ::1 or localhost; a name that begins so is none. */
bool address_host_is_loopback(const char *host);

#endif
