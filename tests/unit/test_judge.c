/* What the reaper may remove, and what it must not. */
#include <criterion/criterion.h>
#include <string.h>

#include "orchestrator/reaper/judge.h"

#define JOB "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"
#define HOUR_US INT64_C(3600000000)

/* One attempt that is live, one job that goes on, one instance that is dead; NULL: there is none. */
struct world {
    const char *live, *going, *dead;
};

static bool is_live(const void *arg, const char *name) {
    const struct world *w = arg;
    return w->live && strcmp(w->live, name) == 0;
}

static bool is_dead(const void *arg, const char *instance) {
    const struct world *w = arg;
    return w->dead && strcmp(w->dead, instance) == 0;
}

static bool is_over(const void *arg, const char *job) {
    const struct world *w = arg;
    return !w->going || strcmp(w->going, job) != 0;
}

static struct judge_view view_of(const struct world *world) {
    return (struct judge_view){.began_us = 100 * HOUR_US,
                               .instance = "ours",
                               .is_live = is_live,
                               .is_dead = is_dead,
                               .is_over = is_over,
                               .arg = world};
}

/* Made an hour before the sweep, and ours, unless it says otherwise. */
static struct judge_thing whole(struct judge_thing thing) {
    if (!thing.created_us)
        thing.created_us = 99 * HOUR_US;
    if (!thing.instance)
        thing.instance = "ours";
    return thing;
}

static const char *judge(const char *live, struct judge_thing thing) {
    const struct world world = {.live = live};
    struct judge_view view = view_of(&world);
    thing = whole(thing);
    return judge_orphan(&thing, &view);
}

static const char *judge_vol(struct world world, struct judge_thing thing) {
    struct judge_view view = view_of(&world);
    thing = whole(thing);
    return judge_volume(&thing, &view);
}

Test(judge, what_belongs_to_a_live_attempt_stays) {
    cr_assert_null(judge(JOB ".3", (struct judge_thing){.role = "main", .job = JOB, .attempt = "3"}));
    cr_assert_null(judge(JOB ".3", (struct judge_thing){.role = "service", .job = JOB, .attempt = "3"}));
    cr_assert_null(judge(JOB ".3", (struct judge_thing){.job = JOB, .attempt = "3"}));
}

Test(judge, another_attempt_of_the_same_job_goes) {
    cr_assert_not_null(judge(JOB ".3", (struct judge_thing){.role = "main", .job = JOB, .attempt = "2"}));
    cr_assert_not_null(judge(NULL, (struct judge_thing){.role = "main", .job = JOB, .attempt = "3"}));
}

Test(judge, labels_that_name_no_attempt_go) {
    static const struct judge_thing broken[] = {
        {.role = "main"},
        {.role = "main", .job = JOB},
        {.role = "main", .job = "no uuid", .attempt = "1"},
        {.role = "main", .job = JOB, .attempt = "0"},
        {.role = "main", .job = JOB, .attempt = "1x"},
        {.role = "main", .job = JOB, .attempt = ""},
        {.role = "main", .job = JOB, .attempt = "99999999999999999999"},
        {0},
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        cr_assert_not_null(judge(JOB ".1", broken[i]), "row %zu", i);
}

Test(judge, the_shared_network_stays) {
    const struct world world = {.dead = "theirs"};
    struct judge_view view = view_of(&world);
    struct judge_thing theirs = whole((struct judge_thing){.role = "network", .instance = "theirs"});
    cr_assert_null(judge(NULL, (struct judge_thing){.role = "network"}));
    cr_assert_null(judge_orphan(&theirs, &view), "we live on it, whoever has made it");
}

Test(judge, a_private_network_goes_with_its_attempt) {
    cr_assert_null(judge(JOB ".3", (struct judge_thing){.role = "private", .job = JOB, .attempt = "3"}));
    cr_assert_not_null(judge(NULL, (struct judge_thing){.role = "private", .job = JOB, .attempt = "3"}));
}

Test(judge, only_an_old_probe_goes) {
    const int64_t edge = 100 * HOUR_US - INT64_C(1000000) * JUDGE_PROBE_AGE_MAX_S;
    cr_assert_null(judge(NULL, (struct judge_thing){.role = "probe", .created_us = edge}));
    cr_assert_not_null(judge(NULL, (struct judge_thing){.role = "probe", .created_us = edge - 1}));
    /* A clock that was set back makes nothing old. */
    cr_assert_null(judge(NULL, (struct judge_thing){.role = "probe", .created_us = 101 * HOUR_US}));
}

Test(judge, what_was_made_after_the_sweep_began_stays) {
    const int64_t edge = 100 * HOUR_US - JUDGE_FRESH_US;
    const struct judge_thing thing = {.role = "main", .job = JOB, .attempt = "1"};
    struct judge_thing late = thing, early = thing;
    late.created_us = edge + 1;
    early.created_us = edge;
    cr_assert_null(judge(NULL, late));
    cr_assert_not_null(judge(NULL, early));
    late.role = NULL;
    late.job = NULL;
    cr_assert_null(judge(NULL, late), "not even what names no attempt");
    cr_assert_null(judge_vol((struct world){0}, late));
}

Test(judge, another_instance_is_touched_only_when_it_is_dead) {
    const struct judge_thing thing = {.role = "main", .instance = "theirs", .job = JOB, .attempt = "1"};
    const struct world alive = {.dead = "somebody else"}, dead = {.dead = "theirs"};
    struct judge_view of_alive = view_of(&alive), of_dead = view_of(&dead);
    struct judge_thing theirs = whole(thing), nobodys = theirs;
    nobodys.instance = NULL;
    cr_assert_null(judge_orphan(&theirs, &of_alive));
    cr_assert_not_null(judge_orphan(&theirs, &of_dead));
    cr_assert_null(judge_orphan(&nobodys, &of_dead), "without the label it is nobody's");
    cr_assert_null(judge_vol(alive, theirs));
    cr_assert_not_null(judge_vol(dead, theirs));
}

Test(judge, a_named_volume_of_a_tenant_lasts) {
    const struct world dead = {.dead = "theirs"};
    cr_assert_null(judge_vol(dead, (struct judge_thing){.role = "volume"}));
    cr_assert_null(judge_vol(dead, (struct judge_thing){.role = "volume", .job = JOB, .attempt = "1"}));
    cr_assert_null(judge_vol(dead, (struct judge_thing){.role = "volume", .instance = "theirs"}));
}

Test(judge, a_volume_of_an_attempt_goes_with_it_and_one_of_a_job_with_the_job) {
    const struct world live = {.live = JOB ".2"}, going = {.going = JOB}, none = {0};
    const struct judge_thing of_attempt = {.job = JOB, .attempt = "2"}, of_job = {.job = JOB};
    cr_assert_null(judge_vol(live, of_attempt));
    cr_assert_not_null(judge_vol(going, of_attempt));
    cr_assert_null(judge_vol(going, of_job));
    cr_assert_not_null(judge_vol(none, of_job));
}

Test(judge, a_volume_that_names_neither_stays) {
    const struct world none = {0};
    cr_assert_null(judge_vol(none, (struct judge_thing){0}));
    cr_assert_null(judge_vol(none, (struct judge_thing){.job = "no uuid"}));
    cr_assert_null(judge_vol(none, (struct judge_thing){.job = JOB, .attempt = "x"}));
    cr_assert_null(judge_vol(none, (struct judge_thing){.attempt = "1"}));
}

Test(judge, of_the_attempts_only_old_ones_without_a_name_go) {
    const int64_t old = JUDGE_FILE_AGE_MAX_S + 1;
    cr_assert_not_null(judge_unnamed("." JOB ".1", old));
    cr_assert_not_null(judge_unnamed(".removed-" JOB ".1", old));
    cr_assert_null(judge_unnamed("." JOB ".1", old - 1));
    cr_assert_null(judge_unnamed(JOB ".1", old));
    static const char *const others[] = {".", "..", ".x", "." JOB, ".removed-", ".removed-x", ".." JOB ".1"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_assert_null(judge_unnamed(others[i], old), "%s", others[i]);
}

Test(judge, of_other_files_only_old_ones_of_our_form_go) {
    const int64_t old = JUDGE_FILE_AGE_MAX_S + 1;
    cr_assert_not_null(judge_lock("pull-0123456789abcdef", old));
    cr_assert_null(judge_lock("pull-0123456789abcdef", old - 1));
    cr_assert_null(judge_lock("pull-0123456789abcde", old));
    cr_assert_null(judge_lock("pull-0123456789abcdef0", old));
    cr_assert_null(judge_lock("pull-0123456789abcdeF", old));
    cr_assert_null(judge_lock("mine", old));
    cr_assert_not_null(judge_probe("0123456789abcdef0123456789abcdef.asked", old));
    cr_assert_not_null(judge_probe("0123456789abcdef0123456789abcdef.answered", old));
    cr_assert_null(judge_probe("0123456789abcdef0123456789abcdef.answered", old - 1));
    cr_assert_null(judge_probe("0123456789abcdef0123456789abcdef", old));
    cr_assert_null(judge_probe("notes.asked", old));
}

Test(judge, of_copies_of_init_only_old_unused_ones_of_another_version_go) {
    const int64_t old = JUDGE_FILE_AGE_MAX_S + 1;
    const char *const copy = "berth-init-0123456789ab", *const current = "berth-init-ba9876543210";
    cr_assert_not_null(judge_init(copy, current, false, old));
    cr_assert_null(judge_init(copy, current, true, old));
    cr_assert_null(judge_init(copy, copy, false, old));
    cr_assert_null(judge_init(copy, "", false, old), "which one is used is not known");
    cr_assert_null(judge_init(copy, current, false, old - 1));
    cr_assert_null(judge_init("berth-init-0123456789ab.new", current, false, old));
    cr_assert_null(judge_init("other", current, false, old));
}

Test(judge, our_probe_goes_at_once_where_none_can_be_at_work) {
    const struct world world = {0};
    struct judge_view view = view_of(&world);
    struct judge_thing probe =
        whole((struct judge_thing){.role = "probe", .created_us = 100 * HOUR_US - JUDGE_FRESH_US});
    cr_assert_null(judge_orphan(&probe, &view));
    view.no_probe = true;
    cr_assert_not_null(judge_orphan(&probe, &view));
    probe.instance = "theirs";
    cr_assert_null(judge_orphan(&probe, &view));
}
