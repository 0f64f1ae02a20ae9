/*
 * watch - a job's live log over the WebSocket (subprotocol berth.v1), whatever happens to the connection.
 *
 * Reconnects by itself with the position that it has reached, so a restarted server costs the viewer nothing:
 * every byte is handed on once. libwebsockets' own loop; SIGINT and SIGTERM come through it while
 * `on_interrupt` is set.
 */
#ifndef BERTH_CLIENT_WATCH_H
#define BERTH_CLIENT_WATCH_H

#include "client/remote.h"
#include "proto/message.h"

enum {
    WATCH_BACKOFF_MIN_MS = 100,
    WATCH_BACKOFF_MAX_MS = 5000,
    WATCH_AWAY_MAX_MS = 5 * 60 * 1000, /* without any connection for so long: give up */
    WATCH_MESSAGE_MAX = 4 * 1024 * 1024,
    WATCH_PING_AFTER_S = 45, /* of silence: the server pings every 30 s */
    WATCH_HANGUP_AFTER_S = 75,
};

struct watch {
    struct remote *remote;
    const char *job;    /* whole id */
    const char *stream; /* NULL: all */
    int64_t tail;       /* lines; -1: from the beginning */
    int attempt;        /* this one alone; 0: the newest and all that follow it */
    /* < 0 ends the watch with that error. */
    int (*on_message)(void *arg, const struct message *message, struct err *err);
    void (*on_interrupt)(void *arg); /* NULL: the signals keep their default */
    void *arg;
};

/* 0 after the `end` message was handed on, or another attempt has begun than the one that was asked for.
 * ERR_INVALID with the close code: the server refuses; ERR_AWAY: see above. */
int watch_run(const struct watch *watch, struct err *err);

#endif
