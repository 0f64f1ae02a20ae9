/*
 * db - one blocking connection to PostgreSQL, for processes that do one thing (scribe, reaper, migrate).
 *
 * Every statement runs under a ctx and the server's statement_timeout. Results are struct db_result, freed by
 * scope (AUTO_RESULT). Errors: ERR_AWAY when the server cannot be reached or the connection broke (reconnect
 * with db_connect; nothing is known about an open transaction) or can only be read from, ERR_DB when it
 * refused the statement: err->code is the SQLSTATE packed by db_sqlstate(). No SQL outside orchestrator/db:
 * other rooms call the functions of claim.h, ship.h, api.h, live.h, keep.h.
 */
#ifndef BERTH_DB_H
#define BERTH_DB_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/ctx.h"
#include "base/err.h"

enum {
    DB_PARAMS_MAX = 32,
    DB_CONNECT_TIMEOUT_MS = 5000,
    DB_STATEMENT_TIMEOUT_MS = 30000,
    DB_TCP_USER_TIMEOUT_MS = 10000, /* a black hole is noticed after this */
    /* Beyond the server's own statement_timeout: when not even that is heard of, the connection is dead. */
    DB_ANSWER_MS = DB_STATEMENT_TIMEOUT_MS + DB_TCP_USER_TIMEOUT_MS,
    DB_NOT_DONE = 1, /* code of an ERR_AWAY: the statement surely took no effect */
};

/* "40001" packed base 36, as err.code. */
int db_sqlstate(const char *five);
/* Whether it is this one, or of this class when only the two letters of one are given. */
bool db_sqlstate_is(int code, const char *code_or_class);

struct db {
    char *url;
    char *application; /* application_name: "berth:<instance>:<role>" */
    PGconn *conn;      /* NULL: not connected */
    int answer_ms;     /* a server that has not answered after this is away; DB_ANSWER_MS */
};

struct db *db_new(const char *url, const char *application);
void db_free(struct db *db);
/* Connects (again) if there is no good connection. Returns 1 when a new connection was made, 0 when the old
 * is good. */
int db_connect(struct db *db, const struct ctx *ctx, struct err *err);
void db_disconnect(struct db *db);

/* A parameter of a statement: text or bytes; NULL data is SQL null. Borrowed for the call. */
struct db_param {
    const char *data;
    size_t len;  /* of binary data; 0 for NUL-terminated text */
    bool binary; /* bytea */
};
#define DB_TEXT(s) ((struct db_param){.data = (s)})
#define DB_BYTES(p, n) ((struct db_param){.data = (const char *)(p), .len = (n), .binary = true})
#define DB_NULL ((struct db_param){0})
/* A number, formatted into an array that lives as long as the enclosing block. */
#define DB_INT(n) DB_TEXT(db_int_text((char[24]){0}, (n)))
const char *db_int_text(char out[24], int64_t n);

/* Results come in text format, bytea as returned by db_get_bytes. */
int db_exec(struct db *db, const struct ctx *ctx, const char *sql, const struct db_param *params,
            size_t count, PGresult **ret_result, struct err *err);
#define DB_EXEC(db, ctx, sql, ret, err, ...)                                                                 \
    db_exec((db), (ctx), (sql), (const struct db_param[]){__VA_ARGS__},                                      \
            sizeof((const struct db_param[]){__VA_ARGS__}) / sizeof(struct db_param), (ret), (err))
int db_run(struct db *db, const struct ctx *ctx, const char *sql,
           struct err *err); /* no parameters, no result */
int db_begin(struct db *db, const struct ctx *ctx, struct err *err);
int db_commit(struct db *db, const struct ctx *ctx, struct err *err);
void db_rollback(struct db *db,
                 const struct ctx *ctx); /* best effort; drops the connection when that fails */

/* Access to a result, for both kinds of connection. */
bool db_is_null(const PGresult *r, int row, int col);
const char *db_get_text(const PGresult *r, int row, int col); /* "" for null */
int64_t db_get_int(const PGresult *r, int row, int col);      /* 0 for null */
const char *db_get_text_or_null(const PGresult *r, int row, int col);
int64_t db_get_int_or(const PGresult *r, int row, int col, int64_t null_is);
bool db_get_bool(const PGresult *r, int row, int col);
/* Decodes bytea in hex form; *ret is owned by the caller. */
int db_get_bytes(const PGresult *r, int row, int col, unsigned char **ret, size_t *ret_len, struct err *err);

/* A random number from 0 to bound - 1, for the jitter of a back-off. */
int64_t db_random_below(int64_t bound);

static inline void db_result_p(PGresult **r) {
    PQclear(*r);
}
#define AUTO_RESULT CLEANUP(db_result_p)

#endif
