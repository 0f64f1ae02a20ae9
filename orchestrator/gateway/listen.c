#include "orchestrator/gateway/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

int listen_probe(const char *text, const struct address *address, struct err *err) {
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
            err, ERR_USAGE, EADDRINUSE,
            "cannot listen on %s: another program does; stop it, or set BERTH_LISTEN to another address",
            text);
    if (errno == EADDRNOTAVAIL || errno == EACCES)
        return err_set(err, ERR_USAGE, errno,
                       "cannot listen on %s: %s; set BERTH_LISTEN to an address of this machine and a port "
                       "that may be taken",
                       text, strerror(errno));
    return err_sys(err, "cannot listen on %s", text);
}
