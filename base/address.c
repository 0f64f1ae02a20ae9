#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_DIGITS_MAX = 5 };

static int bad(struct err *err) {
    return err_set(err, ERR_USAGE, 0,
                   "write a numeric address and a port from 1 to %d, as in 127.0.0.1:8710, [::1]:8710, or "
                   "*:8710 for every address",
                   ADDRESS_PORT_MAX);
}

static bool is_any(const char *host) {
    return !*host || strcmp(host, "*") == 0;
}

int address_parse(const char *text, struct address *ret, struct err *err) {
    struct address address = {0};
    unsigned char bytes[sizeof(struct in6_addr)];
    const char *colon = strrchr(text, ':'), *host = text;
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    if (digits == 0 || digits > PORT_DIGITS_MAX || colon[1 + digits])
        return bad(err);
    address.port = (int)strtol(colon + 1, NULL, 10);
    size_t len = (size_t)(colon - text);
    address.v6 = len >= 2 && host[0] == '[' && host[len - 1] == ']';
    if (address.v6) {
        host++;
        len -= 2;
    }
    if (address.port < 1 || address.port > ADDRESS_PORT_MAX || len >= sizeof address.host)
        return bad(err);
    snprintf(address.host, sizeof address.host, "%.*s", (int)len, host);
    if (!address.v6 && is_any(address.host))
        address.host[0] = '\0';
    else if (!address.v6 && strcmp(address.host, "localhost") == 0)
        snprintf(address.host, sizeof address.host, "127.0.0.1");
    else if (inet_pton(address.v6 ? AF_INET6 : AF_INET, address.host, bytes) != 1)
        return bad(err);
    *ret = address;
    return 0;
}

bool address_host_is_loopback(const char *host) {
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcmp(host, "localhost") == 0;
}
