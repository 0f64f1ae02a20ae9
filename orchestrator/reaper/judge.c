#include "orchestrator/reaper/judge.h"

#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "proto/attempt.h"
#include "proto/labels.h"

static int attempt_number(const char *text) {
    char *end = NULL;
    long n = text ? strtol(text, &end, 10) : 0;
    return n >= 1 && n <= ATTEMPT_NUMBER_MAX && *end == '\0' ? (int)n : 0;
}

const char *judge_orphan(const struct judge_thing *thing, judge_live *live, const void *arg) {
    const char *role = thing->role ? thing->role : "";
    if (strcmp(role, ROLE_NETWORK) == 0)
        return NULL;
    if (strcmp(role, ROLE_PROBE) == 0)
        return thing->age_s > JUDGE_PROBE_AGE_MAX_S ? "a start-up probe that was left behind" : NULL;
    int number = attempt_number(thing->attempt);
    if (!thing->job || !id_valid(thing->job) || !number)
        return "its labels name no attempt";
    char name[ATTEMPT_NAME_MAX];
    attempt_dir_name(thing->job, number, name);
    return live(arg, name) ? NULL : "its attempt is not live";
}
