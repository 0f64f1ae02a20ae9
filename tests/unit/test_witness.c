#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "runner/witness.h"

#define OURS "berth-1-1-main"

/* Adds an event to what the engine remembers; signal: NULL, or the attribute. */
static void happened(struct witness *w, const char *type, const char *action, const char *name,
                     const char *signal) {
    AUTO_JSON json_t *attributes = json_pack("{s:s, s:s*}", "name", name, "signal", signal);
    struct event event = {.type = type, .action = action, .id = "4711", .attributes = attributes};
    witness_take(w, &event, OURS);
}

static void begun(struct witness *w) {
    happened(w, "container", "create", OURS, NULL);
    happened(w, "network", "connect", OURS, NULL);
    happened(w, "container", "start", OURS, NULL);
}

static void others(struct witness *w, unsigned count) {
    while (count-- > 0)
        happened(w, "container", "start", "another", NULL);
}

Test(witness, who_sent_what) {
    struct witness w = {0};
    begun(&w);
    happened(&w, "container", "kill", "another", "15");
    cr_assert_eq(w.kill_signal, 0);
    happened(&w, "container", "kill", OURS, "15");
    happened(&w, "container", "kill", OURS, "9");
    happened(&w, "container", "die", OURS, NULL);
    cr_assert_eq(w.kill_signal, 9);
    cr_assert_not(w.oom);
    cr_assert_eq(w.events, 7);
}

Test(witness, memory_of_ours_alone) {
    struct witness w = {0};
    happened(&w, "container", "oom", "another", NULL);
    happened(&w, "image", "oom", OURS, NULL);
    cr_assert_not(w.oom);
    happened(&w, "container", "oom", OURS, NULL);
    cr_assert(w.oom);
}

Test(witness, an_engine_that_remembers_the_begin_is_the_same) {
    struct witness w = {0};
    begun(&w);
    others(&w, WITNESS_MEMORY - 3);
    cr_assert_eq(witness_engine(&w), WITNESS_SAME);
}

Test(witness, an_engine_with_room_left_that_does_not_is_another) {
    struct witness w = {0};
    cr_assert_eq(witness_engine(&w), WITNESS_OTHER);
    happened(&w, "container", "kill", OURS, "15"); /* what an engine does to what it finds at its start */
    happened(&w, "container", "die", OURS, NULL);
    others(&w, WITNESS_MEMORY - 3);
    cr_assert_eq(w.events, WITNESS_MEMORY - 1);
    cr_assert_eq(witness_engine(&w), WITNESS_OTHER);
}

Test(witness, a_full_memory_says_nothing) {
    struct witness w = {0};
    others(&w, WITNESS_MEMORY);
    cr_assert_eq(witness_engine(&w), WITNESS_UNSURE);
    w = (struct witness){.has_overflow = true};
    cr_assert_eq(witness_engine(&w), WITNESS_UNSURE);
}

Test(witness, is_asked_only_where_it_matters) {
    static const struct {
        const char *what;
        struct evidence evidence;
        bool needed;
    } rows[] = {
        {"no record", {.started = true}, true},
        {"a signal from outside", {.started = true, .end_known = true, .end = {.signal_outside = 15}}, true},
        {"a stop that found it ended, after a signal from outside",
         {.started = true,
          .end_known = true,
          .end = {.signal_outside = 15},
          .stop = REASON_REQUESTED,
          .stop_missed = true},
         true},
        {"its own end", {.started = true, .end_known = true}, false},
        {"our own stop", {.started = true, .stop = REASON_REQUESTED}, false},
        {"never started", {.fault = REASON_INTERNAL}, false},
        {"another boot", {.started = true, .host_restarted = true}, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_expect_eq(witness_needed(&rows[i].evidence), rows[i].needed, "%s", rows[i].what);
}

Test(witness, whether_the_engine_was_restarted) {
    static const struct {
        const char *what;
        bool begin, full, lost_touch, live_restore;
        int exit_code;
        bool restarted;
    } rows[] = {
        {"room left", .restarted = true},
        {"room left, but its containers outlive it", .live_restore = true},
        {"it knows the begin, whatever the connection did", .begin = true, .lost_touch = true},
        {"it knows the begin, whatever the code", .begin = true, .exit_code = 255},
        {"a full memory", .full = true, .exit_code = 137},
        {"a full memory, and it was away", .full = true, .lost_touch = true, .restarted = true},
        {"a full memory, and a code that it made up", .full = true, .exit_code = 255, .restarted = true},
        {"its containers outlive it", .full = true, .lost_touch = true, .live_restore = true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct witness w = {.has_begin = rows[i].begin, .events = rows[i].full ? WITNESS_MEMORY : 2};
        struct evidence e = {.started = true, .inspected = true, .engine_exit_code = rows[i].exit_code};
        witness_tell(&w, rows[i].lost_touch, rows[i].live_restore, &e);
        cr_expect_eq(e.engine_restarted, rows[i].restarted, "%s", rows[i].what);
    }
}

Test(witness, tells_of_signals_and_memory) {
    struct witness w = {.has_begin = true, .oom = true, .kill_signal = 3};
    struct evidence e = {.started = true};
    witness_tell(&w, false, false, &e);
    cr_assert(e.engine_oom_killed && e.kill_signal == 3);
    w.oom = false;
    witness_tell(&w, false, false, &e);
    cr_assert(e.engine_oom_killed, "what its inspect says stays");
}
