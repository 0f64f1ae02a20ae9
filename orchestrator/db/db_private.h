/* db_private - what the blocking and the asynchronous connection share. */
#ifndef BERTH_DB_PRIVATE_H
#define BERTH_DB_PRIVATE_H

#include "orchestrator/db/db.h"

/* Whether libpq can read the connection string; ERR_USAGE with libpq's words (which never hold the password).
 */
int db_check_url(const char *url, struct err *err);

/* Begins to connect without blocking (but for the resolver). NULL only when memory ran out. What the
 * operator's connection string says about keepalives and the like goes before our defaults. */
PGconn *db_start(const char *url, const char *application);

/* First statements of every session: time-outs, the formats that db_get_*() reads, and that a commit is on
 * disk when it is confirmed: the scribe removes files then. */
const char *db_session_sql(void);

/* The same with another statement_timeout, and then LISTEN for channels (NULL: none; NULL-terminated). Owned
 * by the caller. */
char *db_setup_sql(int64_t statement_timeout_ms, const char *const *channels);

/* From a result that is no success (NULL: from the connection). ERR_AWAY when the connection broke or the
 * server is going down, else ERR_DB. Returns -1. */
int db_result_error(const PGconn *conn, const PGresult *result, const char *what, struct err *err);
bool db_result_ok(const PGresult *result);

#endif
