/* Who has an orchestrator's name, and what he may do with it. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/integration/claim_rig.h"

#define LIFE_THREE "0193b0a5-0000-7000-8000-0000000000a3"

/* The next life of the same directory, a copy of it elsewhere, and another directory. */
static const struct claim_self restarted = {
    .name = "one", .state_id = STATE_ONE, .home = "here/1", .life = LIFE_THREE};
static const struct claim_self copied = {
    .name = "one", .state_id = STATE_ONE, .home = "there/1", .life = LIFE_THREE};
static const struct claim_self other_dir = {
    .name = "one", .state_id = STATE_TWO, .home = "here/2", .life = LIFE_THREE};

static struct claim_holder holder;

static bool registers(const struct claim_self *self) {
    struct claim c;
    claim_register(&c, self, 4, 15000);
    AUTO_RESULT PGresult *r = ask(db, &c);
    return claim_registered(r, &holder);
}

static bool beats(const struct claim_self *self) {
    static const struct claim_beat said = {.slots = 4};
    struct claim c;
    claim_heartbeat(&c, self, &said);
    AUTO_RESULT PGresult *r = ask(db, &c);
    return PQntuples(r) == 1;
}

static int takes(const struct claim_self *self) {
    struct claim_want w = want(10);
    w.self = *self;
    AUTO_RESULT PGresult *r = take(db, w);
    return PQntuples(r);
}

static void silence(void) {
    run("update berth.orchestrators set heartbeat_at = now() - interval '16 s' where name = 'one'");
}

Test(claim_name, a_live_one_belongs_to_one_state_directory) {
    struct claim c;
    begin("name");
    cr_expect(!registers(&other_dir));
    cr_expect(!holder.copy);
    claim_leave(&c, &one, 60000); /* with running jobs */
    tell(&c);
    run("update berth.orchestrators set heartbeat_at = now() - interval '1 min'");
    cr_expect(!registers(&other_dir), "its jobs still run");
    static const struct claim_beat said = {.slots = 8,
                                           .used = 3,
                                           .memory_bytes = 1000,
                                           .memory_used = 500,
                                           .cpus_used = 1500,
                                           .lost_after_ms = 60000};
    claim_heartbeat(&c, &one, &said);
    AUTO_RESULT PGresult *beat = ask(db, &c);
    cr_expect_eq(PQntuples(beat), 1);
    cr_expect(!claim_draining(beat));
    expect_text("select concat_ws('/', slots, used, detached_until is null, memory_bytes, memory_used,"
                " coalesce(cpus_milli::text, 'not summed'), cpus_used, lost_after) from berth.orchestrators "
                "where name = 'one'",
                "8/3/t/1000/500/not summed/1500/00:01:00");
    claim_leave(&c, &one, 0);
    tell(&c);
    cr_expect(registers(&other_dir), "left without jobs, the name is free");
    cr_expect(!beats(&one));
    end();
}

Test(claim_name, a_restart_is_never_held_up_by_its_own_dead_session) {
    begin("restart");
    cr_expect(registers(&restarted));
    cr_expect(beats(&restarted));
    cr_expect(!beats(&one), "the one before says nothing more");
    run("update berth.orchestrators set home = null where name = 'one'");
    cr_expect(registers(&one), "one from before the upgrade");
    end();
}

Test(claim_name, a_copy_of_the_directory_is_noticed) {
    struct claim c;
    begin("copy");
    cr_expect(!registers(&copied));
    cr_expect(holder.copy);
    cr_expect(holder.left_ms > 0 && holder.left_ms <= 15000, "%lld", (long long)holder.left_ms);
    int64_t before_us = holder.heartbeat_us;
    cr_expect(!registers(&copied));
    cr_expect_eq(holder.heartbeat_us, before_us, "it stands still");
    cr_expect(beats(&one));
    cr_expect(!registers(&copied));
    cr_expect_gt(holder.heartbeat_us, before_us);
    claim_leave(&c, &one, 60000);
    tell(&c);
    cr_expect(registers(&copied), "it was moved");
    cr_expect(registers(&copied));
    silence();
    cr_expect(registers(&one), "or the machine was started anew");
    end();
}

Test(claim_name, whoever_has_lost_it_sees_and_takes_nothing) {
    struct claim c;
    begin("lost_name");
    add("a", 0, 1, 0);
    cr_assert_eq(takes(&one), 1);
    claim_owned(&c, &one);
    AUTO_RESULT PGresult *mine = ask(db, &c);
    struct claim_ours ours = claim_owned_row(mine, 0);
    cr_assert_not_null(ours.job);
    cr_assert(registers(&restarted));
    add("b", 0, 1, 0);
    cr_expect_eq(takes(&one), 0);
    claim_fetch(&c, &one, ours.job, ours.attempt_id);
    AUTO_RESULT PGresult *fetched = ask(db, &c);
    cr_expect_eq(PQntuples(fetched), 0);
    claim_owned(&c, &one);
    AUTO_RESULT PGresult *owned = ask(db, &c);
    cr_expect_eq(PQntuples(owned), 0, "not even that it has none");
    claim_leave(&c, &one, 0);
    tell(&c);
    expect_text("select detached_until is null from berth.orchestrators where name = 'one'", "t");
    cr_expect_eq(takes(&restarted), 1);
    end();
}

Test(claim_name, nothing_is_taken_while_draining_or_behind_the_lease) {
    begin("drain");
    add("a", 0, 1, 0);
    run("update berth.orchestrators set draining = true where name = 'one'");
    cr_expect_eq(takes(&one), 0);
    run("update berth.orchestrators set draining = false");
    silence();
    cr_expect_eq(takes(&one), 0);
    cr_expect(beats(&one));
    cr_expect_eq(takes(&one), 1);
    end();
}

/* Who has been told that it drains must not see it take one more. */
Test(claim_name, a_drain_under_way_is_waited_for) {
    struct claim c;
    struct claim_want w = want(10);
    struct at_once all;
    begin("draining");
    add("a", 0, 1, 0);
    run("begin");
    run("update berth.orchestrators set draining = true where name = 'one'");
    claim_take(&c, &w);
    ask_until_blocked(&c, 1, &all);
    run("commit");
    ask_to_the_end();
    cr_assert(all.results[0], "%s", all.errs[0].text);
    cr_expect_eq(PQntuples(all.results[0]), 0);
    at_once_done(&all);
    end();
}

/* Else the new one would find them as its own without a directory, and begin them once more. */
Test(claim_name, jobs_of_a_lost_state_directory_are_those_of_a_dead_one) {
    struct claim c;
    begin("ghost");
    add("a", 0, 1, 0);
    cr_assert_eq(takes(&one), 1);
    run("update berth.attempts set started_at = now(); update berth.jobs set status = 'running'");
    add("b", 0, 1, 0);
    cr_assert_eq(takes(&one), 1);
    silence();
    cr_assert(registers(&other_dir));
    claim_owned(&c, &other_dir);
    AUTO_RESULT PGresult *owned = ask(db, &c);
    cr_assert_eq(PQntuples(owned), 1);
    cr_expect_null(claim_owned_row(owned, 0).job);
    claim_judge(&c, "one", 3600000);
    AUTO_RESULT PGresult *r = ask(db, &c);
    cr_expect_eq(claim_judged(r).freed, 1);
    cr_expect_eq(claim_judged(r).lost, 1);
    expect_text("select string_agg(concat_ws('/', name, status, orchestrator), ' ' order by name)"
                " from berth.jobs",
                "a/lost/one~000000000001 b/queued");
    cr_expect(beats(&other_dir));
    expect_text("select count(*) from berth.jobs where status = 'lost'", "1");
    cr_expect(!beats(&one));
    run("update berth.attempts set finished_at = now()");
    cr_assert(registers(&other_dir));
    expect_text("select string_agg(name, ' ' order by name) from berth.orchestrators", "one two");
    end();
}

/* Its name as a dead one may be there from an earlier time, with nothing of it left. */
Test(claim_name, a_state_directory_is_lost_for_the_second_time) {
    begin("again");
    run("insert into berth.orchestrators (name, state_id, version, slots, lease, heartbeat_at)"
        " select name || '~' || right(state_id::text, 12), state_id, version, slots, lease, now() - interval "
        "'1 day'"
        " from berth.orchestrators where name = 'one'");
    add("a", 0, 1, 0);
    cr_assert_eq(takes(&one), 1);
    silence();
    cr_assert(registers(&other_dir));
    expect_text("select count(*) from berth.attempts a join berth.orchestrators o on o.name = a.orchestrator"
                " where o.name like 'one~%'",
                "1");
    end();
}
