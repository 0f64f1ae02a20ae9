/* Containers beside the job, on a real engine: ready before it starts, watched while it runs, gone after it.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fdutil.h"
#include "base/json.h"
#include "base/mem.h"
#include "proto/child.h"
#include "proto/labels.h"
#include "proto/spool.h"
#include "runner/docker/image.h"
#include "runner/limits/limits.h"
#include "runner/tar_file.h"
#include "runner_rig.h"

TestSuite(services, .init = rig_begin, .fini = rig_end, .timeout = 240);

static struct err err;
#define OK(call) cr_assert((call) >= 0, "%s: %s", #call, err.text)

#define SERVE "mkdir /tmp/w; echo hi >/tmp/w/x; echo up; exec httpd -f -p 7000 -h /tmp/w"
/* Does what it is told by signals, so that a test decides what comes first. */
#define OBEY                                                                                                 \
    "trap 'touch /tmp/up; echo up' USR1; trap 'echo oops; exit 4' USR2; trap 'echo bye; exit 0' TERM;"       \
    " echo begun; while :; do sleep 600 & wait $!; done"
#define OBEYING_MAIN                                                                                         \
    "trap 'echo told; exit 0' USR2; trap 'echo stopped; exit 0' TERM; echo begun; sleep 600 & wait"

/* ready: JSON, or NULL. Appends to services. */
static void add_service(json_t *services, const char *name, const char *script, const char *ready,
                        const char *deadline) {
    json_t *service = json_pack("{s:s, s:s, s:[s,s,s], s:s}", "name", name, "image", rig_image(), "command",
                                "sh", "-c", script, "deadline", deadline);
    if (ready)
        json_object_set_new(service, "ready", json_loads(ready, 0, NULL));
    json_array_append_new(services, service);
}

/* Takes services. */
static void make_attempt(const char *script, json_t *services) {
    AUTO_JSON json_t *doc =
        json_pack("{s:s, s:s, s:o}", "network", "private", "script", script, "services", services);
    AUTO_FREE char *text = json_dumps(doc, 0);
    rig_attempt(text);
}

/* With one service "db". */
static void make_simple(const char *script, const char *service, const char *ready, const char *deadline) {
    json_t *services = json_array();
    add_service(services, "db", service, ready, deadline);
    make_attempt(script, services);
}

static void start(void) {
    rig_start();
    struct control ready = rig_expect(CONTROL_READY);
    control_done(&ready);
}

static void signal_part(const char *part, const char *signal) {
    char job[ATTEMPT_ID_MAX];
    char name[LABELS_NAME_MAX];
    int number;
    OK(attempt_parse_dir_name(rig.name, job, &number));
    OK(container_kill(rig.engine, &rig.ctx, labels_container_name(job, number, part, name), signal, &err));
}

static struct verdict expect_end(enum reason reason) {
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    struct journal journal = rig_journal();
    cr_expect(journal_has(&journal, JOURNAL_CLEANED));
    cr_expect_eq(journal.verdict.reason, reason, "%s: %s", reason_name(journal.verdict.reason),
                 journal.verdict.message);
    return journal.verdict;
}

static void expect_output(const char *file, const char *text) {
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    int starts;
    rig_output_of(file, SPOOL_STDOUT, &out, &starts);
    cr_expect_str_eq(buf_str(&out), text, "%s: %s", file, buf_str(&out));
    cr_expect_eq(starts, 1, "%s: %d starts", file, starts);
}

static void expect_words(const char *text, const char *words) {
    cr_expect(strstr(text, words), "\"%s\" is not in: %s", words, text);
}

static void expect_told(const char *words) {
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    rig_output_of(ATTEMPT_SYSTEM, SPOOL_SYSTEM, &out, NULL);
    expect_words(buf_str(&out), words);
}

Test(services, each_kind_of_readiness_and_reached_by_name) {
    json_t *services = json_array();
    add_service(services, "a", SERVE, "{\"tcp\": 7000}", "30s");
    add_service(services, "b", SERVE, "{\"http\": \"http://:7000/x\"}", "30s");
    add_service(services, "c", SERVE,
                "{\"command\": [\"wget\", \"-q\", \"-O\", \"-\", \"http://127.0.0.1:7000/x\"]}", "30s");
    add_service(services, "d", "echo warming; usleep 300000; echo is up now; sleep 600",
                "{\"log\": \"^is .p\"}", "30s");
    add_service(services, "e", "sleep 600", NULL, "30s");
    make_attempt("for i in a b c; do wget -q -O - http://$i:7000/x || exit 9; done", services);
    struct verdict verdict = rig_finish();
    cr_expect_eq(verdict.status, STATUS_SUCCEEDED, "%s", verdict.message);
    expect_output(ATTEMPT_SPOOL, "hi\nhi\nhi\n");
    expect_output("spool.d", "warming\nis up now\n");
    expect_told("service a: started");
    expect_told("service d: ready after");
    cr_expect_gt(verdict.usage.pids_peak, 5, "%lld", (long long)verdict.usage.pids_peak);
}

Test(services, main_waits_until_all_are_ready) {
    make_simple("echo begun", OBEY, "{\"command\": [\"test\", \"-e\", \"/tmp/up\"]}", "60s");
    start();
    rig_await_output_of(ATTEMPT_SYSTEM, "service db: not ready after 5 s: ");
    struct journal journal = rig_journal();
    cr_expect(journal_has(&journal, JOURNAL_CREATED) && !journal_has(&journal, JOURNAL_STARTED));
    signal_part("db", "USR1");
    expect_end(REASON_NONE);
    expect_output(ATTEMPT_SPOOL, "begun\n");
    expect_output("spool.db", "begun\nup\nbye\n"); /* ended by its stop signal, after the job */
}

Test(services, image_with_a_health_check) {
    AUTO_BUF struct buf program = BUF(16 * 1024 * 1024);
    AUTO_BUF struct buf archive = BUF(17 * 1024 * 1024);
    AUTO_FREE char *id = NULL;
    OK(file_read(AT_FDCWD, "/bin/busybox", program.max, &program, &err));
    OK(tar_file_build(&archive, "bin/", "bin/sh", program.data, program.len));
    const char *changes[] = {
        "HEALTHCHECK CMD [\"/bin/sh\", \"-c\", \"test -e /up\"]",
        "CMD [\"/bin/sh\", \"-c\", \"echo > /up; while :; do read x < /dev/zero; done\"]", NULL};
    OK(image_import(rig.engine, &rig.ctx, archive.data, archive.len, "runner-test-health", rig.cluster,
                    changes, (struct engine_pairs){0}, &id, &err));
    AUTO_FREE char *image = mem_printf("runner-test-health:%s", rig.cluster);
    json_t *services = json_pack("[{s:s, s:s, s:{s:b}, s:s, s:{s:s}}]", "name", "db", "image", image, "ready",
                                 "health", 1, "deadline", "30s", "limits", "cpus", "0.5");
    json_object_set_new(json_object_get(json_array_get(services, 0), "limits"), "cpus", json_real(0.5));
    make_attempt("exit 0", services);
    cr_expect_eq(rig_finish().status, STATUS_SUCCEEDED);
    OK(image_remove(rig.engine, &rig.ctx, id, true, &err));
}

Test(services, health_without_a_check_is_refused) {
    make_simple("exit 0", "sleep 600", "{\"health\": true}", "30s");
    struct verdict verdict = rig_finish();
    cr_expect_eq(verdict.reason, REASON_SPEC_REFUSED, "%s", verdict.message);
    expect_words(verdict.message, "db");
}

Test(services, dies_before_it_is_ready) {
    make_simple("echo never", "echo first; echo 'last \x1b[31mwords'; exit 3", "{\"tcp\": 7000}", "60s");
    struct verdict verdict = rig_finish();
    cr_expect_eq(verdict.status, STATUS_FAILED);
    cr_expect_eq(verdict.reason, REASON_SERVICE_FAILED);
    expect_words(verdict.message, "\"db\"");
    expect_words(verdict.message, "exit code 3");
    expect_words(verdict.message, "first | last ?[31mwords");
}

Test(services, never_ready) {
    make_simple("echo never", "echo thinking; sleep 600", "{\"tcp\": 7000}", "1s");
    struct verdict verdict = rig_finish();
    cr_expect_eq(verdict.status, STATUS_ERRORED);
    cr_expect_eq(verdict.reason, REASON_SERVICE_NOT_READY);
    expect_words(verdict.message, "was not ready within 1s");
    expect_words(verdict.message, "7000");
    expect_words(verdict.message, "thinking");
}

Test(services, dies_while_the_job_runs) {
    make_simple(OBEYING_MAIN, OBEY, NULL, "60s");
    start();
    rig_await_output("begun\n");
    rig_await_output_of("spool.db", "begun\n");
    signal_part("db", "USR2");
    struct verdict verdict = expect_end(REASON_SERVICE_FAILED);
    cr_expect_eq(verdict.status, STATUS_FAILED);
    expect_words(verdict.message, "\"db\"");
    expect_words(verdict.message, "exit code 4");
    expect_words(verdict.message, "oops");
    expect_output(ATTEMPT_SPOOL, "begun\nstopped\n");
}

Test(services, killed_while_the_job_runs) {
    make_simple(OBEYING_MAIN, OBEY, NULL, "60s");
    start();
    rig_await_output("begun\n");
    signal_part("db", "KILL");
    expect_words(expect_end(REASON_SERVICE_FAILED).message, "signal 9");
}

Test(services, canceled_while_they_get_ready) {
    make_simple("echo never", OBEY, "{\"tcp\": 7000}", "60s");
    start();
    rig_await_output_of("spool.db", "begun\n");
    rig_cancel(false);
    expect_end(REASON_REQUESTED);
    expect_output("spool.db", "begun\nbye\n");
}

/* Whoever comes back from the dead finds the service by its name and looks at its readiness again. */
Test(services, runner_killed_while_they_get_ready) {
    make_simple("echo begun", OBEY, "{\"command\": [\"test\", \"-e\", \"/tmp/up\"]}", "60s");
    start();
    for (int i = 0; i < 3; i++) {
        rig_await_output_of("spool.db", "begun\n");
        rig_kill();
        rig_start();
    }
    rig_await(JOURNAL_CREATED);
    signal_part("db", "USR1");
    expect_end(REASON_NONE);
    expect_output(ATTEMPT_SPOOL, "begun\n");
    expect_output("spool.db", "begun\nup\nbye\n");
}

Test(services, runner_killed_while_the_job_runs) {
    make_simple(OBEYING_MAIN, OBEY, NULL, "60s");
    start();
    for (int i = 0; i < 3; i++) {
        rig_await_output("begun\n");
        rig_kill();
        rig_start();
    }
    signal_part(ROLE_MAIN, "USR2");
    expect_end(REASON_NONE);
    expect_output(ATTEMPT_SPOOL, "begun\ntold\n");
    expect_output("spool.db", "begun\nbye\n");
}

Test(services, dies_while_nobody_looks) {
    make_simple(OBEYING_MAIN, OBEY, NULL, "60s");
    start();
    rig_await_output("begun\n");
    rig_await_output_of("spool.db", "begun\n");
    rig_kill();
    signal_part("db", "USR2");
    rig_await_output_of("spool.db", "oops\n");
    rig_start();
    expect_words(expect_end(REASON_SERVICE_FAILED).message, "exit code 4");
    expect_output(ATTEMPT_SPOOL, "begun\nstopped\n");
}

/* The one that failed is named by a runner, too, that has only the journal's word for it. */
Test(services, runner_killed_while_it_stops_the_job) {
    static const enum journal_step steps[] = {JOURNAL_STOPPING, JOURNAL_EXITED, JOURNAL_VERDICT};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        json_t *services = json_array();
        add_service(services, "a", OBEY, NULL, "60s");
        add_service(services, "db", OBEY, NULL, "60s");
        make_attempt(OBEYING_MAIN, services);
        start();
        rig_await_output("begun\n");
        rig_await_output_of("spool.db", "begun\n");
        signal_part("db", "USR2");
        rig_await(steps[i]);
        rig_kill();
        if (steps[i] != JOURNAL_STOPPING)
            rig_forget_from(steps[i]);
        struct verdict verdict = rig_finish();
        cr_expect_eq(verdict.reason, REASON_SERVICE_FAILED, "%s", verdict.message);
        expect_words(verdict.message, "\"db\"");
        expect_words(verdict.message, "exit code 4");
    }
}

/* What init of a killed container cannot write down any more, the kernel has counted for the group. */
Test(services, group_of_the_attempt) {
    const struct limits_bound bound = {.instance = rig.cluster};
    if (limits_setup(&bound, rig.cgroup, &err) < 0) {
        fprintf(stderr, "not tried, the host does not allow it: %s\n", err.text);
        return;
    }
    make_simple("echo begun; i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; echo counted; sleep 600",
                OBEY, NULL, "60s");
    start();
    rig_await_output("counted\n");
    signal_part(ROLE_MAIN, "KILL");
    struct verdict verdict = expect_end(REASON_CONTAINER_KILLED);
    cr_expect_gt(verdict.usage.cpu_us, 0);
    char **names = NULL;
    OK(limits_list(rig.cgroup, &names, &err));
    cr_expect_null(names[0], "%s is left", names[0]);
    limits_list_free(names);
    OK(limits_remove(rig.cgroup, &err));
}

/* Every step of the journal done, but not written down. */
Test(services, each_step_done_but_not_written) {
    static const enum journal_step steps[] = {JOURNAL_PULLED, JOURNAL_CREATED, JOURNAL_STARTED,
                                              JOURNAL_EXITED, JOURNAL_VERDICT};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        make_simple("echo begun; exit 7", OBEY, "{\"log\": \"begun\"}", "60s");
        start();
        rig_await(steps[i]);
        rig_kill();
        rig_forget_from(steps[i]);
        struct verdict verdict = rig_finish();
        cr_expect_eq(verdict.reason, REASON_EXIT_CODE, "%s", verdict.message);
        expect_output(ATTEMPT_SPOOL, "begun\n");
    }
}
