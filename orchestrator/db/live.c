#include "orchestrator/db/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int compare(const void *a, const void *b) {
    const struct live_attempt *one = a, *other = b;
    return strcmp(one->name, other->name);
}

int live_list(struct db *db, const struct ctx *ctx, const char *instance, struct live_attempts *ret,
              struct err *err) {
    AUTO_RESULT PGresult *rows = NULL;
    if (DB_EXEC(db, ctx,
                "select job_id, number, exited_at is null and"
                " coalesce(deadline_at + (grace_ms + $3::bigint) * interval '1 millisecond' < now(), false)"
                " from berth.attempts where orchestrator = $1 and finished_at is null limit $2",
                &rows, err, DB_TEXT(instance), DB_INT(LIVE_ATTEMPTS_MAX + 1), DB_INT(LIVE_OVERDUE_MS)) < 0)
        return err_wrap(err, "list the attempts of %s that have not ended", instance);
    int n = PQntuples(rows);
    if (n > LIVE_ATTEMPTS_MAX)
        return err_set(err, ERR_LIMIT, 0, "more than %d attempts of %s have not ended", LIVE_ATTEMPTS_MAX,
                       instance);
    struct live_attempts live = {.items = mem_alloc((size_t)n * sizeof *live.items), .count = (size_t)n};
    for (int i = 0; i < n; i++) {
        attempt_dir_name(db_get_text(rows, i, 0), (int)db_get_int(rows, i, 1), live.items[i].name);
        live.items[i].overdue = db_get_bool(rows, i, 2);
    }
    qsort(live.items, live.count, sizeof *live.items, compare);
    *ret = live;
    return 0;
}

static const struct live_attempt *find(const struct live_attempts *live, const char *name) {
    struct live_attempt key;
    snprintf(key.name, sizeof key.name, "%s", name);
    return live->count ? bsearch(&key, live->items, live->count, sizeof *live->items, compare) : NULL;
}

bool live_has(const struct live_attempts *live, const char *name) {
    return find(live, name) != NULL;
}

bool live_is_overdue(const struct live_attempts *live, const char *name) {
    const struct live_attempt *attempt = find(live, name);
    return attempt && attempt->overdue;
}

void live_done(struct live_attempts *live) {
    free(live->items);
    *live = (struct live_attempts){0};
}

/* --- names --- */

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int take_names(const PGresult *rows, int max, const char *what, struct live_names *ret,
                      struct err *err) {
    int n = PQntuples(rows);
    if (n > max)
        return err_set(err, ERR_LIMIT, 0, "more than %d %s", max, what);
    struct live_names names = {.items = mem_alloc(((size_t)n + 1) * sizeof *names.items), .count = (size_t)n};
    for (int i = 0; i < n; i++)
        names.items[i] = mem_strdup(db_get_text(rows, i, 0));
    qsort(names.items, names.count, sizeof *names.items, compare_names);
    *ret = names;
    return 0;
}

bool live_names_have(const struct live_names *names, const char *name) {
    return names->count &&
           bsearch(&name, names->items, names->count, sizeof *names->items, compare_names) != NULL;
}

void live_names_done(struct live_names *names) {
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct live_names){0};
}

int live_dead(struct db *db, const struct ctx *ctx, const char *instance, struct live_names *ret,
              struct err *err) {
    AUTO_RESULT PGresult *rows = NULL;
    if (DB_EXEC(db, ctx,
                "select name from berth.orchestrators o where name <> $1"
                " and heartbeat_at + lease + $2::bigint * interval '1 millisecond' < now()"
                " and coalesce(detached_until, '-infinity') + $2::bigint * interval '1 millisecond' < now()"
                " and not exists (select from berth.attempts a"
                "   where a.orchestrator = o.name and a.finished_at is null) limit $3",
                &rows, err, DB_TEXT(instance), DB_INT(LIVE_DEAD_AFTER_MS), DB_INT(LIVE_DEAD_MAX + 1)) < 0)
        return err_wrap(err, "list the orchestrators that are dead");
    return take_names(rows, LIVE_DEAD_MAX, "orchestrators are dead", ret, err);
}

int live_unfinished(struct db *db, const struct ctx *ctx, const char *jobs, struct live_names *ret,
                    struct err *err) {
    AUTO_RESULT PGresult *rows = NULL;
    if (DB_EXEC(db, ctx,
                "select id from berth.jobs where id = any ($1::uuid[])"
                " and status in (select name from berth.statuses where not terminal) limit $2",
                &rows, err, DB_TEXT(jobs), DB_INT(LIVE_ATTEMPTS_MAX + 1)) < 0)
        return err_wrap(err, "list the jobs with volumes that have not ended");
    return take_names(rows, LIVE_ATTEMPTS_MAX, "jobs with volumes", ret, err);
}

int live_wanted(struct db *db, const struct ctx *ctx, struct live_names *ret, struct err *err) {
    AUTO_RESULT PGresult *rows = NULL;
    if (DB_EXEC(db, ctx,
                "select distinct unnest(berth.spec_images(spec)) from berth.jobs"
                " where status in (select name from berth.statuses where not terminal) limit $1",
                &rows, err, DB_INT(LIVE_WANTED_MAX + 1)) < 0)
        return err_wrap(err, "list the images that jobs want");
    return take_names(rows, LIVE_WANTED_MAX, "different images are wanted", ret, err);
}
