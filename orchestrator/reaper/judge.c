#include "orchestrator/reaper/judge.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "proto/attempt.h"
#include "proto/labels.h"
#include "proto/place.h"

static const char no_attempt[] = "its labels name no attempt";
static const char not_live[] = "its attempt is not live";
static const char of_the_dead[] = "its orchestrator is dead and its attempt not live";
static const char old_probe[] = "a start-up probe that was left behind";

enum { LOCK_HASH_DIGITS = 16, INIT_HASH_DIGITS = 12, PROBE_TEXT_DIGITS = 32 };

static int attempt_number(const char *text) {
    char *end = NULL;
    long n = text ? strtol(text, &end, 10) : 0;
    return n >= 1 && n <= ATTEMPT_NUMBER_MAX && *end == '\0' ? (int)n : 0;
}

/* False also for an attempt that nobody could have. */
static bool attempt_name(const struct judge_thing *thing, char out[ATTEMPT_NAME_MAX]) {
    int number = attempt_number(thing->attempt);
    if (!thing->job || !id_valid(thing->job) || !number)
        return false;
    attempt_dir_name(thing->job, number, out);
    return true;
}

static bool is_ours(const struct judge_thing *thing, const struct judge_view *view) {
    return thing->instance && strcmp(thing->instance, view->instance) == 0;
}

/* Whether there is anything to judge. */
static bool may_go(const struct judge_thing *thing, const struct judge_view *view) {
    if (thing->created_us > view->began_us - JUDGE_FRESH_US)
        return false;
    return is_ours(thing, view) || (thing->instance && view->is_dead(view->arg, thing->instance));
}

static bool has_role(const struct judge_thing *thing, const char *role) {
    return thing->role && strcmp(thing->role, role) == 0;
}

static const char *of_attempt(const char *name, const struct judge_thing *thing,
                              const struct judge_view *view) {
    if (view->is_live(view->arg, name))
        return NULL;
    return is_ours(thing, view) ? not_live : of_the_dead;
}

const char *judge_orphan(const struct judge_thing *thing, const struct judge_view *view) {
    char name[ATTEMPT_NAME_MAX];
    if (!may_go(thing, view) || has_role(thing, ROLE_NETWORK))
        return NULL;
    if (has_role(thing, ROLE_PROBE)) {
        int64_t age_us = view->began_us - thing->created_us;
        bool over = view->no_probe && is_ours(thing, view);
        return over || age_us > INT64_C(1000000) * JUDGE_PROBE_AGE_MAX_S ? old_probe : NULL;
    }
    return attempt_name(thing, name) ? of_attempt(name, thing, view) : no_attempt;
}

const char *judge_volume(const struct judge_thing *thing, const struct judge_view *view) {
    char name[ATTEMPT_NAME_MAX];
    if (!may_go(thing, view) || has_role(thing, ROLE_VOLUME))
        return NULL;
    if (attempt_name(thing, name))
        return of_attempt(name, thing, view);
    if (thing->attempt || !thing->job || !id_valid(thing->job))
        return NULL;
    return view->is_over(view->arg, thing->job) ? "its job is over" : NULL;
}

const char *judge_unnamed(const char *name, int64_t age_s) {
    char job[ATTEMPT_ID_MAX];
    int number = 0;
    if (age_s <= JUDGE_FILE_AGE_MAX_S || name[0] != '.')
        return NULL;
    if (attempt_parse_dir_name(name + 1, job, &number) == 0)
        return "an attempt's directory that never got its name";
    if (strncmp(name, PLACE_REMOVED, sizeof PLACE_REMOVED - 1) == 0 &&
        attempt_parse_dir_name(name + sizeof PLACE_REMOVED - 1, job, &number) == 0)
        return "what is left of an attempt's directory";
    return NULL;
}

/* `prefix`, so many lower-case hex digits, `rest`. */
static bool has_form(const char *name, const char *prefix, size_t digits, const char *rest) {
    size_t len = strlen(prefix);
    return strncmp(name, prefix, len) == 0 && strspn(name + len, "0123456789abcdef") == digits &&
           strcmp(name + len + digits, rest) == 0;
}

const char *judge_lock(const char *name, int64_t age_s) {
    return age_s > JUDGE_FILE_AGE_MAX_S && has_form(name, PLACE_PULL_LOCK, LOCK_HASH_DIGITS, "")
               ? "nobody pulls that image any more"
               : NULL;
}

const char *judge_probe(const char *name, int64_t age_s) {
    return age_s > JUDGE_FILE_AGE_MAX_S && (has_form(name, "", PROBE_TEXT_DIGITS, ".asked") ||
                                            has_form(name, "", PROBE_TEXT_DIGITS, ".answered"))
               ? old_probe
               : NULL;
}

const char *judge_init(const char *name, const char *current, bool used, int64_t age_s) {
    if (used || !*current || strcmp(name, current) == 0 || age_s <= JUDGE_FILE_AGE_MAX_S)
        return NULL;
    return has_form(name, PLACE_INIT_PREFIX, INIT_HASH_DIGITS, "")
               ? "a copy of another version without a container"
               : NULL;
}
