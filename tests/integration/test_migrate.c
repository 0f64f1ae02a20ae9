#include <criterion/criterion.h>
#include <string.h>

#include "orchestrator/db/migrate.h"
#include "proto/status.h"
#include "tests/support/pg.h"

static struct ctx ctx;
static struct err err;
static struct db *db;

static struct db *open_database(const char *name) {
    char url[PG_URL_MAX];
    ctx = ctx_root(NULL);
    ctx_deadline_in(&ctx, 30000);
    db = db_new(pg_database(name, url), "berth:test:migrate");
    cr_assert_eq(db_connect(db, &ctx, &err), 1, "%s", err.text);
    return db;
}

static int64_t number(const char *sql) {
    AUTO_RESULT PGresult *r = NULL;
    cr_assert_eq(db_exec(db, &ctx, sql, NULL, 0, &r, &err), 0, "%s", err.text);
    return db_get_int(r, 0, 0);
}

static void migrate(void) {
    cr_assert_geq(migrate_run(db, &ctx, &err), 0, "%s", err.text);
}

Test(migrate, makes_everything_in_an_empty_database_and_nothing_the_second_time) {
    open_database("twice");
    cr_expect_eq(migrate_check(db, &ctx, &err), -1);
    cr_expect_eq(err.kind, ERR_USAGE);
    cr_expect(strstr(err.text, "berthd migrate"), "%s", err.text);
    cr_expect_gt(migrate_run(db, &ctx, &err), 0, "%s", err.text);
    cr_expect_eq(migrate_check(db, &ctx, &err), 0, "%s", err.text);
    char first[37], second[37];
    cr_assert_eq(migrate_cluster_id(db, &ctx, first, &err), 0, "%s", err.text);
    cr_expect_eq(migrate_run(db, &ctx, &err), 0, "%s", err.text);
    cr_assert_eq(migrate_cluster_id(db, &ctx, second, &err), 0, "%s", err.text);
    cr_expect_str_eq(first, second);
    cr_expect_eq(strlen(first), 36);
    db_free(db);
}

Test(migrate, refuses_a_file_that_was_another_when_it_was_applied) {
    open_database("checksum");
    migrate();
    cr_assert_eq(db_run(db, &ctx, "update berth.schema_migrations set checksum = 'x'", &err), 0);
    cr_expect_eq(migrate_run(db, &ctx, &err), -1);
    cr_expect_eq(err.kind, ERR_USAGE);
    cr_expect(strstr(err.text, "0001_core.sql"), "%s", err.text);
    cr_expect_eq(migrate_check(db, &ctx, &err), -1);
    db_free(db);
}

Test(migrate, refuses_a_database_that_is_newer) {
    open_database("newer");
    migrate();
    cr_assert_eq(db_run(db, &ctx, "insert into berth.schema_migrations values (9999, 'later', 'x')", &err),
                 0);
    cr_expect_eq(migrate_run(db, &ctx, &err), -1);
    cr_expect_eq(err.kind, ERR_USAGE);
    cr_expect(strstr(err.text, "9999"), "%s", err.text);
    cr_expect_eq(migrate_check(db, &ctx, &err), -1);
    db_free(db);
}

Test(migrate, leaves_nothing_behind_when_it_fails) {
    open_database("half");
    /* In the way of a table of 0001. */
    cr_assert_eq(db_run(db, &ctx, "create schema berth; create table berth.jobs (x int)", &err), 0);
    cr_expect_eq(migrate_run(db, &ctx, &err), -1);
    cr_expect_eq(number("select count(*) from pg_tables where schemaname = 'berth'"), 1);
    db_free(db);
}

Test(migrate, keeps_the_state_machine_as_the_program_has_it) {
    open_database("words");
    migrate();
    cr_assert_eq(
        db_run(db, &ctx,
               "insert into berth.statuses values ('old', false);"
               "insert into berth.transitions values ('old', 'queued');"
               "delete from berth.transitions where from_status = 'queued' and to_status = 'preparing';"
               "update berth.statuses set terminal = true where name = 'running'",
               &err),
        0, "%s", err.text);
    migrate();
    cr_expect_eq(number("select count(*) from berth.statuses"), STATUS_COUNT);
    cr_expect_eq(number("select count(*) from berth.statuses where terminal"), 5);
    int steps = 0;
    for (int from = 0; from < STATUS_COUNT; from++)
        for (int to = 0; to < STATUS_COUNT; to++)
            steps += status_can_step(from, to);
    cr_expect_eq(number("select count(*) from berth.transitions"), steps);
    db_free(db);
}

/* A job is put in with the first status, behind the triggers' backs, and asked to go to the second. */
static bool step(enum status from, enum status to) {
    AUTO_RESULT PGresult *r = NULL;
    cr_assert_eq(db_run(db, &ctx, "set session_replication_role = replica", &err), 0, "%s", err.text);
    cr_assert_eq(
        DB_EXEC(db, &ctx,
                "insert into berth.jobs (id, spec, status) values (berth.uuid7(), '{}', $1) returning id", &r,
                &err, DB_TEXT(status_name(from))),
        0, "%s", err.text);
    cr_assert_eq(db_run(db, &ctx, "set session_replication_role = origin", &err), 0, "%s", err.text);
    int done = DB_EXEC(db, &ctx, "update berth.jobs set status = $2, attempt = 3, reason = 'r' where id = $1",
                       NULL, &err, DB_TEXT(db_get_text(r, 0, 0)), DB_TEXT(status_name(to)));
    if (done < 0) {
        cr_expect_eq(err.kind, ERR_DB);
        cr_expect_eq(err.code, db_sqlstate("BE001"), "%s", err.text);
    }
    AUTO_RESULT PGresult *events = NULL;
    cr_assert_eq(DB_EXEC(db, &ctx, "select count(*), max(attempt) from berth.events where job_id = $1",
                         &events, &err, DB_TEXT(db_get_text(r, 0, 0))),
                 0);
    cr_expect_eq(db_get_int(events, 0, 0), done == 0 && from != to ? 1 : 0);
    return done == 0;
}

Test(migrate, the_database_allows_the_steps_of_the_table_and_no_others) {
    open_database("steps");
    migrate();
    for (int from = 0; from < STATUS_COUNT; from++)
        for (int to = 0; to < STATUS_COUNT; to++)
            cr_expect_eq(step(from, to), from == to || status_can_step(from, to), "%s to %s",
                         status_name(from), status_name(to));
    db_free(db);
}

Test(migrate, a_job_begins_as_scheduled_or_queued_and_as_nothing_else) {
    open_database("first");
    migrate();
    for (int first = 0; first <= STATUS_COUNT; first++) {
        const char *word = first < STATUS_COUNT ? status_name(first) : "hm";
        bool may = first == STATUS_SCHEDULED || first == STATUS_QUEUED;
        int done =
            DB_EXEC(db, &ctx, "insert into berth.jobs (id, spec, status) values (berth.uuid7(), '{}', $1)",
                    NULL, &err, DB_TEXT(word));
        cr_expect_eq(done == 0, may, "%s", word);
        cr_expect(may || err.code == db_sqlstate("BE001"), "%s", err.text);
    }
    db_free(db);
}

Test(migrate, ids_made_by_sql_are_of_version_7_and_in_order) {
    open_database("ids");
    migrate();
    cr_expect_eq(
        number("select count(*) from generate_series(1, 500), lateral (select berth.uuid7()::text as id "
               "where generate_series is not null) t where id ~ "
               "'^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'"),
        500);
    cr_expect_eq(number("select (('x' || replace(left(berth.uuid7()::text, 13), '-', ''))::bit(48)::bigint"
                        " - extract(epoch from clock_timestamp()) * 1000)::bigint / 1000"),
                 0);
    db_free(db);
}

Test(migrate, logs_are_compressed_with_lz4_in_every_partition) {
    open_database("lz4");
    migrate();
    cr_assert_eq(
        db_run(db, &ctx,
               "create table berth.p partition of berth.log_chunks for values from ('2030-01-01') to "
               "('2030-01-02'); insert into berth.log_chunks (attempt_id, created_on, log_offset, "
               "bytes) select 1, d::date, 0, convert_to(repeat('berth ', 20000), 'UTF8') from "
               "unnest(array['2030-01-01', '2026-01-01']) d",
               &err),
        0, "%s", err.text);
    cr_expect_eq(number("select count(*) from berth.log_chunks where pg_column_compression(bytes) = 'lz4'"),
                 2);
    db_free(db);
}

Test(migrate, a_job_can_be_submitted_in_sql) {
    open_database("submit");
    migrate();
    cr_assert_eq(db_run(db, &ctx, "listen berth_work; select berth.submit('{\"image\": \"x\"}')", &err), 0,
                 "%s", err.text);
    cr_expect_eq(
        number("select count(*) from berth.jobs where status = 'queued' and spec::jsonb->>'image' = 'x'"), 1);
    PGnotify *n = PQnotifies(db->conn);
    cr_assert_not_null(n);
    cr_expect_str_eq(n->relname, "berth_work");
    PQfreemem(n);
    db_free(db);
}
