/* One attempt as berthd has it run, on a real engine. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/fdutil.h"
#include "base/json.h"
#include "proto/child.h"
#include "proto/labels.h"
#include "proto/spool.h"
#include "runner/docker/image.h"
#include "runner/tar_file.h"
#include "runner_rig.h"

TestSuite(attempt, .init = rig_begin, .fini = rig_end, .timeout = 120);

static struct err err;
#define OK(call) cr_assert((call) >= 0, "%s: %s", #call, err.text)

static const char sleeper[] =
    "{\"env\":{\"SECRET\":\"geheim-env\"},\"input\":\"geheim-input\",\"script\":"
    "\"trap \\\"echo bye; exit 0\\\" TERM; echo begun; : geheim-arg; sleep 600 & wait\","
    "\"limits\":{\"cpus\":0.5,\"memory\":\"48m\",\"pids\":40,\"shm\":\"8m\",\"nofile\":128,"
    "\"tmpfs\":{\"/t\":\"1m\"}},\"hardening\":{\"read_only\":true}}";

static void start_and_await(const char *job) {
    rig_attempt(job);
    rig_start();
    struct control ready = rig_expect(CONTROL_READY);
    control_done(&ready);
    rig_await_output("begun\n");
}

static void expect_end(enum reason reason) {
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    struct journal journal = rig_journal();
    cr_expect(journal_has(&journal, JOURNAL_CLEANED));
    cr_expect_eq(journal.verdict.reason, reason, "%s: %s", reason_name(journal.verdict.reason),
                 journal.verdict.message);
}

static void expect_output(const char *text) {
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    int starts;
    rig_output(SPOOL_STDOUT, &out, &starts);
    cr_expect_str_eq(buf_str(&out), text);
    cr_expect_eq(starts, 1);
}

Test(attempt, canceled) {
    start_and_await(sleeper);
    rig_cancel(false);
    expect_end(REASON_REQUESTED);
    expect_output("begun\nbye\n");
}

Test(attempt, canceled_by_force) {
    start_and_await(sleeper);
    rig_cancel(true);
    expect_end(REASON_REQUESTED);
    expect_output("begun\n");
}

Test(attempt, forced_within_its_grace) {
    start_and_await(
        "{\"script\":\"trap \\\"echo deaf\\\" TERM; echo begun; while :; do sleep 600 & wait; done\","
        "\"stop\":{\"grace\":\"10m\"}}");
    rig_cancel(false);
    rig_await_output("deaf\n");
    rig_cancel(true);
    expect_end(REASON_REQUESTED);
}

Test(attempt, canceled_before_it_began) {
    rig_attempt(sleeper);
    rig_start();
    rig_cancel(false);
    expect_end(REASON_REQUESTED);
    struct journal journal = rig_journal();
    cr_expect_not(journal_has(&journal, JOURNAL_STARTED));
}

Test(attempt, its_own_stop_signal) {
    start_and_await("{\"stop\":{\"signal\":\"SIGUSR1\"},\"script\":\"trap \\\"echo usr; exit 0\\\" USR1; "
                    "echo begun; sleep 600 & wait\"}");
    rig_cancel(false);
    expect_end(REASON_REQUESTED);
    expect_output("begun\nusr\n");
}

static const json_t *dig(const json_t *doc, const char *a, const char *b) {
    const json_t *value = json_object_get(doc, a);
    return b ? json_object_get(value, b) : value;
}

static const char *text_of(const json_t *value) {
    static char text[64 * 1024];
    size_t len = json_dumpb(value, text, sizeof text - 1, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    text[len < sizeof text ? len : 0] = '\0';
    return text;
}

static void expect_host(const json_t *doc, const char *key, const char *json) {
    const char *text = text_of(dig(doc, "HostConfig", key));
    cr_expect_str_eq(text, json, "%s: %s", key, text);
}

Test(attempt, what_the_engine_was_told) {
    AUTO_CONTAINER_INFO struct container_info info = {0};
    start_and_await(sleeper);
    OK(container_inspect(rig.engine, &rig.ctx, rig.container, &info, &err));
    cr_expect_null(strstr(text_of(info.owner), "geheim"));
    expect_host(info.owner, "Memory", "50331648");
    expect_host(info.owner, "MemorySwap", "50331648");
    expect_host(info.owner, "NanoCpus", "500000000");
    expect_host(info.owner, "PidsLimit", "40");
    expect_host(info.owner, "ShmSize", "8388608");
    expect_host(info.owner, "Ulimits", "[{\"Hard\":128,\"Name\":\"nofile\",\"Soft\":128}]");
    expect_host(info.owner, "Tmpfs", "{\"/t\":\"size=1048576\"}");
    expect_host(info.owner, "ReadonlyRootfs", "true");
    expect_host(info.owner, "CapDrop", "[\"ALL\"]");
    expect_host(info.owner, "SecurityOpt", "[\"no-new-privileges\"]");
    expect_host(info.owner, "NetworkMode", "\"none\"");
    expect_host(info.owner, "Privileged", "false");
    cr_expect(strstr(text_of(dig(info.owner, "HostConfig", "LogConfig")), "\"none\""));
    cr_expect_str_eq(container_label(info.labels, LABEL_MANAGED), "true");
    cr_expect_str_eq(container_label(info.labels, LABEL_CLUSTER), rig.cluster);
    cr_expect_str_eq(container_label(info.labels, LABEL_INSTANCE), "rig");
    cr_expect_str_eq(container_label(info.labels, LABEL_ATTEMPT), "1");
    cr_expect_str_eq(container_label(info.labels, LABEL_TOKEN), "4711");
    cr_expect_str_eq(container_label(info.labels, LABEL_ROLE), ROLE_MAIN);
    cr_expect(strncmp(container_label(info.labels, LABEL_JOB), rig.name, 36) == 0);
    rig_cancel(true);
    expect_end(REASON_REQUESTED);
}

/* The kernel's own words: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE are
 * 0x4fb without FSETID's neighbours, see capabilities(7). */
Test(attempt, capabilities) {
    static const struct {
        const char *job, *caps;
    } rows[] = {
        {"{\"script\":\"grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status\"}",
         "CapEff:\t00000000000004fb\nNoNewPrivs:\t1\n"},
        {"{\"hardening\":{\"caps\":\"none\"},\"script\":\"grep CapEff /proc/self/status\"}",
         "CapEff:\t0000000000000000\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        rig_attempt(rows[i].job);
        struct verdict verdict = rig_finish();
        cr_expect_eq(verdict.status, STATUS_SUCCEEDED, "%s", verdict.message);
        expect_output(rows[i].caps);
    }
}

Test(attempt, killed_by_someone_else) {
    start_and_await(sleeper);
    OK(container_kill(rig.engine, &rig.ctx, rig.container, "KILL", &err));
    expect_end(REASON_CONTAINER_KILLED);
}

Test(attempt, removed_by_someone_else) {
    start_and_await(sleeper);
    OK(container_remove(rig.engine, &rig.ctx, rig.container, true, false, &err));
    expect_end(REASON_CONTAINER_REMOVED);
}

Test(attempt, only_one_runner_at_a_time) {
    start_and_await(sleeper);
    pid_t first = rig.pid;
    int first_fd = rig.fd;
    rig.fd = -1;
    rig_start();
    cr_expect_eq(rig_wait(), CHILD_EXIT_AGAIN);
    close(rig.fd);
    rig.fd = first_fd;
    rig.pid = first;
    rig_cancel(true);
    expect_end(REASON_REQUESTED);
}

/* An image with nothing in it but one static program. */
Test(attempt, from_scratch) {
    AUTO_BUF struct buf program = BUF(16 * 1024 * 1024);
    AUTO_BUF struct buf archive = BUF(17 * 1024 * 1024);
    AUTO_FREE char *id = NULL;
    OK(file_read(AT_FDCWD, "/bin/busybox", program.max, &program, &err));
    OK(tar_file_build(&archive, "app/", "app/busybox", program.data, program.len));
    const char *changes[] = {"ENTRYPOINT [\"/app/busybox\"]", "CMD [\"echo\", \"from scratch\"]", NULL};
    OK(image_import(rig.engine, &rig.ctx, archive.data, archive.len, "runner-test-scratch", rig.cluster,
                    changes, (struct engine_pairs){0}, &id, &err));
    char job[160];
    snprintf(job, sizeof job,
             "{\"image\":\"runner-test-scratch:%s\",\"user\":\"12345\",\"hardening\":{\"read_only\":true}}",
             rig.cluster);
    rig_attempt(job);
    struct verdict verdict = rig_finish();
    cr_expect_eq(verdict.status, STATUS_SUCCEEDED, "%s", verdict.message);
    expect_output("from scratch\n");
    struct journal journal = rig_journal();
    cr_expect_str_eq(journal.digest, id);
    OK(image_remove(rig.engine, &rig.ctx, id, true, &err));
}

Test(attempt, no_image) {
    rig_attempt("{\"image\":\"runner-test-no-such-image\",\"pull\":\"never\"}");
    cr_expect_eq(rig_finish().reason, REASON_IMAGE_NOT_FOUND);
}

/* A registry that takes connections and says nothing. Returns its socket, to be closed. */
static int silent_registry(char job[160], const char *deadline) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 64) == 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    snprintf(job, 160, "{\"image\":\"127.0.0.1:%d/x:1\",\"deadlines\":{\"pull\":\"%s\"}}",
             ntohs(address.sin_port), deadline);
    return fd;
}

Test(attempt, pull_deadline) {
    char job[160];
    AUTO_FD int registry = silent_registry(job, "1s");
    rig_attempt(job);
    struct verdict verdict = rig_finish();
    cr_expect_eq(verdict.reason, REASON_PULL_DEADLINE, "%s", verdict.message);
    cr_expect(registry >= 0);
}

Test(attempt, canceled_while_pulling) {
    char job[160];
    AUTO_FD int registry = silent_registry(job, "10m");
    struct pollfd connection = {.fd = registry, .events = POLLIN};
    rig_attempt(job);
    rig_start();
    struct control ready = rig_expect(CONTROL_READY);
    control_done(&ready);
    cr_assert_eq(poll(&connection, 1, RIG_WAIT_MS), 1);
    rig_cancel(false);
    expect_end(REASON_REQUESTED);
}

/* The name is taken by a container that is not ours: it is left alone. */
Test(attempt, a_stranger_has_the_name) {
    char id[ENGINE_ID_MAX];
    rig_attempt(sleeper);
    const char *const cmd[] = {"true", NULL};
    struct container_spec stranger = {
        .name = rig.container, .image = rig_image(), .cmd = cmd, .network_mode = "none"};
    OK(container_create(rig.engine, &rig.ctx, &stranger, id, &err));
    struct verdict verdict = rig_finish();
    cr_expect_eq(verdict.reason, REASON_INTERNAL, "%s", verdict.message);
    AUTO_CONTAINER_INFO struct container_info info = {0};
    cr_expect_eq(container_inspect(rig.engine, &rig.ctx, id, &info, &err), 0);
    OK(container_remove(rig.engine, &rig.ctx, id, true, true, &err));
}
