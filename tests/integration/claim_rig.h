/*
 * claim_rig - what the tests of claim.h share: a database of the test's own with the orchestrators "one" and
 * "two", and two connections to it. A failure of the rig fails the test.
 */
#ifndef BERTH_TESTS_CLAIM_RIG_H
#define BERTH_TESTS_CLAIM_RIG_H

#include "orchestrator/db/claim.h"

enum { MIB = 1024 * 1024 };
#define STATE_ONE "0193b0a5-0000-7000-8000-000000000001"
#define STATE_TWO "0193b0a5-0000-7000-8000-000000000003"
#define LIFE_ONE "0193b0a5-0000-7000-8000-0000000000a1"
#define LIFE_TWO "0193b0a5-0000-7000-8000-0000000000a2"

extern const struct claim_self one, two;

extern struct ctx ctx;
extern struct err err;
extern struct db *db, *other;

void begin(const char *name); /* of the database */
void end(void);
void run(const char *sql);
PGresult *ask(struct db *on, const struct claim *c);
void tell(const struct claim *c);
struct claim_want want(int64_t limit); /* by "one", with room for 1000 MiB */
PGresult *take(struct db *on, struct claim_want w);
char *text_of(const char *sql); /* the first column; "(none)" without a row; valid until the next call */
char *names(const PGresult *claimed); /* in their order, "a b c"; likewise */
void add(const char *name, int priority, int memory_mib, int cpus_milli);
void add_keyed(const char *name, const char *key, int max, const char *on_conflict);
/* Like text_of(), with an expectation. */
void expect_text(const char *sql, const char *expected);

/* Statements that reach the server at the same time, each on a connection of its own. */
enum { AT_ONCE_MAX = 8 };
struct at_once {
    PGresult *results[AT_ONCE_MAX]; /* NULL: it failed */
    struct err errs[AT_ONCE_MAX];
};
void ask_at_once(const struct claim *claims, size_t count, struct at_once *ret);
/* The same in two parts: until one of them waits for a lock, and to the end. */
void ask_until_blocked(const struct claim *claims, size_t count, struct at_once *ret);
void ask_to_the_end(void);
void at_once_done(struct at_once *all);
/* As POST /v1/jobs/<id>/cancel does. */
void cancel_job(const char *id);

#endif
