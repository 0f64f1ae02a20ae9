/* The database: its connection breaks before a call, or after one that took place, whose answer is lost; and
 * libpq's own failures. */
#include <libpq-fe.h>
#include <sys/socket.h>

#include "torture.h"

static const char breaking[] = "broken";
static const char sending[] = "broken,lost,failed";

static void cut(const PGconn *conn) {
    if (conn && PQsocket(conn) >= 0)
        shutdown(PQsocket(conn), SHUT_RDWR);
}

PGconn *PQconnectStartParams(const char *const *keys, const char *const *values, int expand) {
    REAL(PQconnectStartParams);
    const char *how = torture_now("PQconnectStartParams", "broken,failed");
    if (torture_is(how, "failed"))
        return NULL;
    PGconn *conn = real(keys, values, expand);
    if (how)
        cut(conn);
    return conn;
}

PostgresPollingStatusType PQconnectPoll(PGconn *conn) {
    REAL(PQconnectPoll);
    if (torture_now("PQconnectPoll", breaking))
        cut(conn);
    return real(conn);
}

/* Sent as a whole before the connection is cut: the server does it all the same. */
static int after_sending(PGconn *conn, int sent) {
    while (sent && PQflush(conn) > 0)
        continue;
    cut(conn);
    return sent;
}

int PQsendQuery(PGconn *conn, const char *sql) {
    REAL(PQsendQuery);
    const char *how = torture_now("PQsendQuery", sending);
    if (torture_is(how, "failed"))
        return 0;
    if (torture_is(how, "broken"))
        cut(conn);
    int sent = real(conn, sql);
    return torture_is(how, "lost") ? after_sending(conn, sent) : sent;
}

int PQsendQueryParams(PGconn *conn, const char *sql, int n, const Oid *types, const char *const *values,
                      const int *lengths, const int *formats, int format) {
    REAL(PQsendQueryParams);
    const char *how = torture_now("PQsendQueryParams", sending);
    if (torture_is(how, "failed"))
        return 0;
    if (torture_is(how, "broken"))
        cut(conn);
    int sent = real(conn, sql, n, types, values, lengths, formats, format);
    return torture_is(how, "lost") ? after_sending(conn, sent) : sent;
}

int PQconsumeInput(PGconn *conn) {
    REAL(PQconsumeInput);
    if (torture_now("PQconsumeInput", breaking))
        cut(conn);
    return real(conn);
}

int PQflush(PGconn *conn) {
    REAL(PQflush);
    const char *how = torture_now("PQflush", "broken,failed");
    if (how)
        cut(conn);
    return torture_is(how, "failed") ? -1 : real(conn);
}

int PQsetnonblocking(PGconn *conn, int on) {
    REAL(PQsetnonblocking);
    return torture_now("PQsetnonblocking", "failed") ? -1 : real(conn, on);
}

PQconninfoOption *PQconninfoParse(const char *text, char **words) {
    REAL(PQconninfoParse);
    return torture_now("PQconninfoParse", "failed") ? NULL : real(text, words);
}
