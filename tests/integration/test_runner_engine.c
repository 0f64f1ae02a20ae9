/* An engine that breaks off, comes back and has forgotten: what the real one does only when it is restarted.
 * The container is made up: the journal says that it was started, the spool how it ended. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdutil.h"
#include "base/json.h"
#include "proto/child.h"
#include "proto/labels.h"
#include "proto/launch.h"
#include "proto/spool.h"
#include "runner/job.h"
#include "runner/witness.h"
#include "runner_rig.h"
#include "tests/support/fake_engine.h"

enum { BODY_MAX = 4096, PATHS_MAX = 8, TEXT_MAX = 160, TERMINATED = 15, FULL_MAX = 64 * 1024 };

static struct fake_engine fake;
static struct err err;
static char paths[PATHS_MAX][TEXT_MAX];
#define OK(call) cr_assert((call) >= 0, "%s: %s", #call, err.text)

static void end(void) {
    fake_engine_stop(&fake);
    rig_end();
}

TestSuite(engine, .init = rig_begin, .fini = end, .timeout = 240);

/* "POST /v1.41/containers/<ours>/wait" */
static const char *call(unsigned at, const char *method, const char *behind) {
    snprintf(paths[at], TEXT_MAX, "%s /v1.41/containers/%s%s", method, rig.container, behind);
    return paths[at];
}

static const char *inspected(char body[BODY_MAX], const char *state) {
    char job[ATTEMPT_ID_MAX];
    int number;
    cr_assert_eq(attempt_parse_dir_name(rig.name, job, &number), 0);
    snprintf(body, BODY_MAX,
             "{\"Id\":\"4711\",\"Name\":\"/%s\",\"State\":{%s,\"StartedAt\":\"2026-01-01T00:00:00Z\"},"
             "\"Config\":{\"Labels\":{\"" LABEL_CLUSTER "\":\"%s\",\"" LABEL_JOB "\":\"%s\",\"" LABEL_ATTEMPT
             "\":\"1\",\"" LABEL_TOKEN "\":\"4711\",\"" LABEL_ROLE "\":\"" ROLE_MAIN "\"}}}",
             rig.container, state, rig.cluster, job);
    return body;
}

static void put_end(int dir_fd, struct spool_end how) {
    unsigned char record[SPOOL_HEADER_BYTES + sizeof how];
    struct spool_header header = {.type = SPOOL_END, .len = sizeof how, .time_us = 1};
    spool_put_header(record, &header);
    memcpy(record + SPOOL_HEADER_BYTES, &how, sizeof how);
    OK(file_write_atomic(dir_fd, ATTEMPT_SPOOL, record, sizeof record, 0666, &err));
}

/* An attempt whose container was started by a runner that is dead. how: NULL: init left no word. */
static void begin_attempt(const struct spool_end *how) {
    struct journal journal = {0};
    rig_attempt("{\"script\":\"sleep 600\"}");
    AUTO_FD int dir_fd = openat(rig.attempts_fd, rig.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    OK(journal_append(dir_fd, &journal, JOURNAL_PULLED, json_pack("{s:s}", "digest", "sha256:1"), &err));
    OK(journal_append(dir_fd, &journal, JOURNAL_CREATED, json_pack("{s:s}", "container", "4711"), &err));
    OK(journal_append(dir_fd, &journal, JOURNAL_STARTED, json_pack("{s:s}", "container", "4711"), &err));
    if (how)
        put_end(dir_fd, *how);
}

/* It runs; the wait for its end breaks off; then it has ended so; the first question about events breaks off
 * as well. */
static struct verdict play(const char *exited, const char *events, bool live_restore) {
    static char runs[BODY_MAX], ended[BODY_MAX], info[TEXT_MAX];
    snprintf(info, sizeof info, "{\"ID\":\"e\",\"ServerVersion\":\"1\",\"LiveRestoreEnabled\":%s}",
             live_restore ? "true" : "false");
    const struct fake_route routes[] = {
        {.begins = "DELETE /v1.41/containers/4711?", .status = "204 No Content"},
        {.begins = call(1, "GET", "/json"), .after = 1, .status = "404 Not Found", .body = "{}"},
        {.begins = call(2, "GET", "/json"),
         .times = 1,
         .status = "200 OK",
         .body = inspected(runs, "\"Status\":\"running\",\"Running\":true")},
        {.begins = call(3, "GET", "/json"), .status = "200 OK", .body = inspected(ended, exited)},
        {.begins = call(4, "POST", "/wait"), .then = FAKE_CLOSE},
        {.begins = "GET /v1.41/events", .times = 1, .then = FAKE_CLOSE},
        {.begins = "GET /v1.41/events", .status = "200 OK", .body = events},
        {.begins = "GET /v1.41/info", .status = "200 OK", .body = info},
        {.begins = "GET /",
         .status = "200 OK",
         .body = "{\"ApiVersion\":\"1.41\",\"MinAPIVersion\":\"1.12\"}"},
    };
    fake_engine_route(&fake, routes, ARRAY_LEN(routes));
    setenv("DOCKER_HOST", fake.host, 1);
    return rig_finish();
}

#define EXITED(code_) "\"Status\":\"exited\",\"ExitCode\":" code_
static const struct spool_end terminated = {.wait_status = TERMINATED, .signal_outside = TERMINATED};

/* An event of this container. */
static const char *event(const char *action) {
    static char line[TEXT_MAX * 2];
    snprintf(line, sizeof line,
             "{\"Type\":\"container\",\"Action\":\"%s\",\"Actor\":{\"ID\":\"4711\",\"Attributes\":{\"name\":"
             "\"%s\","
             "\"signal\":\"15\"}}}\n",
             action, rig.container);
    return line;
}

Test(engine, that_has_forgotten_was_restarted) {
    begin_attempt(&terminated);
    struct verdict v = play(EXITED("143"), event("kill"), false);
    cr_expect_eq(v.reason, REASON_ENGINE_RESTARTED, "%s", v.message);
    cr_expect_eq(v.signal, TERMINATED);
}

Test(engine, that_lets_containers_live_is_not_to_blame) {
    begin_attempt(&terminated);
    struct verdict v = play(EXITED("143"), event("kill"), true);
    cr_expect_eq(v.reason, REASON_CONTAINER_KILLED, "%s", v.message);
}

/* Away for a moment, but the same: someone else it was. */
Test(engine, that_remembers_is_the_same) {
    begin_attempt(&terminated);
    struct verdict v = play(EXITED("143"), event("start"), false);
    cr_expect_eq(v.reason, REASON_CONTAINER_KILLED, "%s", v.message);
}

Test(engine, whose_memory_is_full_and_that_was_away) {
    AUTO_BUF struct buf events = BUF(FULL_MAX);
    begin_attempt(NULL);
    for (unsigned i = 0; i < WITNESS_MEMORY; i++)
        cr_assert_eq(buf_adds(&events, "{\"Type\":\"image\",\"Action\":\"tag\",\"Actor\":{\"ID\":\"1\"}}\n"),
                     0);
    struct verdict v = play(EXITED("255"), buf_str(&events), false);
    cr_expect_eq(v.reason, REASON_ENGINE_RESTARTED, "%s", v.message);
}

/* It was killed in the middle of a start, and what it had made of the container by then is in its way. */
static void forgotten(const char *answer) {
    static char created[BODY_MAX];
    struct journal journal = {0};
    rig_attempt("{\"script\":\"sleep 600\",\"network\":\"none\"}");
    AUTO_FD int dir_fd = openat(rig.attempts_fd, rig.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    OK(journal_append(dir_fd, &journal, JOURNAL_PULLED, json_pack("{s:s}", "digest", "sha256:1"), &err));
    OK(journal_append(dir_fd, &journal, JOURNAL_CREATED, json_pack("{s:s}", "container", "4711"), &err));
    inspected(created, "\"Status\":\"created\"");
    char *never = strstr(created, "2026-01-01");
    memcpy(never, "0001-01-01", strlen("0001-01-01"));
    const struct fake_route routes[] = {
        {.begins = "DELETE /v1.41/containers/4711?", .status = "204 No Content"},
        {.begins = call(1, "GET", "/json"), .after = 1, .status = "404 Not Found", .body = "{}"},
        {.begins = call(2, "GET", "/json"), .status = "200 OK", .body = created},
        {.begins = "POST /v1.41/containers/4711/start",
         .status = "500 Internal Server Error",
         .body = answer},
        {.begins = "GET /",
         .status = "200 OK",
         .body = "{\"ApiVersion\":\"1.41\",\"MinAPIVersion\":\"1.12\"}"},
    };
    fake_engine_route(&fake, routes, ARRAY_LEN(routes));
    setenv("DOCKER_HOST", fake.host, 1);
    struct verdict v = rig_finish();
    cr_expect_eq(v.reason, REASON_ENGINE_RESTARTED, "%s: %s", reason_name(v.reason), v.message);
    cr_expect(strstr(v.message, "while it started the container"), "%s", v.message);
}

Test(engine, that_has_forgotten_a_start) {
    forgotten("{\"message\":\"task 4711: already exists\"}");
}

Test(engine, that_has_forgotten_a_start_and_says_so_otherwise) {
    forgotten("{\"message\":\"id already in use\"}");
}

/* A job that has ended by itself is none of the engine's business. */
Test(engine, restarted_after_the_jobs_own_end) {
    begin_attempt(&(struct spool_end){.wait_status = 3 << 8});
    struct verdict v = play(EXITED("3"), "", false);
    cr_expect(v.reason == REASON_EXIT_CODE && v.exit_code == 3, "%s", v.message);
}

/* The status is init's own word; no engine has to be asked for that. */
Test(engine, a_bind_that_was_changed) {
    begin_attempt(NULL);
    struct verdict v = play(EXITED("71"), event("start"), false);
    cr_expect_eq(v.reason, REASON_SPEC_REFUSED, "%s", v.message);
}

/* It is dead, but the engine does not remove it: the job ends all the same, and says what is left. */
Test(engine, that_does_not_remove) {
    static char ended[BODY_MAX];
    enum { SPARE_MS = 20 * 1000 };
    begin_attempt(&(struct spool_end){.wait_status = 3 << 8});
    const struct fake_route routes[] = {
        {.begins = "DELETE /", .status = "500 Broken", .body = "{\"message\":\"device or resource busy\"}"},
        {.begins = call(0, "GET", "/json"), .status = "200 OK", .body = inspected(ended, EXITED("3"))},
        {.begins = "GET /",
         .status = "200 OK",
         .body = "{\"ApiVersion\":\"1.41\",\"MinAPIVersion\":\"1.12\"}"},
    };
    fake_engine_route(&fake, routes, ARRAY_LEN(routes));
    setenv("DOCKER_HOST", fake.host, 1);
    rig_start();
    struct control ready = rig_expect(CONTROL_READY);
    control_done(&ready);
    rig_await(JOURNAL_VERDICT);
    struct ctx most = ctx_root(NULL);
    ctx_deadline_in(&most, JOB_CLEAN_MAX_MS - SPARE_MS);
    ctx_poll(&most, NULL, 0, "clean-up", NULL);
    cr_assert_eq(rig_wait(), CHILD_EXIT_DONE);
    struct journal journal = rig_journal();
    cr_expect(journal_has(&journal, JOURNAL_CLEANED));
    cr_expect(journal.verdict.reason == REASON_EXIT_CODE && journal.verdict.exit_code == 3);
    AUTO_FD int dir_fd = openat(rig.attempts_fd, rig.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_BUF struct buf text = BUF(JOURNAL_BYTES_MAX);
    OK(file_read(dir_fd, ATTEMPT_JOURNAL, text.max, &text, &err));
    cr_expect(strstr(buf_str(&text), "\"left\":\"container"), "%s", buf_str(&text));
    AUTO_BUF struct buf words = BUF(RIG_OUTPUT_MAX);
    rig_output_of(ATTEMPT_SYSTEM, SPOOL_SYSTEM, &words, NULL);
    cr_expect(strstr(buf_str(&words), "device or resource busy"), "%s", buf_str(&words));
}

/* The stop signal arrives, but its answer does not, and the command ends by it before it is sent again. */
Test(engine, that_passes_the_signal_on_and_breaks_off) {
    static const struct spool_end by_trap = {.wait_status = (128 + TERMINATED) << 8,
                                             .signal_outside = TERMINATED};
    static char runs[BODY_MAX], ended[BODY_MAX];
    begin_attempt(&by_trap);
    const struct fake_route routes[] = {
        {.begins = "DELETE /v1.41/containers/4711?", .status = "204 No Content"},
        {.begins = call(1, "GET", "/json"), .after = 1, .status = "404 Not Found", .body = "{}"},
        /* Twice: curl itself repeats what breaks off on a connection that was used before. */
        {.begins = call(2, "POST", "/kill"), .times = 2, .then = FAKE_CLOSE},
        {.begins = call(2, "POST", "/kill"),
         .status = "409 Conflict",
         .body = "{\"message\":\"not running\"}"},
        {.begins = call(3, "GET", "/json"),
         .after = 4,
         .status = "200 OK",
         .body = inspected(ended, EXITED("143"))},
        {.begins = call(3, "GET", "/json"),
         .status = "200 OK",
         .body = inspected(runs, "\"Status\":\"running\",\"Running\":true")},
        {.begins = call(4, "POST", "/wait"), .then = FAKE_HANG},
        {.begins = "GET /",
         .status = "200 OK",
         .body = "{\"ApiVersion\":\"1.41\",\"MinAPIVersion\":\"1.12\"}"},
    };
    fake_engine_route(&fake, routes, ARRAY_LEN(routes));
    setenv("DOCKER_HOST", fake.host, 1);
    rig_start();
    rig_cancel(false);
    cr_assert_eq(rig_wait(), CHILD_EXIT_DONE);
    struct verdict v = rig_journal().verdict;
    cr_expect_eq(v.reason, REASON_REQUESTED, "%s: %s", reason_name(v.reason), v.message);
}

/* It says that it kills, and the container runs on: no end is told, and the job's log says why it takes so
 * long. */
Test(engine, that_does_not_kill) {
    static char runs[BODY_MAX];
    enum { SPARE_MS = 20 * 1000 };
    begin_attempt(NULL);
    const struct fake_route routes[] = {
        {.begins = call(0, "GET", "/json"),
         .status = "200 OK",
         .body = inspected(runs, "\"Status\":\"running\",\"Running\":true")},
        {.begins = call(1, "POST", "/kill"), .status = "204 No Content"},
        {.begins = call(2, "POST", "/wait"), .then = FAKE_HANG},
        {.begins = "GET /",
         .status = "200 OK",
         .body = "{\"ApiVersion\":\"1.41\",\"MinAPIVersion\":\"1.12\"}"},
    };
    fake_engine_route(&fake, routes, ARRAY_LEN(routes));
    setenv("DOCKER_HOST", fake.host, 1);
    rig_start();
    rig_cancel(true);
    rig_await(JOURNAL_STOPPING);
    struct ctx most = ctx_root(NULL);
    ctx_deadline_in(&most, JOB_KILL_TELL_MS - SPARE_MS);
    ctx_poll(&most, NULL, 0, "kill", NULL);
    rig_await_output_of(ATTEMPT_SYSTEM, "does not end though it was killed");
    struct journal journal = rig_journal();
    cr_expect_not(journal_has(&journal, JOURNAL_EXITED) || journal_has(&journal, JOURNAL_VERDICT));
    rig_kill();
}
