#include "orchestrator/db/db.h"

#include <poll.h>
#include <string.h>

#include "base/mem.h"
#include "orchestrator/db/db_private.h"

struct db *db_new(const char *url, const char *application) {
    struct db *db = mem_alloc(sizeof *db);
    db->url = mem_strdup(url);
    db->application = mem_strdup(application);
    db->answer_ms = DB_ANSWER_MS;
    return db;
}

void db_disconnect(struct db *db) {
    PQfinish(STEAL(db->conn));
}

void db_free(struct db *db) {
    if (!db)
        return;
    db_disconnect(db);
    free(db->url);
    free(db->application);
    free(db);
}

/* What has to be waited for while connecting; the socket may be another one after every PQconnectPoll (libpq
 * tries one address after the other). */
static int connect_wait(struct db *db, const struct ctx *ctx, struct err *err) {
    PostgresPollingStatusType want = PGRES_POLLING_WRITING;
    while (want != PGRES_POLLING_OK) {
        if (want == PGRES_POLLING_FAILED)
            return err_set(err, ERR_AWAY, 0, "connecting to the database: %.*s",
                           (int)strcspn(PQerrorMessage(db->conn), "\n"), PQerrorMessage(db->conn));
        struct pollfd p = {.fd = PQsocket(db->conn),
                           .events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        if (ctx_poll(ctx, &p, 1, "connecting to the database", err) < 0)
            return -1;
        want = PQconnectPoll(db->conn);
    }
    return 0;
}

static int connect_new(struct db *db, const struct ctx *ctx, struct err *err) {
    db->conn = db_start(db->url, db->application);
    if (!db->conn)
        return err_set(err, ERR_AWAY, 0, "connecting to the database: out of memory");
    if (PQstatus(db->conn) == CONNECTION_BAD)
        return err_set(err, ERR_AWAY, 0, "connecting to the database: %.*s",
                       (int)strcspn(PQerrorMessage(db->conn), "\n"), PQerrorMessage(db->conn));
    if (connect_wait(db, ctx, err) < 0)
        return -1;
    if (PQsetnonblocking(db->conn, 1) < 0)
        return err_set(err, ERR_AWAY, 0,
                       "connecting to the database: the socket cannot be made non-blocking");
    return db_run(db, ctx, db_session_sql(), err);
}

/* Whether the idle connection can be used: one that the server has closed is readable, and then at its end.
 */
static bool is_good(struct db *db) {
    if (!db->conn || PQstatus(db->conn) != CONNECTION_OK || PQtransactionStatus(db->conn) != PQTRANS_IDLE)
        return false;
    struct pollfd p = {.fd = PQsocket(db->conn), .events = POLLIN};
    while (poll(&p, 1, 0) > 0)
        if (!PQconsumeInput(db->conn))
            return false;
    return true;
}

int db_connect(struct db *db, const struct ctx *ctx, struct err *err) {
    if (is_good(db))
        return 0;
    db_disconnect(db);
    if (db_check_url(db->url, err) < 0)
        return -1;
    struct ctx limit = ctx_child(ctx);
    ctx_deadline_in(&limit, DB_CONNECT_TIMEOUT_MS);
    if (connect_new(db, &limit, err) == 0)
        return 1;
    db_disconnect(db);
    if (ctx_state(ctx) == CTX_LIVE && ctx_state(&limit) == CTX_EXPIRED)
        return err_set(err, ERR_AWAY, 0, "connecting to the database: no answer within %d ms",
                       DB_CONNECT_TIMEOUT_MS);
    return -1;
}

/* Sends what libpq still holds and reads until a result is there. While sending, answers must be read too, or
 * both sides could wait for each other. */
static int wait_result(struct db *db, const struct ctx *ctx, struct err *err) {
    for (;;) {
        int unsent = PQflush(db->conn);
        if (unsent < 0)
            return db_result_error(db->conn, NULL, "sending a statement to the database", err);
        if (!unsent && !PQisBusy(db->conn))
            return 0;
        struct pollfd p = {.fd = PQsocket(db->conn), .events = (short)(unsent ? POLLIN | POLLOUT : POLLIN)};
        if (ctx_poll(ctx, &p, 1, "waiting for the database", err) < 0)
            return -1;
        if ((p.revents & ~POLLOUT) && !PQconsumeInput(db->conn))
            return db_result_error(db->conn, NULL, "the connection to the database broke", err);
    }
}

/* Takes all results of one statement (or several, of db_run); the last is kept, or the first that is an
 * error. */
static int collect(struct db *db, const struct ctx *ctx, PGresult **ret_result, struct err *err) {
    AUTO_RESULT PGresult *kept = NULL;
    for (;;) {
        if (wait_result(db, ctx, err) < 0)
            return -1;
        PGresult *r = PQgetResult(db->conn);
        if (!r)
            break;
        if (kept && !db_result_ok(kept)) {
            PQclear(r);
            continue;
        }
        PQclear(kept);
        kept = r;
    }
    if (!kept || !db_result_ok(kept))
        return db_result_error(db->conn, kept, "statement", err);
    if (ret_result)
        *ret_result = STEAL(kept);
    return 0;
}

/* No keepalive notices a server, or a proxy before it, that takes everything and answers nothing. */
static int collect_in_time(struct db *db, const struct ctx *ctx, PGresult **ret_result, struct err *err) {
    struct ctx limit = ctx_child(ctx);
    ctx_deadline_in(&limit, db->answer_ms);
    int r = collect(db, &limit, ret_result, err);
    if (r < 0 && ctx_state(ctx) == CTX_LIVE && ctx_state(&limit) == CTX_EXPIRED)
        return err_set(err, ERR_AWAY, 0, "the database has not answered within %d ms", db->answer_ms);
    return r;
}

/* A statement that was given up (cancel, deadline, broken connection) leaves the connection in the middle of
 * an answer: it is dropped. The server ends what it still does by its statement_timeout. So is one to a
 * server that is not to be talked to any more. */
static int finish(struct db *db, const struct ctx *ctx, int sent, PGresult **ret_result, struct err *err) {
    struct err why = {0};
    int r = sent ? collect_in_time(db, ctx, ret_result, &why)
                 : db_result_error(db->conn, NULL, "sending a statement to the database", &why);
    bool in_answer = PQtransactionStatus(db->conn) == PQTRANS_ACTIVE;
    if (PQstatus(db->conn) == CONNECTION_BAD || in_answer || (r < 0 && why.kind == ERR_AWAY))
        db_disconnect(db);
    if (r < 0 && err)
        *err = why;
    return r;
}

static int check_ready(const struct db *db, const struct ctx *ctx, struct err *err) {
    if (!db->conn)
        return err_set(err, ERR_AWAY, 0, "the database is not connected");
    return ctx_check(ctx, "statement", err);
}

int db_exec(struct db *db, const struct ctx *ctx, const char *sql, const struct db_param *params,
            size_t count, PGresult **ret_result, struct err *err) {
    if (check_ready(db, ctx, err) < 0)
        return -1;
    if (count > DB_PARAMS_MAX)
        return err_set(err, ERR_BUG, 0, "a statement with %zu parameters, at most %d", count, DB_PARAMS_MAX);
    const char *values[DB_PARAMS_MAX];
    int lengths[DB_PARAMS_MAX], formats[DB_PARAMS_MAX];
    for (size_t i = 0; i < count; i++) {
        values[i] = params[i].data;
        lengths[i] = (int)params[i].len;
        formats[i] = params[i].binary;
    }
    int sent = PQsendQueryParams(db->conn, sql, (int)count, NULL, values, lengths, formats, 0);
    return finish(db, ctx, sent, ret_result, err);
}

int db_run(struct db *db, const struct ctx *ctx, const char *sql, struct err *err) {
    if (check_ready(db, ctx, err) < 0)
        return -1;
    return finish(db, ctx, PQsendQuery(db->conn, sql), NULL, err);
}

int db_begin(struct db *db, const struct ctx *ctx, struct err *err) {
    return db_run(db, ctx, "begin", err);
}

int db_commit(struct db *db, const struct ctx *ctx, struct err *err) {
    /* COMMIT of a transaction that has failed is answered with success and the tag ROLLBACK. */
    AUTO_RESULT PGresult *r = NULL;
    if (db_exec(db, ctx, "commit", NULL, 0, &r, err) < 0)
        return err_wrap(err, "commit");
    if (strcmp(PQcmdStatus(r), "COMMIT") != 0)
        return err_set(err, ERR_DB, db_sqlstate("25P02"),
                       "commit: the transaction had failed and was rolled back");
    return 0;
}

void db_rollback(struct db *db, const struct ctx *ctx) {
    if (db->conn && (PQtransactionStatus(db->conn) != PQTRANS_IDLE) && db_run(db, ctx, "rollback", NULL) < 0)
        db_disconnect(db);
}
