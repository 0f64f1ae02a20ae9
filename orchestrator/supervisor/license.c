/* license - leave for a runner to begin its command: given when the database has noted that the attempt may
 * have begun. One statement at a time for all that ask meanwhile. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "orchestrator/supervisor/supervisor_private.h"

static void on_licensed(void *arg, const PGresult *result, const struct err *err) {
    struct supervisor *s = arg;
    s->dispatch.licensing = false;
    if (err) {
        dispatch_complain(s, "license", err);
        return; /* they ask again */
    }
    for (int i = 0; i < PQntuples(result); i++) {
        struct claim_ours row = claim_owned_row(result, i);
        char name[ATTEMPT_NAME_MAX];
        struct child *runner =
            children_find_runner(&s->children, attempt_dir_name(row.job, (int)row.number, name));
        if (runner)
            care_license(runner);
    }
    license_ask(s);
}

/* The attempts whose runners ask, at most CLAIM_BATCH_MAX; they are not asked for again before they ask
 * again. */
static json_t *take_wanted(struct supervisor *s) {
    json_t *wanted = json_array();
    for (size_t i = 0; i < s->children.count && json_array_size(wanted) < CLAIM_BATCH_MAX; i++) {
        struct child *child = s->children.items[i];
        char job[ATTEMPT_ID_MAX];
        int number = 0;
        if (!child->wants_license || attempt_parse_dir_name(child->name, job, &number) < 0)
            continue;
        child->wants_license = false;
        json_array_append_new(wanted, json_pack("{s:s, s:i}", "job", job, "number", number));
    }
    return wanted;
}

void license_ask(struct supervisor *s) {
    struct claim c;
    if (s->dispatch.licensing || s->phase == PHASE_LEAVING || !db_pool_is_up(s->pool))
        return;
    AUTO_JSON json_t *wanted = take_wanted(s);
    if (json_array_size(wanted) == 0)
        return;
    struct claim_self self = startup_self(s);
    AUTO_FREE char *text = json_dumps(wanted, JSON_COMPACT);
    claim_license(&c, &self, text);
    s->dispatch.licensing = dispatch_send(s, &c, on_licensed, "license");
}
