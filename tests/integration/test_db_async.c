#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "orchestrator/db/db_async.h"
#include "tests/support/pg.h"

static struct err err;
static sd_event *loop;
static struct db_pool *pool;

static struct {
    int done, failed, notified, reconnected, ups, downs;
    enum err_kind kind;
    int code;
    char text[64], channel[64], payload[64];
} seen;

static void on_notify(void *arg, const char *channel, const char *payload) {
    (void)arg;
    if (!channel) {
        seen.reconnected++;
        return;
    }
    seen.notified++;
    snprintf(seen.channel, sizeof seen.channel, "%s", channel);
    snprintf(seen.payload, sizeof seen.payload, "%s", payload);
}

static void on_state(void *arg, bool up, const char *error) {
    (void)arg;
    cr_expect_eq(up, error == NULL);
    *(up ? &seen.ups : &seen.downs) += 1;
}

static void on_done(void *arg, const PGresult *result, const struct err *e) {
    (void)arg;
    cr_expect_neq(result == NULL, e == NULL);
    seen.done++;
    if (e) {
        seen.failed++;
        seen.kind = e->kind;
        seen.code = e->code;
    } else if (PQntuples(result)) {
        snprintf(seen.text, sizeof seen.text, "%s", db_get_text(result, 0, 0));
    }
}

static void open_pool(const char *url, unsigned connections, int64_t queue_ms) {
    static const char *const channels[] = {"berth_work", "berth_log", NULL};
    struct db_pool_settings settings = {.url = url,
                                        .application = "berth:test:async",
                                        .connections = connections,
                                        .listen = channels,
                                        .queue_timeout_ms = queue_ms,
                                        .on_notify = on_notify,
                                        .on_state = on_state};
    cr_assert_geq(sd_event_new(&loop), 0);
    cr_assert_eq(db_pool_new(loop, &settings, &pool, &err), 0, "%s", err.text);
}

static void close_pool(void) {
    db_pool_free(pool);
    sd_event_unref(loop);
}

/* Runs the loop until *what has reached `value`. */
static void until(const int *what, int value) {
    int64_t end = clock_boot_ms() + 30000;
    while (*what < value) {
        cr_assert_lt(clock_boot_ms(), end, "not seen: %s", db_pool_error(pool));
        sd_event_run(loop, 100000);
    }
}

static int64_t ask(const char *sql) {
    return db_async(pool, sql, NULL, 0, on_done, NULL, &err);
}

Test(db_async, runs_queued_statements_and_tells_errors_by_sqlstate) {
    char url[PG_URL_MAX];
    open_pool(pg_database("queue", url), 2, 20000);
    cr_expect_not(db_pool_is_up(pool));
    for (int i = 0; i < 20; i++)
        cr_assert_gt(
            DB_ASYNC(pool, "select $1::text || $2::text", on_done, NULL, &err, DB_TEXT("a"), DB_TEXT("b")),
            0);
    until(&seen.done, 20);
    cr_expect_eq(seen.failed, 0);
    cr_expect_str_eq(seen.text, "ab");
    cr_expect(db_pool_is_up(pool));
    cr_expect_str_eq(db_pool_error(pool), "");
    cr_expect_eq(seen.ups, 1);
    ask("select 1/0");
    until(&seen.done, 21);
    cr_expect_eq(seen.kind, ERR_DB);
    cr_expect_eq(seen.code, db_sqlstate("22012"));
    ask("select 'still here'");
    until(&seen.done, 22);
    cr_expect_str_eq(seen.text, "still here");
    close_pool();
}

Test(db_async, passes_bytes_and_nulls_and_what_is_larger_than_a_socket) {
    char url[PG_URL_MAX];
    open_pool(pg_database("bytes", url), 1, 20000);
    enum { BIG = 4 * 1024 * 1024 };
    AUTO_FREE char *big = malloc(BIG);
    memset(big, 0, BIG);
    DB_ASYNC(pool, "select length($1::bytea) || coalesce($2::text, '-') || length($3::bytea)", on_done, NULL,
             &err, DB_BYTES(big, BIG), DB_NULL, DB_BYTES("", 0));
    memset(big, 1, BIG);
    until(&seen.done, 1);
    cr_expect_str_eq(seen.text, "4194304-0");
    close_pool();
}

Test(db_async, a_notification_arrives_and_again_after_the_session_was_ended) {
    char url[PG_URL_MAX];
    open_pool(pg_database("notify", url), 1, 20000);
    until(&seen.reconnected, 1);
    ask("select pg_notify('berth_log', 'one')");
    until(&seen.notified, 1);
    cr_expect_str_eq(seen.channel, "berth_log");
    cr_expect_str_eq(seen.payload, "one");
    ask("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and "
        "application_name = 'berth:test:async'");
    until(&seen.reconnected, 2);
    ask("select pg_notify('berth_work', 'two')");
    until(&seen.notified, 2);
    cr_expect_str_eq(seen.channel, "berth_work");
    cr_expect_str_eq(seen.payload, "two");
    cr_expect_eq(seen.downs, 0);
    close_pool();
}

Test(db_async, a_statement_whose_session_ends_fails_as_away_and_the_pool_comes_back) {
    char url[PG_URL_MAX];
    open_pool(pg_database("ended", url), 1, 20000);
    ask("select pg_terminate_backend(pg_backend_pid())");
    until(&seen.done, 1);
    cr_expect_eq(seen.kind, ERR_AWAY);
    until(&seen.downs, 1);
    until(&seen.ups, 2);
    ask("select 'back'");
    until(&seen.done, 2);
    cr_expect_str_eq(seen.text, "back");
    close_pool();
}

/* Between fork and exec a child holds all descriptors: what libpq closes meanwhile is not closed for epoll.
 */
Test(db_async, a_session_that_ends_while_a_child_is_being_made) {
    char url[PG_URL_MAX];
    open_pool(pg_database("forked", url), 1, 20000);
    until(&seen.reconnected, 1);
    until(&seen.ups, 1);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pause();
        _exit(0);
    }
    ask("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and "
        "application_name = 'berth:test:async'");
    until(&seen.reconnected, 2);
    until(&seen.done, 1);
    for (int turns = 0; turns < 100; turns++) /* the dead one's event, if it is still watched */
        sd_event_run(loop, 1000);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ask("select 'back'");
    until(&seen.done, 2);
    cr_expect_str_eq(seen.text, "back");
    close_pool();
}

Test(db_async, a_server_that_goes_away_fails_what_waits_too_long_and_is_found_again) {
    struct pg *pg = pg_new();
    open_pool(pg->url, 2, 300);
    until(&seen.ups, 1);
    pg_stop(pg, SIGQUIT);
    until(&seen.downs, 1);
    cr_expect_not(db_pool_is_up(pool));
    cr_expect_gt(strlen(db_pool_error(pool)), 0);
    ask("select 1");
    until(&seen.done, 1);
    cr_expect_eq(seen.kind, ERR_AWAY);
    /* The pool's other connection may have come up meanwhile and gone again. */
    cr_expect_eq(seen.downs, seen.ups, "each going is told once");
    int ups = seen.ups;
    pg_start(pg);
    until(&seen.ups, ups + 1);
    ask("select 'found'");
    until(&seen.done, 2);
    cr_expect_str_eq(seen.text, "found");
    close_pool();
    pg_free(pg);
}

Test(db_async, the_queue_has_a_bound_and_freeing_cancels_what_waits) {
    open_pool("host=/nonexistent", 1, 20000);
    for (int i = 0; i < DB_ASYNC_QUEUE_MAX; i++)
        cr_assert_gt(ask("select 1"), 0);
    cr_expect_eq(ask("select 1"), -1);
    cr_expect_eq(err.kind, ERR_LIMIT);
    until(&seen.downs, 1);
    close_pool();
    cr_expect_eq(seen.done, DB_ASYNC_QUEUE_MAX);
    cr_expect_eq(seen.kind, ERR_CANCELED);
}

Test(db_async, what_was_forgotten_is_not_called_back) {
    char url[PG_URL_MAX];
    open_pool(pg_database("forget", url), 1, 20000);
    int64_t running = ask("select pg_sleep(0.3)");
    int64_t first = ask("select 1"), last = ask("select 2");
    until(&seen.ups, 1);
    sd_event_run(loop, 0);
    sd_event_run(loop, 0);
    db_async_forget(pool, running);
    db_async_forget(pool, last);
    db_async_forget(pool, 12345);
    cr_expect_gt(ask("select 'last'"), last);
    until(&seen.done, 2);
    cr_expect_str_eq(seen.text, "last");
    cr_expect_eq(seen.done, 2);
    (void)first;
    close_pool();
}

Test(db_async, a_wrong_connection_string_is_refused_at_once) {
    struct db_pool_settings settings = {.url = "host", .application = "x", .connections = 1};
    cr_assert_geq(sd_event_new(&loop), 0);
    cr_expect_eq(db_pool_new(loop, &settings, &pool, &err), -1);
    cr_expect_eq(err.kind, ERR_USAGE, "%s", err.text);
    sd_event_unref(loop);
}
