#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "base/clock.h"
#include "orchestrator/db/db.h"
#include "tests/support/pg.h"

static struct err err;

static struct db *open_database(const char *name, const struct ctx *ctx) {
    char url[PG_URL_MAX];
    struct db *db = db_new(pg_database(name, url), "berth:test:db");
    cr_assert_eq(db_connect(db, ctx, &err), 1, "%s", err.text);
    return db;
}

static struct ctx limited(int64_t ms) {
    struct ctx ctx = ctx_root(NULL);
    ctx_deadline_in(&ctx, ms);
    return ctx;
}

Test(db, answers_with_rows_nulls_and_bytes) {
    struct ctx ctx = limited(20000);
    struct db *db = open_database("rows", &ctx);
    cr_expect_eq(db_connect(db, &ctx, &err), 0);
    AUTO_RESULT PGresult *r = NULL;
    const unsigned char bytes[] = {0, 1, 255, 'a'};
    cr_assert_eq(DB_EXEC(db, &ctx, "select $1::bigint, $2::text, $3::bytea, $4::text, true, null::bytea", &r,
                         &err, DB_INT(INT64_MIN), DB_TEXT("a'b"), DB_BYTES(bytes, sizeof bytes), DB_NULL),
                 0, "%s", err.text);
    cr_expect_eq(db_get_int(r, 0, 0), INT64_MIN);
    cr_expect_str_eq(db_get_text(r, 0, 1), "a'b");
    cr_expect(db_is_null(r, 0, 3));
    cr_expect(db_get_bool(r, 0, 4));
    AUTO_FREE unsigned char *got = NULL;
    size_t len = 0;
    cr_assert_eq(db_get_bytes(r, 0, 2, &got, &len, &err), 0);
    cr_expect_eq(len, sizeof bytes);
    cr_expect_eq(memcmp(got, bytes, len), 0);
    unsigned char *none = (unsigned char *)"";
    cr_assert_eq(db_get_bytes(r, 0, 5, &none, &len, &err), 0);
    cr_expect_null(none);
    AUTO_FREE unsigned char *wrong = NULL;
    cr_expect_eq(db_get_bytes(r, 0, 1, &wrong, &len, &err), -1);
    db_free(db);
}

Test(db, a_commit_is_on_disk_whatever_the_server_would_settle_for) {
    struct ctx ctx = limited(20000);
    struct db *db = open_database("durable", &ctx);
    cr_assert_eq(db_run(db, &ctx, "alter database durable set synchronous_commit = off", &err), 0, "%s",
                 err.text);
    db_disconnect(db);
    cr_assert_eq(db_connect(db, &ctx, &err), 1, "%s", err.text);
    AUTO_RESULT PGresult *r = NULL;
    cr_assert_eq(db_exec(db, &ctx, "show synchronous_commit", NULL, 0, &r, &err), 0, "%s", err.text);
    cr_expect_str_eq(db_get_text(r, 0, 0), "on");
    db_free(db);
}

Test(db, a_refused_statement_tells_its_sqlstate_and_the_connection_goes_on) {
    struct ctx ctx = limited(20000);
    struct db *db = open_database("refused", &ctx);
    cr_expect_eq(db_run(db, &ctx, "select 1/0", &err), -1);
    cr_expect_eq(err.kind, ERR_DB);
    cr_expect_eq(err.code, db_sqlstate("22012"));
    cr_expect_neq(err.code, db_sqlstate("22013"));
    cr_expect(strstr(err.text, "division by zero"), "%s", err.text);
    cr_expect_eq(db_run(db, &ctx, "select 1", &err), 0, "%s", err.text);
    db_free(db);
}

Test(db, commit_of_a_failed_transaction_is_an_error) {
    struct ctx ctx = limited(20000);
    struct db *db = open_database("commit", &ctx);
    cr_assert_eq(db_begin(db, &ctx, &err), 0);
    cr_expect_eq(db_run(db, &ctx, "select 1/0", &err), -1);
    cr_expect_eq(db_commit(db, &ctx, &err), -1);
    cr_expect_eq(err.kind, ERR_DB);
    cr_assert_eq(db_begin(db, &ctx, &err), 0, "%s", err.text);
    cr_assert_eq(db_run(db, &ctx, "create table t (x int)", &err), 0, "%s", err.text);
    db_rollback(db, &ctx);
    cr_expect_eq(db_connect(db, &ctx, &err), 0, "the connection was good");
    cr_expect_eq(db_run(db, &ctx, "select * from t", &err), -1);
    db_free(db);
}

Test(db, a_deadline_ends_a_statement) {
    struct ctx ctx = limited(20000);
    struct db *db = open_database("deadline", &ctx);
    struct ctx soon = ctx_child(&ctx);
    ctx_deadline_in(&soon, 200);
    int64_t begin = clock_boot_ms();
    cr_expect_eq(db_run(db, &soon, "select pg_sleep(15)", &err), -1);
    cr_expect_eq(err.kind, ERR_DEADLINE, "%s", err.text);
    cr_expect_lt(clock_boot_ms() - begin, 10000);
    cr_expect_eq(db_run(db, &ctx, "select 1", &err), -1);
    cr_expect_eq(err.kind, ERR_AWAY);
    cr_expect_eq(db_connect(db, &ctx, &err), 1, "%s", err.text);
    cr_expect_eq(db_run(db, &ctx, "select 1", &err), 0, "%s", err.text);
    db_free(db);
}

static void cancel_it(void *arg) {
    ctx_cancel(arg);
}

Test(db, a_cancel_ends_a_statement) {
    struct ctx ctx = limited(20000);
    struct db *db = open_database("cancel", &ctx);
    AUTO_FD int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct ctx canceled = ctx_child(&ctx);
    struct ctx_watch watch = {.fd = timer, .on_ready = cancel_it, .arg = &canceled};
    canceled.watch = &watch;
    struct itimerspec soon = {.it_value.tv_nsec = 100 * NS_PER_MS};
    timerfd_settime(timer, 0, &soon, NULL);
    cr_expect_eq(db_run(db, &canceled, "select pg_sleep(15)", &err), -1);
    cr_expect_eq(err.kind, ERR_CANCELED, "%s", err.text);
    cr_expect_eq(db_run(db, &canceled, "select 1", &err), -1);
    cr_expect_eq(err.kind, ERR_AWAY);
    db_free(db);
}

Test(db, a_server_that_accepts_and_says_nothing_is_away) {
    AUTO_FD int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    cr_assert_eq(bind(listener, (struct sockaddr *)&addr, len) | listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&addr, &len);
    char url[PG_URL_MAX];
    snprintf(url, sizeof url, "postgresql://berth@127.0.0.1:%d/x", ntohs(addr.sin_port));
    struct db *db = db_new(url, "berth:test:db");
    struct ctx ctx = limited(300);
    cr_expect_eq(db_connect(db, &ctx, &err), -1);
    cr_expect_eq(err.kind, ERR_DEADLINE, "%s", err.text);
    struct ctx patient = limited(60000);
    cr_expect_eq(db_connect(db, &patient, &err), -1);
    cr_expect_eq(err.kind, ERR_AWAY, "%s", err.text);
    db_free(db);
}

Test(db, a_wrong_connection_string_is_the_users_fault_and_tells_no_password) {
    struct ctx ctx = limited(1000);
    struct db *db = db_new("postgresql://u:sesame@host:port:x/%zz", "berth:test:db");
    cr_expect_eq(db_connect(db, &ctx, &err), -1);
    cr_expect_eq(err.kind, ERR_USAGE, "%s", err.text);
    cr_expect_null(strstr(err.text, "sesame"), "%s", err.text);
    db_free(db);
    db = db_new(NULL, "berth:test:db");
    cr_expect_eq(db_connect(db, &ctx, &err), -1);
    cr_expect_eq(err.kind, ERR_USAGE, "%s", err.text);
    db_free(db);
}

Test(db, a_killed_server_is_away_and_comes_back) {
    struct pg *pg = pg_new();
    struct ctx ctx = limited(60000);
    struct db *db = db_new(pg->url, "berth:test:db");
    cr_assert_eq(db_connect(db, &ctx, &err), 1, "%s", err.text);
    cr_assert_eq(db_begin(db, &ctx, &err), 0, "%s", err.text);
    pg_stop(pg, SIGQUIT);
    cr_expect_eq(db_run(db, &ctx, "select 1", &err), -1);
    cr_expect_eq(err.kind, ERR_AWAY, "%s", err.text);
    db_rollback(db, &ctx);
    cr_expect_eq(db_connect(db, &ctx, &err), -1);
    cr_expect_eq(err.kind, ERR_AWAY, "%s", err.text);
    pg_start(pg);
    cr_expect_eq(db_connect(db, &ctx, &err), 1, "%s", err.text);
    cr_expect_eq(db_run(db, &ctx, "select 1", &err), 0, "%s", err.text);
    db_free(db);
    pg_free(pg);
}

Test(db, a_session_that_was_ended_by_the_server_is_away) {
    struct ctx ctx = limited(20000);
    struct db *db = open_database("ended", &ctx), *other = open_database("ender", &ctx);
    char pid[24];
    cr_assert_eq(DB_EXEC(other, &ctx, "select pg_terminate_backend($1::int, 5000)", NULL, &err,
                         DB_TEXT(db_int_text(pid, PQbackendPID(db->conn)))),
                 0, "%s", err.text);
    cr_expect_eq(db_run(db, &ctx, "select 1", &err), -1);
    cr_expect_eq(err.kind, ERR_AWAY, "%s", err.text);
    cr_expect_eq(db_connect(db, &ctx, &err), 1, "%s", err.text);
    cr_assert_eq(DB_EXEC(other, &ctx, "select pg_terminate_backend($1::int, 5000)", NULL, &err,
                         DB_TEXT(db_int_text(pid, PQbackendPID(db->conn)))),
                 0, "%s", err.text);
    cr_expect_eq(db_connect(db, &ctx, &err), 1, "the end of an idle session is seen without a statement");
    db_free(db);
    db_free(other);
}

Test(db, sends_more_than_a_socket_holds_while_the_server_answers) {
    struct ctx ctx = limited(40000);
    struct db *db = open_database("big", &ctx);
    enum { BIG = 16 * 1024 * 1024 };
    AUTO_FREE char *big = malloc(BIG);
    memset(big, 'x', BIG);
    AUTO_RESULT PGresult *r = NULL;
    cr_assert_eq(DB_EXEC(db, &ctx, "select length($1::bytea)", &r, &err, DB_BYTES(big, BIG)), 0, "%s",
                 err.text);
    cr_expect_eq(db_get_int(r, 0, 0), BIG);
    db_free(db);
}
