/*
 * endpoint - a service's port on the container's own addresses: connecting to it, and asking it for a page.
 */
#ifndef BERTH_RUNNER_INIT_ENDPOINT_H
#define BERTH_RUNNER_INIT_ENDPOINT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ENDPOINTS_MAX = 16, ENDPOINT_TEXT_MAX = 64, ENDPOINT_ANSWER_MAX = 4096, ENDPOINT_STATUS_MAX = 80 };

struct endpoints {
    struct sockaddr_storage address[ENDPOINTS_MAX];
    size_t count, at;
};

/* The addresses of all interfaces but the loopback; those of the loopback where there are no others; IPv4
 * first. Link-local ones of IPv6 are left out: no other container uses them. */
void endpoints_find(struct endpoints *endpoints, uint16_t port);
/* "10.213.0.2 port 5432" */
const char *endpoint_text(const struct sockaddr_storage *address, char out[ENDPOINT_TEXT_MAX]);

/* A socket that connects or is connected, non-blocking and close-on-exec; -1: errno. */
int endpoint_connect(const struct sockaddr_storage *address);
/* Once it is writable. 0, or the errno of the connection that did not come about. */
int endpoint_connected(int fd);

struct endpoint_answer {
    size_t len;
    char bytes[ENDPOINT_ANSWER_MAX + 1];
};

/* Sends the request in one go; 0, or errno. */
int endpoint_ask(int fd, const struct sockaddr_storage *address, const char *path);
/* Reads what is there. 1: the status line is whole and is *ret_status, its words in `words`; 0: come back;
 * -1: errno (EPROTO: that is no HTTP; ECONNRESET: no answer came). */
int endpoint_read(int fd, struct endpoint_answer *answer, int *ret_status, char words[ENDPOINT_STATUS_MAX]);

#endif
