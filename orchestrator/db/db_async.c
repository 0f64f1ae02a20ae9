#include "orchestrator/db/db_async.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/mem.h"
#include "orchestrator/db/db_private.h"

struct statement {
    struct statement *next;
    int64_t ticket, expires_ns; /* expires_ns: while it waits for a connection */
    const char *sql;
    size_t count;
    const char **values; /* each NULL or owned */
    int *lengths, *formats;
    db_done *done; /* NULL: forgotten */
    void *arg;
};

enum link_state {
    LINK_DOWN,       /* waits for its timer to connect again */
    LINK_CONNECTING, /* PQconnectPoll */
    LINK_SETUP,      /* first statements of the session */
    LINK_IDLE,
    LINK_BUSY,
};

struct link {
    struct db_pool *pool;
    bool listens;
    enum link_state state;
    PGconn *conn;
    sd_event_source *io, *timer; /* timer: back-off, limit of connecting, or limit of an answer */
    int64_t backoff_ms;
    struct statement *running;
    PGresult *result; /* of what runs: the last, or the first error */
};

struct db_pool {
    sd_event *loop;
    char *url, *application;
    char *setup,
        *setup_listen; /* first statements of a connection for statements, and of the one that listens */
    int64_t answer_ms; /* a statement that was not answered within this: the connection is dead */
    struct db_pool_settings settings;
    struct link *links; /* the last one listens, if any does */
    unsigned link_count;
    struct statement *head, **tail;
    unsigned queued;
    int64_t next_ticket;
    sd_event_source *dispatch, *expiry;
    bool told, up; /* told: on_state has been called with `up` */
    char error[ERR_TEXT_MAX];
};

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *arg);
static int on_timer(sd_event_source *source, uint64_t usec, void *arg);

/* --- statements --- */

static void statement_free(struct statement *s) {
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++)
        free((void *)s->values[i]);
    free((void *)s->values);
    free(s->lengths);
    free(s->formats);
    free(s);
}

static struct statement *statement_new(const char *sql, const struct db_param *params, size_t count) {
    struct statement *s = mem_alloc(sizeof *s);
    s->sql = sql;
    s->count = count;
    s->values = mem_alloc((count + 1) * sizeof *s->values);
    s->lengths = mem_alloc((count + 1) * sizeof *s->lengths);
    s->formats = mem_alloc((count + 1) * sizeof *s->formats);
    for (size_t i = 0; i < count; i++) {
        if (!params[i].data)
            continue;
        size_t len = params[i].binary ? params[i].len : strlen(params[i].data);
        char *copy = mem_alloc(len + 1);
        memcpy(copy, params[i].data, len);
        s->values[i] = copy;
        s->lengths[i] = (int)len;
        s->formats[i] = params[i].binary;
    }
    return s;
}

/* Runs the callback, once, and ends the statement. */
static void statement_finish(struct statement *s, const PGresult *result, const struct err *err) {
    if (s->done)
        s->done(s->arg, result, err);
    statement_free(s);
}

/* --- the pool's state --- */

static void pool_tell_state(struct db_pool *pool, const struct err *err) {
    bool up = db_pool_is_up(pool);
    if (up)
        pool->error[0] = '\0';
    else if (err)
        snprintf(pool->error, sizeof pool->error, "%s", err->text);
    if (pool->told && up == pool->up)
        return;
    if (!pool->told && !up && !err)
        return;
    pool->told = true;
    pool->up = up;
    if (pool->settings.on_state)
        pool->settings.on_state(pool->settings.arg, up, up ? NULL : pool->error);
}

bool db_pool_is_up(const struct db_pool *pool) {
    for (unsigned i = 0; i < pool->link_count; i++)
        if (!pool->links[i].listens && pool->links[i].state >= LINK_IDLE)
            return true;
    return false;
}

const char *db_pool_error(const struct db_pool *pool) {
    return pool->error;
}

static void pool_wake(struct db_pool *pool) {
    sd_event_source_set_enabled(pool->dispatch, SD_EVENT_ONESHOT);
}

/* --- one connection --- */

static void link_arm(struct link *link, int64_t ms) {
    sd_event_source_set_time_relative(link->timer, (uint64_t)(ms * US_PER_MS));
    sd_event_source_set_enabled(link->timer, SD_EVENT_ONESHOT);
}

static void link_disarm(struct link *link) {
    sd_event_source_set_enabled(link->timer, SD_EVENT_OFF);
}

/* Before libpq may close the socket: another descriptor may get its number. */
static void link_unwatch(struct link *link) {
    link->io = sd_event_source_disable_unref(link->io);
}

/* What is watched is a copy of our own. libpq closes its socket by itself when a connection breaks; as long
 * as a child that is just being forked holds it too, epoll would go on to report it for a source that is
 * gone, and sd-event aborts. */
static int link_watch(struct link *link, uint32_t events) {
    if (link->io)
        return sd_event_source_set_io_events(link->io, events);
    AUTO_FD int fd = fcntl(PQsocket(link->conn), F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = sd_event_add_io(link->pool->loop, &link->io, fd, events, on_io, link);
    if (r >= 0 && (r = sd_event_source_set_io_fd_own(link->io, true)) >= 0)
        STEAL_FD(fd);
    return r;
}

/* The connection is of no use any more: gives back its statement with the error and comes again after a
 * while. */
static void link_break(struct link *link, const struct err *err) {
    struct statement *running = STEAL(link->running);
    link_unwatch(link);
    PQclear(STEAL(link->result));
    PQfinish(STEAL(link->conn));
    link->state = LINK_DOWN;
    link->backoff_ms = link->backoff_ms ? 2 * link->backoff_ms : DB_ASYNC_BACKOFF_MIN_MS;
    if (link->backoff_ms > DB_ASYNC_BACKOFF_MAX_MS)
        link->backoff_ms = DB_ASYNC_BACKOFF_MAX_MS;
    link_arm(link, link->backoff_ms / 2 + db_random_below(link->backoff_ms / 2 + 1));
    if (!link->listens)
        pool_tell_state(link->pool, err);
    if (running)
        statement_finish(running, NULL, err);
}

static void link_break_now(struct link *link, const char *what) {
    struct err err = {0};
    db_result_error(link->conn, NULL, what, &err);
    link_break(link, &err);
}

/* Flushes what libpq holds and says for what the socket is to be watched. -1: broken. */
static int link_flush(struct link *link) {
    int unsent = PQflush(link->conn);
    if (unsent < 0 || link_watch(link, unsent ? EPOLLIN | EPOLLOUT : EPOLLIN) < 0) {
        link_break_now(link, "sending to the database");
        return -1;
    }
    return 0;
}

static void link_setup(struct link *link) {
    PQsetnonblocking(link->conn, 1);
    link->state = LINK_SETUP;
    if (!PQsendQuery(link->conn, link->listens ? link->pool->setup_listen : link->pool->setup)) {
        link_break_now(link, "setting up the session");
        return;
    }
    link_flush(link);
}

/* The socket may be another one, or a new one with the same number, after every step. */
static void link_connect_step(struct link *link) {
    link_unwatch(link);
    PostgresPollingStatusType want = PQconnectPoll(link->conn);
    if (want == PGRES_POLLING_OK)
        link_setup(link);
    else if (want == PGRES_POLLING_FAILED ||
             link_watch(link, want == PGRES_POLLING_READING ? EPOLLIN : EPOLLOUT) < 0)
        link_break_now(link, "connecting to the database");
}

static void link_connect(struct link *link) {
    link->conn = db_start(link->pool->url, link->pool->application);
    link->state = LINK_CONNECTING;
    link_arm(link, DB_CONNECT_TIMEOUT_MS);
    if (!link->conn || PQstatus(link->conn) == CONNECTION_BAD || link_watch(link, EPOLLOUT) < 0)
        link_break_now(link, "connecting to the database");
}

static void link_start(struct link *link, struct statement *s) {
    link->running = s;
    link->state = LINK_BUSY;
    link_arm(link, link->pool->answer_ms);
    if (!PQsendQueryParams(link->conn, s->sql, (int)s->count, NULL, s->values, s->lengths, s->formats, 0)) {
        link_break_now(link, "sending a statement to the database");
        return;
    }
    link_flush(link);
}

/* A server that says that it is of no use now: other connections may lead to a better one. */
static void pool_leave_server(struct link *told, const struct err *err) {
    struct db_pool *pool = told->pool;
    for (unsigned i = 0; i < pool->link_count; i++)
        if (&pool->links[i] != told && !pool->links[i].listens && pool->links[i].state == LINK_IDLE)
            link_break(&pool->links[i], err);
    link_break(told, err);
}

/* What was sent has been answered in full. */
static void link_answered(struct link *link) {
    PGresult *result = STEAL(link->result);
    struct err err = {0};
    bool ok = result && db_result_ok(result);
    if (!ok)
        db_result_error(link->conn, result,
                        link->state == LINK_SETUP ? "setting up the session" : "statement", &err);
    if (!ok && (link->state == LINK_SETUP || err.kind == ERR_AWAY)) {
        PQclear(result);
        (link->state == LINK_SETUP ? link_break : pool_leave_server)(link, &err);
        return;
    }
    bool was_setup = link->state == LINK_SETUP;
    struct statement *done = STEAL(link->running);
    link->state = LINK_IDLE;
    link_disarm(link);
    if (was_setup) {
        link->backoff_ms = 0;
        if (link->listens)
            link->pool->settings.on_notify(link->pool->settings.arg, NULL, NULL);
        else
            pool_tell_state(link->pool, NULL);
    }
    if (done)
        statement_finish(done, ok ? result : NULL, ok ? NULL : &err);
    PQclear(result);
    pool_wake(link->pool);
}

static void link_read_results(struct link *link) {
    while (!PQisBusy(link->conn)) {
        PGresult *r = PQgetResult(link->conn);
        if (!r) {
            if (link->state == LINK_BUSY || link->state == LINK_SETUP)
                link_answered(link);
            return;
        }
        if (link->result && !db_result_ok(link->result)) {
            PQclear(r);
            continue;
        }
        PQclear(link->result);
        link->result = r;
    }
}

static void link_read_notifications(struct link *link) {
    PGnotify *n;
    while (link->conn && (n = PQnotifies(link->conn))) {
        if (link->listens)
            link->pool->settings.on_notify(link->pool->settings.arg, n->relname, n->extra);
        PQfreemem(n);
    }
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *arg) {
    struct link *link = arg;
    (void)source;
    (void)fd;
    if (link->state == LINK_CONNECTING) {
        link_connect_step(link);
        return 0;
    }
    if ((revents & ~(uint32_t)EPOLLOUT) && !PQconsumeInput(link->conn)) {
        link_break_now(link, "the connection to the database broke");
        return 0;
    }
    if (link_flush(link) < 0)
        return 0;
    link_read_results(link);
    link_read_notifications(link);
    return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg) {
    struct link *link = arg;
    (void)source;
    (void)usec;
    struct err err = {0};
    if (link->state == LINK_DOWN) {
        link_connect(link);
        return 0;
    }
    err_set(&err, ERR_AWAY, 0, "the database does not answer");
    link_break(link, &err);
    return 0;
}

/* --- the queue --- */

static struct statement *queue_take(struct db_pool *pool) {
    struct statement *s = pool->head;
    if (!s)
        return NULL;
    pool->head = s->next;
    if (!pool->head)
        pool->tail = &pool->head;
    s->next = NULL;
    pool->queued--;
    return s;
}

static void queue_arm_expiry(struct db_pool *pool) {
    if (!pool->head || pool->settings.queue_timeout_ms <= 0) {
        sd_event_source_set_enabled(pool->expiry, SD_EVENT_OFF);
        return;
    }
    sd_event_source_set_time(pool->expiry, (uint64_t)(pool->head->expires_ns / 1000));
    sd_event_source_set_enabled(pool->expiry, SD_EVENT_ONESHOT);
}

static int on_expiry(sd_event_source *source, uint64_t usec, void *arg) {
    struct db_pool *pool = arg;
    (void)source;
    (void)usec;
    struct err err = {0};
    err_set(&err, ERR_AWAY, DB_NOT_DONE, "no connection to the database within %lld ms%s%s",
            (long long)pool->settings.queue_timeout_ms, *pool->error ? ": " : "", pool->error);
    int64_t now = clock_boot_ns();
    while (pool->head && pool->head->expires_ns <= now + NS_PER_MS)
        statement_finish(queue_take(pool), NULL, &err);
    queue_arm_expiry(pool);
    return 0;
}

static int on_dispatch(sd_event_source *source, void *arg) {
    struct db_pool *pool = arg;
    (void)source;
    for (unsigned i = 0; i < pool->link_count && pool->head; i++)
        if (!pool->links[i].listens && pool->links[i].state == LINK_IDLE)
            link_start(&pool->links[i], queue_take(pool));
    queue_arm_expiry(pool);
    return 0;
}

int64_t db_async(struct db_pool *pool, const char *sql, const struct db_param *params, size_t count,
                 db_done *done, void *arg, struct err *err) {
    if (count > DB_PARAMS_MAX)
        return err_set(err, ERR_BUG, 0, "a statement with %zu parameters, at most %d", count, DB_PARAMS_MAX);
    if (pool->queued >= DB_ASYNC_QUEUE_MAX)
        return err_set(err, ERR_LIMIT, 0, "%d statements wait for the database already", DB_ASYNC_QUEUE_MAX);
    struct statement *s = statement_new(sql, params, count);
    s->ticket = pool->next_ticket++;
    s->expires_ns = clock_boot_ns() + pool->settings.queue_timeout_ms * NS_PER_MS;
    s->done = done;
    s->arg = arg;
    *pool->tail = s;
    pool->tail = &s->next;
    pool->queued++;
    /* From the loop, so that no callback runs before its caller knows the ticket. */
    pool_wake(pool);
    return s->ticket;
}

void db_async_forget(struct db_pool *pool, int64_t ticket) {
    for (unsigned i = 0; i < pool->link_count; i++)
        if (pool->links[i].running && pool->links[i].running->ticket == ticket)
            pool->links[i].running->done = NULL;
    for (struct statement **p = &pool->head; *p; p = &(*p)->next) {
        if ((*p)->ticket != ticket)
            continue;
        struct statement *s = *p;
        *p = s->next;
        if (!s->next)
            pool->tail = p;
        pool->queued--;
        statement_free(s);
        return;
    }
}

/* --- the pool's life --- */

static int pool_add_sources(struct db_pool *pool) {
    int r = sd_event_add_defer(pool->loop, &pool->dispatch, on_dispatch, pool);
    if (r >= 0)
        r = sd_event_source_set_enabled(pool->dispatch, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_time(pool->loop, &pool->expiry, CLOCK_BOOTTIME, 0, 1000, on_expiry, pool);
    if (r >= 0)
        r = sd_event_source_set_enabled(pool->expiry, SD_EVENT_OFF);
    for (unsigned i = 0; i < pool->link_count && r >= 0; i++)
        r = sd_event_add_time_relative(pool->loop, &pool->links[i].timer, CLOCK_BOOTTIME, 0, 1000, on_timer,
                                       &pool->links[i]);
    return r;
}

int db_pool_new(sd_event *loop, const struct db_pool_settings *settings, struct db_pool **ret,
                struct err *err) {
    if (db_check_url(settings->url, err) < 0)
        return -1;
    if (settings->connections < 1 || settings->connections > DB_ASYNC_CONNECTIONS_MAX)
        return err_set(err, ERR_BUG, 0, "a pool of %u connections", settings->connections);
    struct db_pool *pool = mem_alloc(sizeof *pool);
    pool->loop = sd_event_ref(loop);
    pool->settings = *settings;
    pool->url = mem_strdup(settings->url);
    pool->application = mem_strdup(settings->application);
    int64_t timeout_ms =
        settings->statement_timeout_ms ? settings->statement_timeout_ms : DB_STATEMENT_TIMEOUT_MS;
    pool->answer_ms = timeout_ms + DB_TCP_USER_TIMEOUT_MS;
    pool->setup = db_setup_sql(timeout_ms, NULL);
    pool->setup_listen = db_setup_sql(timeout_ms, settings->listen);
    pool->link_count = settings->connections + (settings->listen ? 1 : 0);
    pool->links = mem_alloc(pool->link_count * sizeof *pool->links);
    pool->tail = &pool->head;
    pool->next_ticket = 1;
    for (unsigned i = 0; i < pool->link_count; i++)
        pool->links[i] = (struct link){.pool = pool, .listens = i == settings->connections};
    int r = pool_add_sources(pool);
    if (r < 0) {
        db_pool_free(pool);
        errno = -r;
        return err_sys(err, "event loop");
    }
    *ret = pool;
    return 0;
}

static void link_done(struct link *link) {
    link_unwatch(link);
    link->timer = sd_event_source_disable_unref(link->timer);
    PQclear(STEAL(link->result));
    PQfinish(STEAL(link->conn));
}

void db_pool_free(struct db_pool *pool) {
    if (!pool)
        return;
    struct err err = {0};
    err_set(&err, ERR_CANCELED, 0, "the program ends");
    for (unsigned i = 0; i < pool->link_count; i++) {
        struct statement *running = STEAL(pool->links[i].running);
        link_done(&pool->links[i]);
        if (running)
            statement_finish(running, NULL, &err);
    }
    for (struct statement *s; (s = queue_take(pool));)
        statement_finish(s, NULL, &err);
    sd_event_source_disable_unref(pool->dispatch);
    sd_event_source_disable_unref(pool->expiry);
    sd_event_unref(pool->loop);
    free(pool->links);
    free(pool->url);
    free(pool->application);
    free(pool->setup);
    free(pool->setup_listen);
    free(pool);
}
