#include "orchestrator/db/db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/mem.h"
#include "orchestrator/db/db_private.h"

enum { DB_MESSAGE_MAX = 400, DB_SETUP_MAX = 4096, DB_SQLSTATE_LEN = 5, DB_SQLSTATE_BASE = 36 };

#define STRING_(x) #x
#define STRING(x) STRING_(x)

int db_sqlstate(const char *five) {
    int code = 0;
    for (int i = 0; i < DB_SQLSTATE_LEN && five[i]; i++) {
        char c = five[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'Z' ? c - 'A' + 10 : 0;
        code = code * DB_SQLSTATE_BASE + digit;
    }
    return code;
}

bool db_sqlstate_is(int code, const char *code_or_class) {
    char first[DB_SQLSTATE_LEN + 1] = "", last[DB_SQLSTATE_LEN + 1] = "";
    if (strlen(code_or_class) == DB_SQLSTATE_LEN)
        return code == db_sqlstate(code_or_class);
    snprintf(first, sizeof first, "%.2s000", code_or_class);
    snprintf(last, sizeof last, "%.2sZZZ", code_or_class);
    return code >= db_sqlstate(first) && code <= db_sqlstate(last);
}

const char *db_int_text(char out[24], int64_t n) {
    snprintf(out, 24, "%lld", (long long)n);
    return out;
}

bool db_is_null(const PGresult *r, int row, int col) {
    return PQgetisnull(r, row, col);
}

const char *db_get_text(const PGresult *r, int row, int col) {
    return PQgetvalue(r, row, col);
}

int64_t db_get_int(const PGresult *r, int row, int col) {
    return strtoll(PQgetvalue(r, row, col), NULL, 10);
}

const char *db_get_text_or_null(const PGresult *r, int row, int col) {
    return db_is_null(r, row, col) ? NULL : db_get_text(r, row, col);
}

int64_t db_get_int_or(const PGresult *r, int row, int col, int64_t null_is) {
    return db_is_null(r, row, col) ? null_is : db_get_int(r, row, col);
}

bool db_get_bool(const PGresult *r, int row, int col) {
    return PQgetvalue(r, row, col)[0] == 't';
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int db_get_bytes(const PGresult *r, int row, int col, unsigned char **ret, size_t *ret_len, struct err *err) {
    const char *text = PQgetvalue(r, row, col);
    size_t len = (size_t)PQgetlength(r, row, col);
    if (len == 0 && PQgetisnull(r, row, col)) {
        *ret = NULL;
        *ret_len = 0;
        return 0;
    }
    if (len < 2 || len % 2 || text[0] != '\\' || text[1] != 'x')
        return err_set(err, ERR_INVALID, 0, "column %d of the result is no bytea in hex form", col);
    size_t n = len / 2 - 1;
    AUTO_FREE unsigned char *bytes = mem_alloc(n + 1);
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(text[2 + 2 * i]), low = hex_digit(text[3 + 2 * i]);
        if (high < 0 || low < 0)
            return err_set(err, ERR_INVALID, 0, "column %d of the result is no bytea in hex form", col);
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    *ret = STEAL(bytes);
    *ret_len = n;
    return 0;
}

int db_check_url(const char *url, struct err *err) {
    if (!url || !*url)
        return err_set(err, ERR_USAGE, 0, "no database is named: set BERTH_DATABASE_URL");
    char *words = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &words);
    if (options) {
        PQconninfoFree(options);
        return 0;
    }
    err_set(err, ERR_USAGE, 0, "BERTH_DATABASE_URL cannot be read: %.*s",
            words ? (int)strcspn(words, "\n") : 0, words ? words : "");
    PQfreemem(words);
    return -1;
}

static void ignore_notice(void *arg, const char *message) {
    (void)arg;
    (void)message;
}

PGconn *db_start(const char *url, const char *application) {
    /* A later word replaces an earlier one, and "dbname" stands for the whole connection string. */
    const char *const keys[] = {"keepalives_idle",  "keepalives_interval",  "keepalives_count",
                                "tcp_user_timeout", "target_session_attrs", "dbname",
                                "application_name", "client_encoding",      NULL};
    const char *const values[] = {"10", "5",         "3",    STRING(10000), "read-write",
                                  url,  application, "UTF8", NULL};
    _Static_assert(DB_TCP_USER_TIMEOUT_MS == 10000, "the word above says the same");
    PGconn *conn = PQconnectStartParams(keys, values, 1);
    if (conn)
        PQsetNoticeProcessor(conn, ignore_notice, NULL);
    return conn;
}

const char *db_session_sql(void) {
    _Static_assert(DB_STATEMENT_TIMEOUT_MS == 30000, "the word below says the same");
    return "set statement_timeout = 30000; set idle_in_transaction_session_timeout = 60000; "
           "set bytea_output = hex; set datestyle = iso; set timezone = 'UTC'; "
           "set synchronous_commit = on; " /* files go once the database has confirmed them */
           /* What counts the holders of a key sees what others have committed (0002_jobs.sql). */
           "set default_transaction_isolation = 'read committed'";
}

char *db_setup_sql(int64_t statement_timeout_ms, const char *const *channels) {
    AUTO_BUF struct buf sql = BUF(DB_SETUP_MAX);
    buf_adds(&sql, db_session_sql());
    buf_addf(&sql, "; set statement_timeout = %lld", (long long)statement_timeout_ms);
    /* Channel names are the program's own words. */
    for (; channels && *channels; channels++)
        buf_addf(&sql, "; listen \"%s\"", *channels);
    return buf_steal(&sql);
}

bool db_result_ok(const PGresult *result) {
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
}

#define READ_ONLY "25006"

/* Class 08: connection exceptions; 57P01 to 57P05: the server ends the session or is not up yet. PostgreSQL,
 * appendix A. READ_ONLY: the server has become one that can only be read from, so that this is not the one to
 * talk to; a new connection looks for one that takes writes (target_session_attrs). */
static bool state_means_away(const char *state) {
    return strncmp(state, "08", 2) == 0 || strncmp(state, "57P", 3) == 0 || strcmp(state, READ_ONLY) == 0;
}

/* A row that waited for the default partition is refused, with the code of a check but without a check's
 * name, when its day was given a partition meanwhile (ExecFindPartition in PostgreSQL's execPartition.c). It
 * finds its place when it comes again, as what could not be serialized does: that is the code under which it
 * is told. */
static const char *state_of_the_case(const char *state, const PGresult *result) {
    const char *table = PQresultErrorField(result, PG_DIAG_TABLE_NAME);
    bool day_was_made = strcmp(state, "23514") == 0 && table && strcmp(table, "log_chunks_default") == 0 &&
                        !PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    return day_was_made ? "40001" : state;
}

int db_result_error(const PGconn *conn, const PGresult *result, const char *what, struct err *err) {
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *words = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (!words)
        words = result && *PQresultErrorMessage(result) ? PQresultErrorMessage(result) : PQerrorMessage(conn);
    int len = (int)strcspn(words, "\n");
    if (len > DB_MESSAGE_MAX)
        len = DB_MESSAGE_MAX;
    /* Without an SQLSTATE the words are libpq's own: the connection is gone. */
    if (!state || state_means_away(state))
        return err_set(err, ERR_AWAY, state && strcmp(state, READ_ONLY) == 0 ? DB_NOT_DONE : 0, "%s: %.*s",
                       what, len, words);
    return err_set(err, ERR_DB, db_sqlstate(state_of_the_case(state, result)), "%s: %.*s (SQLSTATE %s)", what,
                   len, words, state);
}

int64_t db_random_below(int64_t bound) {
    uint64_t random = 0;
    if (bound <= 0 || getrandom(&random, sizeof random, 0) != sizeof random)
        return 0;
    return (int64_t)(random % (uint64_t)bound);
}
