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
