/*
 * fake_engine - a Docker Engine that says what the script tells it to, over a UNIX socket.
 *
 * A forked child takes one connection at a time and one request after another, and answers each with the next
 * step of the script. It dies with the test.
 */
#ifndef BERTH_TESTS_SUPPORT_FAKE_ENGINE_H
#define BERTH_TESTS_SUPPORT_FAKE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum fake_then {
    FAKE_KEEP,  /* take the next request from the same connection */
    FAKE_CLOSE, /* close the connection */
    FAKE_HANG,  /* say nothing more until the client goes away */
    FAKE_FLOOD, /* say the same again and again until the client goes away */
};

struct fake_step {
    const char
        *expect; /* the request line has to begin so ("GET /v1.41/info"), else the answer is 599; NULL: any */
    bool reused; /* the request has to come over the connection of the step before, else the answer is 598 */
    const char *status; /* "200 OK": a whole answer with this body is made; NULL: `raw` is sent as it is */
    const char *body;   /* NULL: empty */
    const char *raw;
    size_t raw_len;    /* 0: strlen(raw) */
    const char *flood; /* sent again and again behind the rest; FAKE_FLOOD only */
    enum fake_then then;
};

struct fake_engine {
    pid_t pid;
    char dir[64];
    char host[96]; /* "unix:///tmp/…", for engine_settings */
};

/* In place of a script, for who asks in an order of its own: the first route that fits answers. Any number of
 * connections at once; FAKE_FLOOD is not for routes. */
struct fake_route {
    const char *begins; /* with this the request line begins */
    unsigned times;     /* so often it fits; 0: always */
    unsigned after; /* it fits only when the route of this number (the first is 1) has answered; 0: at once */
    const char *status; /* NULL: nothing is answered */
    const char *body;
    enum fake_then then;
};
enum { FAKE_ROUTES_MAX = 32 };

/* Ends the process with a message when it cannot. */
void fake_engine_route(struct fake_engine *ret, const struct fake_route *routes, size_t count);
void fake_engine_start(struct fake_engine *ret, const struct fake_step *script, size_t count);
void fake_engine_stop(struct fake_engine *fake);

#endif
