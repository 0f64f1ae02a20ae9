#include "tests/integration/claim_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "orchestrator/db/api.h"
#include "orchestrator/db/migrate.h"
#include "tests/support/pg.h"

struct ctx ctx;
struct err err;
struct db *db, *other;
const struct claim_self one = {.name = "one", .state_id = STATE_ONE, .home = "here/1", .life = LIFE_ONE};
const struct claim_self two = {.name = "two", .state_id = STATE_TWO, .home = "here/2", .life = LIFE_TWO};
static char url[PG_URL_MAX];
static sd_event *loop;
static struct db_pool *pool;

static struct db *connect_to(const char *to) {
    struct db *made = db_new(to, "berth:test:claim");
    cr_assert_eq(db_connect(made, &ctx, &err), 1, "%s", err.text);
    return made;
}

/* Each test in a database of its own, with the orchestrator "one". */
void begin(const char *name) {
    struct claim c;
    ctx = ctx_root(NULL);
    ctx_deadline_in(&ctx, 60000);
    db = connect_to(pg_database(name, url));
    other = connect_to(url);
    cr_assert_geq(migrate_run(db, &ctx, &err), 0, "%s", err.text);
    struct claim_holder holder;
    claim_register(&c, &one, 4, 15000);
    AUTO_RESULT PGresult *r = ask(db, &c);
    cr_assert(claim_registered(r, &holder));
    claim_register(&c, &two, 4, 15000);
    AUTO_RESULT PGresult *too = ask(db, &c);
    cr_assert(claim_registered(too, &holder));
}

void end(void) {
    if (pool)
        db_pool_free(pool);
    sd_event_unref(loop);
    db_free(db);
    db_free(other);
}

void run(const char *sql) {
    cr_assert_eq(db_run(db, &ctx, sql, &err), 0, "%s: %s", sql, err.text);
}

PGresult *ask(struct db *on, const struct claim *c) {
    PGresult *r = NULL;
    cr_assert_eq(claim_exec(on, &ctx, c, &r, &err), 0, "%s", err.text);
    return r;
}

void tell(const struct claim *c) {
    PQclear(ask(db, c));
}

struct claim_want want(int64_t limit) {
    return (struct claim_want){.self = one,
                               .limit = limit,
                               .memory_free = 1000 * MIB,
                               .memory_total = 1000 * MIB,
                               .default_memory = 100 * MIB,
                               .default_log = 65536};
}

PGresult *take(struct db *on, struct claim_want w) {
    struct claim c;
    claim_take(&c, &w);
    return ask(on, &c);
}

char *text_of(const char *sql) {
    static char out[512];
    AUTO_RESULT PGresult *r = NULL;
    cr_assert_eq(db_exec(db, &ctx, sql, NULL, 0, &r, &err), 0, "%s", err.text);
    snprintf(out, sizeof out, "%s", PQntuples(r) ? db_get_text(r, 0, 0) : "(none)");
    return out;
}

/* The names of the rows in their order, "a b c". */
char *names(const PGresult *r) {
    static char out[512];
    out[0] = '\0';
    for (int i = 0; i < PQntuples(r); i++) {
        char sql[128];
        struct claim_job job = claim_row(r, i);
        snprintf(sql, sizeof sql, "select name from berth.jobs where id = '%s'", job.job);
        size_t len = strlen(out);
        snprintf(out + len, sizeof out - len, "%s%s", i ? " " : "", text_of(sql));
    }
    return out;
}

void add(const char *name, int priority, int memory_mib, int cpus_milli) {
    char sql[512];
    snprintf(sql, sizeof sql,
             "insert into berth.jobs (id, name, priority, memory_bytes, cpus_milli, spec)"
             " values (berth.uuid7(), '%s', %d, %d::bigint * 1048576, %d, '{\"image\": \"x\"}')",
             name, priority, memory_mib, cpus_milli);
    run(sql);
}

void add_keyed(const char *name, const char *key, int max, const char *on_conflict) {
    cr_assert_eq(
        DB_EXEC(db, &ctx,
                "insert into berth.jobs (id, name, memory_bytes, spec, concurrency_key, concurrency_max,"
                " on_conflict) values (berth.uuid7(), $1, 1048576, '{\"image\": \"x\"}', $2, $3, $4)",
                NULL, &err, DB_TEXT(name), DB_TEXT(key), DB_INT(max), DB_TEXT(on_conflict)),
        0, "%s: %s", name, err.text);
}

void expect_text(const char *sql, const char *expected) {
    char *got = text_of(sql);
    cr_expect_str_eq(got, expected, "%s: %s, not %s", sql, got, expected);
}

/* --- at once --- */

enum { LOOK_US = 5000 };

static struct one_of {
    struct at_once *all;
    size_t at;
} asked[AT_ONCE_MAX];
static size_t open_count;

static void on_answer(void *arg, const PGresult *result, const struct err *why) {
    struct one_of *one = arg;
    if (why)
        one->all->errs[one->at] = *why;
    else
        one->all->results[one->at] = PQcopyResult(result, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
    open_count--;
}

static void open_pool(void) {
    struct db_pool_settings settings = {.url = url,
                                        .application = "berth:test:at_once",
                                        .connections = AT_ONCE_MAX,
                                        .queue_timeout_ms = 30000};
    cr_assert_geq(sd_event_new(&loop), 0);
    cr_assert_eq(db_pool_new(loop, &settings, &pool, &err), 0, "%s", err.text);
}

static void send_all(const struct claim *claims, size_t count, struct at_once *ret) {
    *ret = (struct at_once){0};
    if (!pool)
        open_pool();
    open_count = count;
    for (size_t i = 0; i < count; i++) {
        asked[i] = (struct one_of){ret, i};
        cr_assert_eq(claim_send(pool, &claims[i], on_answer, &asked[i], &err), 0, "%s", err.text);
    }
}

void ask_to_the_end(void) {
    while (open_count)
        cr_assert_geq(sd_event_run(loop, UINT64_MAX), 0);
}

void ask_at_once(const struct claim *claims, size_t count, struct at_once *ret) {
    send_all(claims, count, ret);
    ask_to_the_end();
}

void ask_until_blocked(const struct claim *claims, size_t count, struct at_once *ret) {
    send_all(claims, count, ret);
    while (strcmp(text_of(PG_WAITS_SQL), "t") != 0) {
        cr_assert(open_count, "nobody waits for a lock");
        cr_assert_geq(sd_event_run(loop, LOOK_US), 0);
    }
}

void at_once_done(struct at_once *all) {
    for (size_t i = 0; i < AT_ONCE_MAX; i++)
        PQclear(all->results[i]);
    *all = (struct at_once){0};
}

void cancel_job(const char *id) {
    struct at_once all = {0};
    if (!pool)
        open_pool();
    open_count = 1;
    asked[0] = (struct one_of){&all, 0};
    cr_assert_geq(api_cancel_job(pool, "default", id, false, on_answer, &asked[0], &err), 0, "%s", err.text);
    ask_to_the_end();
    cr_assert(all.results[0] && PQntuples(all.results[0]) == 1, "%s", all.errs[0].text);
    at_once_done(&all);
}
