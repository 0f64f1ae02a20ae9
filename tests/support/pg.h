/*
 * pg - a PostgreSQL of a test's own: a cluster in a temporary directory, a Unix socket and nothing else.
 *
 * Every function ends the test program with a message when it cannot do its work. Servers die with the
 * process that started them. As root, everything of PostgreSQL runs as the user postgres.
 *
 * One cluster for a whole test program: it uses test_support_pg_all in CMake (pg_all.c), and each test makes
 * a database of its own with pg_database(). A test that stops or kills the server makes its own cluster:
 * pg_new().
 */
#ifndef BERTH_TESTS_PG_H
#define BERTH_TESTS_PG_H

#include <sys/types.h>

enum { PG_URL_MAX = 256 };

struct pg {
    char dir[64];
    char url[PG_URL_MAX]; /* of the database "postgres" */
    char bin[128];
    pid_t pid; /* of the server; 0: stopped */
};

struct pg *pg_new(void);
void pg_free(struct pg *pg); /* stops the server, removes the directory */
void pg_start(struct pg *pg);
void pg_stop(struct pg *pg, int signal); /* SIGINT: breaks off sessions; SIGQUIT: as a crash */
/* Makes an empty database in this cluster; returns its connection string. */
const char *pg_make_database(const struct pg *pg, const char *name, char url[PG_URL_MAX]);

void pg_all_begin(void);
void pg_all_end(void);
const char *pg_database(const char *name, char url[PG_URL_MAX]); /* in the cluster of the program */

/* "t": somebody in this database waits for a lock, of whatever kind. Not from pg_stat_activity, which stands
 * still within a transaction. */
#define PG_WAITS_SQL                                                                                         \
    "select exists (select from pg_locks w join pg_locks h using (pid) where not w.granted and h.database =" \
    " (select oid from pg_database where datname = current_database()))"

#endif
