#include "tests/support/pg.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/mem.h"

enum { PG_READY_MS = 30000, PG_PING_MS = 20 };
#define PG_ALL_URL "BERTH_TEST_PG_URL"

static struct pg *all_tests;

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fputs("tests/support/pg: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(70);
}

/* Who PostgreSQL runs as: it refuses root. */
static const struct passwd *owner(void) {
    const struct passwd *user = geteuid() == 0 ? getpwnam("postgres") : getpwuid(geteuid());
    if (!user)
        die("there is no user postgres");
    return user;
}

static void find_bin(struct pg *pg) {
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) != 0)
        die("no PostgreSQL server below /usr/lib/postgresql");
    const char *last = found.gl_pathv[found.gl_pathc - 1];
    snprintf(pg->bin, sizeof pg->bin, "%.*s", (int)(strrchr(last, '/') - last), last);
    globfree(&found);
}

/* Criterion has threads by now, so the child does nothing that takes memory: the sanitizer's allocator may
 * have been locked at the fork, and stays so. */
static pid_t run(const struct pg *pg, char *const *argv) {
    const struct passwd *user = owner();
    uid_t uid = user->pw_uid;
    gid_t gid = user->pw_gid;
    bool root = geteuid() == 0;
    char log[128];
    snprintf(log, sizeof log, "%s/log", pg->dir);
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        die("fork: %s", strerror(errno));
    if (pid > 0)
        return pid;
    if (root && (setgroups(1, &gid) < 0 || setgid(gid) < 0 || setuid(uid) < 0))
        _exit(71);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (getppid() != parent || chdir(pg->dir) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(72);
    setpgid(0, 0);
    execv(argv[0], argv);
    _exit(73);
}

static int wait_for(pid_t pid) {
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

void pg_start(struct pg *pg) {
    char program[160], socket_dir[160];
    snprintf(program, sizeof program, "%s/postgres", pg->bin);
    snprintf(socket_dir, sizeof socket_dir, "unix_socket_directories=%s", pg->dir);
    char data[80];
    snprintf(data, sizeof data, "%s/data", pg->dir);
    char *argv[] = {program,
                    "-D",
                    data,
                    "-c",
                    socket_dir,
                    "-c",
                    "listen_addresses=",
                    "-c",
                    "fsync=off",
                    "-c",
                    "shared_buffers=32MB",
                    "-c",
                    "max_connections=60",
                    "-c",
                    "max_wal_size=256MB",
                    NULL};
    pg->pid = run(pg, argv);
    int64_t end = clock_boot_ms() + PG_READY_MS;
    while (PQping(pg->url) != PQPING_OK) {
        if (clock_boot_ms() > end || waitpid(pg->pid, NULL, WNOHANG) != 0)
            die("the server does not come up, see %s/log", pg->dir);
        poll(NULL, 0, PG_PING_MS);
    }
}

void pg_stop(struct pg *pg, int signal) {
    if (pg->pid <= 0)
        return;
    kill(pg->pid, signal);
    wait_for(pg->pid);
    pg->pid = 0;
}

struct pg *pg_new(void) {
    struct pg *pg = mem_alloc(sizeof *pg);
    snprintf(pg->dir, sizeof pg->dir, "/tmp/berth-pg-XXXXXX");
    if (!mkdtemp(pg->dir))
        die("%s: %s", pg->dir, strerror(errno));
    if (geteuid() == 0 && chown(pg->dir, owner()->pw_uid, owner()->pw_gid) < 0)
        die("%s: %s", pg->dir, strerror(errno));
    snprintf(pg->url, sizeof pg->url, "host=%s user=berth dbname=postgres", pg->dir);
    find_bin(pg);
    char program[160], data[80];
    snprintf(program, sizeof program, "%s/initdb", pg->bin);
    snprintf(data, sizeof data, "%s/data", pg->dir);
    char *argv[] = {program,     "-D", data,   "-U",         "berth", "--auth=trust",
                    "--no-sync", "-E", "UTF8", "--locale=C", NULL};
    if (wait_for(run(pg, argv)) != 0)
        die("initdb failed, see %s/log", pg->dir);
    pg_start(pg);
    return pg;
}

void pg_free(struct pg *pg) {
    if (!pg)
        return;
    pg_stop(pg, SIGQUIT);
    struct err err = {0};
    if (dir_remove_tree(AT_FDCWD, pg->dir, &err) < 0)
        die("%s", err.text);
    free(pg);
}

static const char *make_database(const char *admin_url, const char *name, char url[PG_URL_MAX]) {
    PGconn *conn = PQconnectdb(admin_url);
    char sql[128];
    snprintf(sql, sizeof sql, "create database \"%s\"", name);
    PGresult *r = PQexec(conn, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        die("%s: %s", sql, PQerrorMessage(conn));
    snprintf(url, PG_URL_MAX, "host=%s user=berth dbname=%s", PQhost(conn), name);
    PQclear(r);
    PQfinish(conn);
    return url;
}

const char *pg_make_database(const struct pg *pg, const char *name, char url[PG_URL_MAX]) {
    return make_database(pg->url, name, url);
}

void pg_all_begin(void) {
    all_tests = pg_new();
    setenv(PG_ALL_URL, all_tests->url, 1);
}

void pg_all_end(void) {
    pg_free(all_tests);
    all_tests = NULL;
}

/* Criterion runs each test in a process of its own, which inherits no more than the environment. */
const char *pg_database(const char *name, char url[PG_URL_MAX]) {
    const char *admin_url = getenv(PG_ALL_URL);
    if (!admin_url)
        die("this program does not use test_support_pg_all");
    return make_database(admin_url, name, url);
}
