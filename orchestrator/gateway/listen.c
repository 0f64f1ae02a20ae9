#include "orchestrator/gateway/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

enum { PORT_MAX = 65535 };

static int bad(const char *text, struct err *err) {
    return err_set(
        err, ERR_USAGE, 0,
        "BERTH_LISTEN \"%.80s\" is not of the form 127.0.0.1:8710, [::1]:8710 or :8710 (a numeric address)",
        text);
}

int listen_parse(const char *text, struct listen_address *ret, struct err *err) {
    struct listen_address address = {0};
    const char *colon = strrchr(text, ':'), *host = text;
    if (!colon || strlen(colon + 1) == 0 || strlen(colon + 1) > 5 ||
        colon[1 + strspn(colon + 1, "0123456789")])
        return bad(text, err);
    address.port = (int)strtol(colon + 1, NULL, 10); /* five digits at most */
    size_t len = (size_t)(colon - text);
    if (address.port < 1 || address.port > PORT_MAX || len >= sizeof address.host)
        return bad(text, err);
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        address.v6 = true;
        host++;
        len -= 2;
    }
    if (len == 9 && strncmp(host, "localhost", 9) == 0)
        snprintf(address.host, sizeof address.host, "127.0.0.1");
    else
        snprintf(address.host, sizeof address.host, "%.*s", (int)len, host);
    unsigned char bytes[sizeof(struct in6_addr)];
    if (*address.host && inet_pton(address.v6 ? AF_INET6 : AF_INET, address.host, bytes) != 1)
        return bad(text, err);
    *ret = address;
    return 0;
}

int listen_probe(const char *text, const struct listen_address *address, struct err *err) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)address->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)address->port)};
    int one = 1;
    AUTO_FD int fd = socket(address->v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(err, "a socket for BERTH_LISTEN %s", text);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (*address->host)
        inet_pton(address->v6 ? AF_INET6 : AF_INET, address->host,
                  address->v6 ? (void *)&v6.sin6_addr : &v4.sin_addr);
    int r = address->v6 ? bind(fd, (struct sockaddr *)&v6, sizeof v6)
                        : bind(fd, (struct sockaddr *)&v4, sizeof v4);
    if (r == 0 && listen(fd, 1) == 0)
        return 0;
    if (errno == EADDRINUSE)
        return err_set(
            err, ERR_SYS, EADDRINUSE,
            "cannot listen on %s: another program does; stop it, or set BERTH_LISTEN to another address",
            text);
    return err_sys(err, "cannot listen on %s; set BERTH_LISTEN to an address of this machine", text);
}
