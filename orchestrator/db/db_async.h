/*
 * db_async - asynchronous connections on an sd-event loop, for processes that must never block (parent,
 * gateway).
 *
 * A pool of a few connections and one bounded queue of statements; each statement's callback runs exactly
 * once, from the loop: with its result, or with an error (ERR_AWAY: the server cannot be reached or broke
 * off; whether the statement took effect is then unknown, so statements are written to be repeatable). A pool
 * reconnects by itself with back-off and jitter. With `listen` channels, one connection of its own LISTENs; a
 * notification, and every (re)connect, since some may have been missed, calls on_notify (channel NULL for a
 * reconnect).
 */
#ifndef BERTH_DB_ASYNC_H
#define BERTH_DB_ASYNC_H

#include <systemd/sd-event.h>

#include "orchestrator/db/db.h"

enum {
    DB_ASYNC_QUEUE_MAX = 1024, /* statements waiting; one more fails at once with ERR_LIMIT */
    DB_ASYNC_BACKOFF_MIN_MS = 100,
    DB_ASYNC_BACKOFF_MAX_MS = 5000,
    DB_ASYNC_CONNECTIONS_MAX = 16,
};

struct db_pool;

struct db_pool_settings {
    const char *url, *application;
    unsigned connections;         /* for statements, 1 … DB_ASYNC_CONNECTIONS_MAX */
    const char *const *listen;    /* NULL-terminated channel names; NULL: none */
    int64_t queue_timeout_ms;     /* a statement that waits longer for a connection fails with ERR_AWAY */
    int64_t statement_timeout_ms; /* 0: DB_STATEMENT_TIMEOUT_MS; DB_TCP_USER_TIMEOUT_MS later a server that is
                                     silent is given up */
    void (*on_notify)(void *arg, const char *channel, const char *payload);
    void (*on_state)(void *arg, bool up, const char *error); /* may be NULL */
    void *arg;
};

int db_pool_new(sd_event *loop, const struct db_pool_settings *settings, struct db_pool **ret,
                struct err *err);
/* Pending callbacks run with ERR_CANCELED and must not ask for more. Not from within a callback. */
void db_pool_free(struct db_pool *pool);
bool db_pool_is_up(const struct db_pool *pool);
const char *db_pool_error(const struct db_pool *pool); /* last reason for being down; "" when up */

/* result is NULL when err is set; both are valid only during the callback. */
typedef void db_done(void *arg, const PGresult *result, const struct err *err);
/* Copies sql pointer (must be static text) and parameters. Returns a ticket > 0, or -1 (queue full) without a
 * callback. */
int64_t db_async(struct db_pool *pool, const char *sql, const struct db_param *params, size_t count,
                 db_done *done, void *arg, struct err *err);
#define DB_ASYNC(pool, sql, done, arg, err, ...)                                                             \
    db_async((pool), (sql), (const struct db_param[]){__VA_ARGS__},                                          \
             sizeof((const struct db_param[]){__VA_ARGS__}) / sizeof(struct db_param), (done), (arg), (err))
/* The caller of a ticket is gone: its callback will not run. */
void db_async_forget(struct db_pool *pool, int64_t ticket);

#endif
