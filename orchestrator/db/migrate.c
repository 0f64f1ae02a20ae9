#include "orchestrator/db/migrate.h"

#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/embed.h"
#include "orchestrator/db/db_private.h"
#include "proto/status.h"

extern const struct embedded migrations[];

enum { MIGRATE_CHECKSUM_MAX = crypto_hash_sha256_BYTES * 2 + 1, MIGRATE_VALUES_MAX = 16384 };

/* "berth" in ASCII: one migration at a time in one database. */
#define MIGRATE_LOCK_KEY "422827619432"

static const char *checksum(const struct embedded *file, char out[MIGRATE_CHECKSUM_MAX]) {
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, file->data, file->len);
    return sodium_bin2hex(out, MIGRATE_CHECKSUM_MAX, hash, sizeof hash);
}

static int64_t version_of(const struct embedded *file) {
    return strtoll(file->name, NULL, 10);
}

static int64_t newest_version(void) {
    int64_t newest = 0;
    for (const struct embedded *file = migrations; file->name; file++)
        newest = version_of(file);
    return newest;
}

/* 1: the table of what was applied is there; 0: it is not. */
static int has_table(struct db *db, const struct ctx *ctx, struct err *err) {
    AUTO_RESULT PGresult *r = NULL;
    if (DB_EXEC(db, ctx, "select to_regclass('berth.schema_migrations') is not null", &r, err) < 0)
        return -1;
    return db_get_bool(r, 0, 0);
}

static int take_lock(struct db *db, const struct ctx *ctx, struct err *err) {
    /* Whoever waits for another's migration waits as long as its ctx lets it. */
    return db_run(db, ctx,
                  "set local statement_timeout = 0; select pg_advisory_xact_lock(" MIGRATE_LOCK_KEY ")", err);
}

static int make_table(struct db *db, const struct ctx *ctx, struct err *err) {
    int there = has_table(db, ctx, err);
    if (there)
        return there < 0 ? -1 : 0;
    return db_run(db, ctx,
                  "create schema if not exists berth; "
                  "create table berth.schema_migrations ("
                  " version integer primary key, name text not null, checksum text not null,"
                  " applied_at timestamptz not null default now())",
                  err);
}

/* 1: this file was applied, just so; 0: it was not. ERR_USAGE when it was another one. */
static int is_applied(struct db *db, const struct ctx *ctx, const struct embedded *file, struct err *err) {
    AUTO_RESULT PGresult *r = NULL;
    if (DB_EXEC(db, ctx, "select checksum from berth.schema_migrations where version = $1", &r, err,
                DB_INT(version_of(file))) < 0)
        return -1;
    if (PQntuples(r) == 0)
        return 0;
    char ours[MIGRATE_CHECKSUM_MAX];
    if (strcmp(db_get_text(r, 0, 0), checksum(file, ours)) == 0)
        return 1;
    return err_set(
        err, ERR_USAGE, 0,
        "the database was migrated with another %s than this program's: use the program that made it, "
        "or an empty database",
        file->name);
}

static int check_not_newer(struct db *db, const struct ctx *ctx, struct err *err) {
    AUTO_RESULT PGresult *r = NULL;
    if (DB_EXEC(db, ctx, "select coalesce(max(version), 0) from berth.schema_migrations", &r, err) < 0)
        return -1;
    if (db_get_int(r, 0, 0) <= newest_version())
        return 0;
    return err_set(
        err, ERR_USAGE, 0,
        "the database has schema version %lld and this program knows only %lld: use a newer program",
        (long long)db_get_int(r, 0, 0), (long long)newest_version());
}

static int apply(struct db *db, const struct ctx *ctx, const struct embedded *file, struct err *err) {
    char sum[MIGRATE_CHECKSUM_MAX];
    if (db_run(db, ctx, (const char *)file->data, err) < 0 ||
        DB_EXEC(db, ctx, "insert into berth.schema_migrations (version, name, checksum) values ($1, $2, $3)",
                NULL, err, DB_INT(version_of(file)), DB_TEXT(file->name), DB_TEXT(checksum(file, sum))) < 0)
        return err_wrap(err, "applying %s", file->name);
    return 1;
}

static int one_file(struct db *db, const struct ctx *ctx, const struct embedded *file, struct err *err) {
    if (take_lock(db, ctx, err) < 0 || make_table(db, ctx, err) < 0 || check_not_newer(db, ctx, err) < 0)
        return -1;
    int applied = is_applied(db, ctx, file, err);
    if (applied)
        return applied < 0 ? -1 : 0;
    return apply(db, ctx, file, err);
}

/* The words come from our own tables: letters and underscores, nothing to quote. */
static int put_statuses(struct db *db, const struct ctx *ctx, struct err *err) {
    AUTO_BUF struct buf sql = BUF(MIGRATE_VALUES_MAX);
    buf_adds(&sql, "create temporary table now_statuses (name text, terminal boolean) on commit drop; "
                   "insert into now_statuses values ");
#define X(symbol, word, terminal)                                                                            \
    buf_addf(&sql, "%s('%s', %s)", STATUS_##symbol ? ", " : "", word, (terminal) ? "true" : "false");
    STATUS_TABLE(X)
#undef X
    buf_adds(&sql, "; insert into berth.statuses select * from now_statuses on conflict (name) do update "
                   "set terminal = excluded.terminal where statuses.terminal <> excluded.terminal");
    return db_run(db, ctx, buf_str(&sql), err);
}

static int put_transitions(struct db *db, const struct ctx *ctx, struct err *err) {
    AUTO_BUF struct buf sql = BUF(MIGRATE_VALUES_MAX);
    buf_adds(&sql, "create temporary table now_transitions (f text, t text) on commit drop; "
                   "insert into now_transitions values ");
    const char *comma = "";
#define X(from, to)                                                                                          \
    buf_addf(&sql, "%s('%s', '%s')", comma, status_name(STATUS_##from), status_name(STATUS_##to));           \
    comma = ", ";
    TRANSITION_TABLE(X)
#undef X
    buf_adds(&sql, "; delete from berth.transitions where (from_status, to_status) not in "
                   "(select f, t from now_transitions); "
                   "insert into berth.transitions select f, t from now_transitions on conflict do nothing; "
                   "delete from berth.statuses where name not in (select name from now_statuses)");
    return db_run(db, ctx, buf_str(&sql), err);
}

static int fill_tables(struct db *db, const struct ctx *ctx, struct err *err) {
    if (take_lock(db, ctx, err) < 0 || put_statuses(db, ctx, err) < 0 || put_transitions(db, ctx, err) < 0)
        return err_wrap(err, "writing down the state machine");
    return 0;
}

static int in_transaction(struct db *db, const struct ctx *ctx, const struct embedded *file,
                          struct err *err) {
    int r = db_begin(db, ctx, err);
    if (r == 0)
        r = file ? one_file(db, ctx, file, err) : fill_tables(db, ctx, err);
    if (r >= 0 && db_commit(db, ctx, err) < 0)
        r = -1;
    if (r < 0)
        db_rollback(db, ctx);
    return r;
}

static int run_all(struct db *db, const struct ctx *ctx, struct err *err) {
    int count = 0;
    for (const struct embedded *file = migrations; file->name; file++) {
        int r = in_transaction(db, ctx, file, err);
        if (r < 0)
            return err_wrap(err, "migrating the database");
        count += r;
    }
    if (in_transaction(db, ctx, NULL, err) < 0)
        return err_wrap(err, "migrating the database");
    return count;
}

/* A migration takes as long as it takes; only its ctx bounds it. */
int migrate_run(struct db *db, const struct ctx *ctx, struct err *err) {
    int answer_ms = db->answer_ms;
    db->answer_ms = INT_MAX;
    int count = run_all(db, ctx, err);
    db->answer_ms = answer_ms;
    return count;
}

int migrate_check(struct db *db, const struct ctx *ctx, struct err *err) {
    int there = has_table(db, ctx, err);
    if (there < 0)
        return -1;
    if (!there)
        return err_set(err, ERR_USAGE, 0, "the database has no schema `berth` yet: run `berthd migrate`");
    if (check_not_newer(db, ctx, err) < 0)
        return -1;
    for (const struct embedded *file = migrations; file->name; file++) {
        int applied = is_applied(db, ctx, file, err);
        if (applied < 0)
            return -1;
        if (!applied)
            return err_set(err, ERR_USAGE, 0, "the database lacks %s: run `berthd migrate`", file->name);
    }
    return 0;
}

int migrate_cluster_id(struct db *db, const struct ctx *ctx, char out[37], struct err *err) {
    AUTO_RESULT PGresult *r = NULL;
    if (DB_EXEC(db, ctx, "select id from berth.cluster", &r, err) < 0)
        return -1;
    if (PQntuples(r) != 1)
        return err_set(err, ERR_BUG, 0, "berth.cluster has %d rows, not one", PQntuples(r));
    snprintf(out, 37, "%s", db_get_text(r, 0, 0));
    return 0;
}
