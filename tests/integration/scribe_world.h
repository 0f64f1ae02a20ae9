/*
 * scribe_world - what the tests of the scribe stand on: a migrated database, a state directory, the scribe as
 * its parent starts it, and jobs whose runner and init are played by the test.
 *
 * Every function ends the test when it cannot do its work; whatever is waited for has a bound of a minute.
 */
#ifndef BERTH_TESTS_SCRIBE_WORLD_H
#define BERTH_TESTS_SCRIBE_WORLD_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/json.h"
#include "orchestrator/db/db.h"
#include "proto/attempt.h"
#include "proto/journal.h"
#include "proto/spool.h"
#include "proto/stream.h"
#include "tests/support/pg.h"

enum { WAIT_MS = 60000, LOOK_MS = 10, LOG_MAX = 64 * 1024 * 1024, LIMIT_BYTES = 48 * 1024 * 1024 };

extern struct err err;
extern struct ctx ctx;
extern struct db *db;
extern int attempts_fd;
extern int parent_fd; /* the parent's end of the socket to the scribe */
extern pid_t scribe;
extern char cluster[]; /* what the parent tells the scribe; setup: the database's */

/* program: a berthd to be executed; NULL: the scribe that is linked to the test. Does not wait for READY. */
void spawn_scribe(const char *program);
void start_scribe(void); /* returns when it has said READY */
int reap(void);          /* its parent goes; its wait status */
void kill_scribe(void);

void setup(const char *name); /* in a new database of the program's cluster */
void setup_at(const char *database_url);
void teardown(void);

struct job {
    struct attempt *attempt;
    char name[ATTEMPT_NAME_MAX];
    int dir_fd, spool_fd;
    struct journal journal;
    struct buf log; /* what was written as output */
    uint64_t time_us;
};
struct job *new_job(int64_t limit); /* row and directory, as after a claim */
struct job *new_job_of(const char *spec, int64_t limit);
/* number 2: the first one was taken from an orchestrator before it had started. */
struct job *new_attempt_of(const char *spec, int64_t limit, int number);
void free_job(struct job *job);
int make_spool(const struct job *job, const char *file); /* of another source than the main container */
void put_in(struct job *job, int fd, enum spool_type type, enum spool_stream stream, const void *bytes,
            size_t len);
void put(struct job *job, enum spool_type type, enum spool_stream stream, const void *bytes, size_t len);
void say(struct job *job, enum spool_stream stream, const void *bytes, size_t len);
void says(struct job *job, const char *text);
void say_random(struct job *job, size_t total);
void step(struct job *job, enum journal_step what, json_t *fields);
void start(struct job *job); /* pulled, created, started */
void judge(struct job *job, enum status status, enum reason reason,
           int exit_code); /* exited, verdict, cleaned */
void end(struct job *job); /* END record, succeeded */

void run_sql(const char *sql, const char *id);    /* id: $1, or NULL */
const char *ask(const char *sql, const char *id); /* the first value, until the next call */
void until(const char *sql, const char *id, const char *want);
void until_status(const struct job *job, const char *want);
void until_shipped(const struct job *job);
void until_gone(const char *name);
bool has_file(const struct job *job, const char *file); /* its directory */
void until_someone_waits_for_a_lock(void);              /* in this test's database */

/* Reads all rows; a byte that no row covers is left as '#', one of a gap as '?'. */
void read_log(const struct job *job, struct buf *out, int64_t *ret_holes, int64_t *ret_gaps);
void expect_log_exact(const struct job *job);
void expect_sha(const struct job *job);

#define CLUSTER_SQL "select id from berth.cluster where $1 = '1'"
#define STATUS_SQL "select status from berth.jobs where id = $1"
#define LOG_BYTES_SQL "select log_bytes from berth.attempts where job_id = $1"
#define EXPECT_ANSWER(of, sql, want) cr_expect_str_eq(ask((sql), (of)->attempt->job), (want))

#endif
