#include "runner/init/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner/init/launchfile.h"

static socklen_t address_len(const struct sockaddr_storage *address) {
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static in_port_t *address_port(struct sockaddr_storage *address) {
    return address->ss_family == AF_INET6 ? &((struct sockaddr_in6 *)address)->sin6_port
                                          : &((struct sockaddr_in *)address)->sin_port;
}

static bool is_wanted(const struct ifaddrs *item, int family, bool loopback) {
    if (!item->ifa_addr || item->ifa_addr->sa_family != family || !(item->ifa_flags & IFF_UP) ||
        !(item->ifa_flags & IFF_LOOPBACK) != !loopback)
        return false;
    return family != AF_INET6 ||
           !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)item->ifa_addr)->sin6_addr);
}

static void take(struct endpoints *endpoints, const struct ifaddrs *list, int family, bool loopback,
                 uint16_t port) {
    for (; list && endpoints->count < ENDPOINTS_MAX; list = list->ifa_next) {
        if (!is_wanted(list, family, loopback))
            continue;
        struct sockaddr_storage *address = &endpoints->address[endpoints->count++];
        *address = (struct sockaddr_storage){.ss_family = list->ifa_addr->sa_family};
        memcpy(address, list->ifa_addr, address_len(address));
        *address_port(address) = htons(port);
    }
}

void endpoints_find(struct endpoints *endpoints, uint16_t port) {
    struct ifaddrs *list = NULL;
    endpoints->count = endpoints->at = 0;
    if (getifaddrs(&list) < 0)
        return;
    for (int loopback = 0; loopback < 2 && !endpoints->count; loopback++) {
        take(endpoints, list, AF_INET, loopback, port);
        take(endpoints, list, AF_INET6, loopback, port);
    }
    freeifaddrs(list);
}

const char *endpoint_text(const struct sockaddr_storage *address, char out[ENDPOINT_TEXT_MAX]) {
    struct sockaddr_storage copy = *address;
    char host[INET6_ADDRSTRLEN] = "?";
    const void *bytes = copy.ss_family == AF_INET6 ? (void *)&((struct sockaddr_in6 *)&copy)->sin6_addr
                                                   : (void *)&((struct sockaddr_in *)&copy)->sin_addr;
    inet_ntop(copy.ss_family, bytes, host, sizeof host);
    snprintf(out, ENDPOINT_TEXT_MAX, "%s port %u", host, (unsigned)ntohs(*address_port(&copy)));
    return out;
}

/* Connecting to one's own machine, the kernel may choose the very port that is connected to as the one to
 * connect from, and then the socket is connected to itself, while nobody listens. So ours is chosen first. */
static int bind_elsewhere(int fd, const struct sockaddr_storage *address) {
    struct sockaddr_storage own = *address;
    socklen_t len = sizeof own;
    *address_port(&own) = 0;
    if (bind(fd, (struct sockaddr *)&own, address_len(&own)) < 0 ||
        getsockname(fd, (struct sockaddr *)&own, &len) < 0)
        return -1;
    struct sockaddr_storage other = *address;
    if (*address_port(&own) != *address_port(&other))
        return 0;
    errno = ECONNREFUSED;
    return -1;
}

int endpoint_connect(const struct sockaddr_storage *address) {
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (bind_elsewhere(fd, address) == 0 &&
        (connect(fd, (const struct sockaddr *)address, address_len(address)) == 0 || errno == EINPROGRESS))
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int endpoint_connected(int fd) {
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

int endpoint_ask(int fd, const struct sockaddr_storage *address, const char *path) {
    char host[ENDPOINT_TEXT_MAX];
    char request[LAUNCHFILE_PATH_MAX + 2 * ENDPOINT_TEXT_MAX + 100];
    endpoint_text(address, host);
    char *port = strstr(host, " port ");
    *port = '\0';
    bool v6 = address->ss_family == AF_INET6;
    int len = snprintf(request, sizeof request,
                       "GET %s HTTP/1.1\r\nHost: %s%s%s:%s\r\nUser-Agent: berth-init\r\nAccept: */*\r\n"
                       "Connection: close\r\n\r\n",
                       path, v6 ? "[" : "", host, v6 ? "]" : "", port + strlen(" port "));
    ssize_t put = send(fd, request, (size_t)len, MSG_NOSIGNAL);
    return put == len ? 0 : put < 0 ? errno : EMSGSIZE;
}

/* RFC 9112, section 4: "HTTP/1.1 200 OK" */
static int status_parse(const char *line, int *ret_status, char words[ENDPOINT_STATUS_MAX]) {
    const char *code = strncmp(line, "HTTP/1.", 7) == 0 ? strchr(line, ' ') : NULL;
    if (!code || strspn(code + 1, "0123456789") != 3) {
        errno = EPROTO;
        return -1;
    }
    *ret_status = (int)strtol(code + 1, NULL, 10);
    snprintf(words, ENDPOINT_STATUS_MAX, "%.*s", (int)strcspn(code + 1, "\r\n"), code + 1);
    return 1;
}

int endpoint_read(int fd, struct endpoint_answer *answer, int *ret_status, char words[ENDPOINT_STATUS_MAX]) {
    ssize_t got = recv(fd, answer->bytes + answer->len, ENDPOINT_ANSWER_MAX - answer->len, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    answer->len += (size_t)got;
    answer->bytes[answer->len] = '\0';
    if (strchr(answer->bytes, '\n'))
        return status_parse(answer->bytes, ret_status, words);
    if (got > 0 && answer->len < ENDPOINT_ANSWER_MAX && !memchr(answer->bytes, '\0', answer->len))
        return 0;
    errno = answer->len ? EPROTO : ECONNRESET;
    return -1;
}
