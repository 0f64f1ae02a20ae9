#include "runner_rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "proto/child.h"
#include "proto/labels.h"
#include "proto/spool.h"
#include "runner/docker/network.h"

struct rig rig = {.attempts_fd = -1, .fd = -1};
static struct err err;

#define OK(call) cr_assert((call) >= 0, "%s: %s", #call, err.text)

const char *rig_image(void) {
    const char *name = getenv("BERTH_TEST_IMAGE");
    return name && *name ? name : "busybox:test";
}

void rig_begin(void) {
    const struct engine_settings settings = {.host = getenv("DOCKER_HOST")};
    char attempts[RIG_PATH_MAX + 16];
    signal(SIGPIPE, SIG_IGN);
    snprintf(rig.state, sizeof rig.state, "/tmp/runner-test-XXXXXX");
    cr_assert(mkdtemp(rig.state));
    snprintf(attempts, sizeof attempts, "%s/" ATTEMPT_DIR, rig.state);
    OK(dir_make(attempts, 0700, &err));
    rig.attempts_fd = open(attempts, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    id_new_v7(rig.cluster);
    /* A real cluster's id is random from the beginning, which names are made from; this one's is the time. */
    memcpy(rig.cluster, rig.cluster + strlen(rig.cluster) - 8, 8);
    rig.ctx = ctx_root(NULL);
    ctx_deadline_in(&rig.ctx, 5 * RIG_WAIT_MS);
    OK(engine_open(&settings, &rig.engine, &err));
    OK(engine_negotiate(rig.engine, &rig.ctx, &err));
}

static int remove_leftovers(void) {
    AUTO_CONTAINER_LIST struct container_list list = {0};
    AUTO_NETWORK_LIST struct network_list networks = {0};
    const struct engine_pair label = {LABEL_CLUSTER, rig.cluster};
    OK(container_list(rig.engine, &rig.ctx, (struct engine_pairs){&label, 1}, true, &list, &err));
    for (size_t i = 0; i < list.count; i++)
        fprintf(stderr, "left: %s (%s), state directory %s\n", list.items[i].name, list.items[i].state,
                rig.state);
    for (size_t i = 0; i < list.count; i++)
        container_remove(rig.engine, &rig.ctx, list.items[i].id, true, true, NULL);
    OK(network_list(rig.engine, &rig.ctx, (struct engine_pairs){&label, 1}, &networks, &err));
    for (size_t i = 0; i < networks.count; i++)
        network_remove(rig.engine, &rig.ctx, networks.items[i].id, NULL);
    int left = (int)list.count;
    for (size_t i = 0; i < networks.count; i++)
        left += container_label(networks.items[i].labels, LABEL_JOB) != NULL;
    return left;
}

void rig_end(void) {
    if (rig.pid > 0)
        rig_kill();
    if (rig.fd >= 0)
        close(rig.fd);
    int left = remove_leftovers();
    if (!left)
        OK(dir_remove_tree(AT_FDCWD, rig.state, &err));
    close(rig.attempts_fd);
    engine_close(rig.engine);
    cr_assert_eq(left, 0, "%d networks of jobs or containers are left", left);
}

void rig_attempt(const char *job_json) {
    static int64_t token = 4711;
    AUTO_JSON json_t *doc = json_loads(job_json, 0, NULL);
    AUTO_SPEC struct spec *spec = NULL;
    AUTO_FAULTS struct spec_faults faults = {0};
    struct spec_policy policy = spec_policy_builtin();
    cr_assert(doc, "%s", job_json);
    const char *image = json_get_string(doc, "image");
    if (!image || strcmp(image, "IMAGE") == 0)
        json_object_set_new(doc, "image", json_string(rig_image()));
    if (!json_object_get(doc, "network"))
        json_object_set_new(doc, "network", json_string("none"));
    int parsed = spec_parse(doc, &policy, &spec, &faults);
    AUTO_FREE char *text = spec_faults_text(&faults, 400);
    cr_assert_eq(parsed, 0, "%s", text);
    struct attempt attempt = {.instance = (char *)"rig",
                              .tenant = (char *)"t",
                              .number = 1,
                              .id = 1,
                              .token = token++,
                              .claimed_us = clock_real_us(),
                              .spec = spec};
    id_new_v7(attempt.job);
    memcpy(attempt.cluster, rig.cluster, sizeof attempt.cluster);
    attempt_dir_name(attempt.job, 1, rig.name);
    labels_container_name(attempt.job, 1, ROLE_MAIN, rig.container);
    OK(attempt_create(rig.attempts_fd, &attempt, &err));
}

static void hide_state_dir(void) {
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", rig.state, "tmpfs", 0, NULL) < 0)
        _exit(99);
}

static void spawn(char *const *argv, bool other_directory) {
    int fds[2];
    OK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
    rig.pid = fork();
    cr_assert(rig.pid >= 0);
    if (rig.pid == 0) {
        if (other_directory)
            hide_state_dir();
        int fd = fcntl(fds[1], F_DUPFD_CLOEXEC, CHILD_FD + 1);
        dup2(fd, CHILD_FD);
        execv(BERTH_RUNNER_PATH, argv);
        _exit(98);
    }
    close(fds[1]);
    if (rig.fd >= 0)
        close(rig.fd);
    rig.fd = fds[0];
}

static void send_config(const char *docker_host) {
    struct control config = {
        .type = CONTROL_CONFIG, .instance = (char *)"rig", .cluster = rig.cluster, .cgroup = rig.cgroup};
    const char *host = docker_host ? docker_host : getenv("DOCKER_HOST");
    config.settings = json_pack("{s:s, s:s*, s:s, s:s, s:s*}", "state_dir", rig.state, "docker_host", host,
                                "log_level", "warn", "network_pool", "10.214.0.0/16", "lease", rig.lease);
    OK(control_send(rig.fd, &config, &err));
    json_decref(config.settings);
}

void rig_start(void) {
    spawn((char *[]){(char *)"berth-runner", (char *)"--attempt", rig.name, NULL}, false);
    send_config(NULL);
}

void rig_start_probe(const char *docker_host, bool other_directory) {
    spawn((char *[]){(char *)"berth-runner", (char *)"--probe", NULL}, other_directory);
    send_config(docker_host);
}

void rig_cancel(bool force) {
    struct control cancel = {.type = CONTROL_CANCEL, .force = force, .reason = REASON_REQUESTED};
    OK(control_send(rig.fd, &cancel, &err));
}

struct control rig_expect(enum control_type type) {
    struct control message = {0};
    struct pollfd p = {.fd = rig.fd, .events = POLLIN};
    cr_assert_eq(poll(&p, 1, RIG_WAIT_MS), 1, "no message of the runner");
    int got = control_recv(rig.fd, &message, &err);
    cr_assert(got == 1 && message.type == type, "got %d, type %d: %s", got, (int)message.type, err.text);
    return message;
}

int rig_wait(void) {
    int status;
    AUTO_FD int pidfd = pidfd_open(rig.pid, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    cr_assert_eq(poll(&p, 1, RIG_WAIT_MS), 1, "the runner does not end");
    waitpid(rig.pid, &status, 0);
    rig.pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

void rig_kill(void) {
    kill(rig.pid, SIGKILL);
    rig_wait();
}

void rig_hang_up(void) {
    close(rig.fd);
    rig.fd = -1;
}

static int open_dir(void) {
    int fd = openat(rig.attempts_fd, rig.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert(fd >= 0);
    return fd;
}

struct journal rig_journal(void) {
    AUTO_FD int fd = open_dir();
    struct journal journal = {0};
    OK(journal_read(fd, &journal, &err));
    return journal;
}

/* Calls `there` at once and after every change below the attempt's directory, until it is so. */
static void await_change(bool (*there)(const void *arg), const void *arg, const char *what) {
    char path[RIG_PATH_MAX + ATTEMPT_NAME_MAX + 16];
    char events[4096];
    AUTO_FD int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    snprintf(path, sizeof path, "%s/" ATTEMPT_DIR "/%s", rig.state, rig.name);
    cr_assert(inotify_add_watch(fd, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO) >= 0);
    int64_t until = clock_boot_ms() + RIG_WAIT_MS;
    while (!there(arg)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        cr_assert(clock_boot_ms() < until && poll(&p, 1, RIG_WAIT_MS) == 1, "waited in vain for %s", what);
        while (read(fd, events, sizeof events) > 0)
            ;
    }
}

static bool step_there(const void *arg) {
    struct journal journal = rig_journal();
    return journal_has(&journal, *(const enum journal_step *)arg);
}

void rig_await(enum journal_step step) {
    await_change(step_there, &step, "a step of the journal");
}

static bool extended_there(const void *arg) {
    return rig_journal().extended_ms == *(const int64_t *)arg;
}

void rig_await_extended(int64_t run_ms) {
    await_change(extended_there, &run_ms, "a moved deadline in the journal");
}

struct wanted {
    const char *file, *text;
};

static bool output_there(const void *arg) {
    const struct wanted *wanted = arg;
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    rig_output_of(wanted->file, SPOOL_STDOUT, &out, NULL);
    rig_output_of(wanted->file, SPOOL_SYSTEM, &out, NULL);
    return strstr(buf_str(&out), wanted->text) != NULL;
}

void rig_await_output_of(const char *file, const char *text) {
    const struct wanted wanted = {.file = file, .text = text};
    await_change(output_there, &wanted, text);
}

void rig_await_output(const char *text) {
    rig_await_output_of(ATTEMPT_SPOOL, text);
}

void rig_forget_from(enum journal_step step) {
    static const char *const words[] = {
#define X(symbol, word) word,
        JOURNAL_STEP_TABLE(X)
#undef X
    };
    char line[64];
    AUTO_FD int fd = open_dir();
    AUTO_BUF struct buf text = BUF(JOURNAL_BYTES_MAX);
    OK(file_read(fd, ATTEMPT_JOURNAL, JOURNAL_BYTES_MAX, &text, &err));
    snprintf(line, sizeof line, "{\"step\":\"%s\"", words[step]);
    const char *at = strstr(buf_str(&text), line);
    if (!at)
        return;
    AUTO_FD int journal = openat(fd, ATTEMPT_JOURNAL, O_WRONLY | O_CLOEXEC);
    cr_assert_eq(ftruncate(journal, at - text.data), 0);
}

void rig_output(int stream, struct buf *out, int *ret_starts) {
    rig_output_of(ATTEMPT_SPOOL, stream, out, ret_starts);
}

void rig_output_of(const char *file, int stream, struct buf *out, int *ret_starts) {
    AUTO_FD int fd = open_dir();
    AUTO_BUF struct buf raw = BUF(RIG_OUTPUT_MAX);
    int starts = 0;
    file_read(fd, file, RIG_OUTPUT_MAX, &raw, NULL);
    for (size_t at = 0; at < raw.len;) {
        struct spool_header header;
        const unsigned char *payload;
        size_t used = 0;
        enum spool_next next =
            spool_next((unsigned char *)raw.data + at, raw.len - at, &header, &payload, &used);
        if (next == SPOOL_PARTIAL)
            break;
        if (next == SPOOL_RECORD && header.type == SPOOL_OUTPUT && (int)header.stream == stream)
            buf_add(out, payload, header.len);
        starts += next == SPOOL_RECORD && header.type == SPOOL_STARTED;
        at += used;
    }
    if (ret_starts)
        *ret_starts = starts;
}

struct verdict rig_finish(void) {
    rig_start();
    struct control ready = rig_expect(CONTROL_READY);
    control_done(&ready);
    cr_assert_eq(rig_wait(), CHILD_EXIT_DONE);
    struct journal journal = rig_journal();
    cr_assert(journal_has(&journal, JOURNAL_CLEANED));
    return journal.verdict;
}

int rig_shell(const char *command, struct buf *out) {
    AUTO_FREE char *line = mem_printf("RUNNER='%s --state-dir %s'; IMAGE='%s'; %s", BERTH_RUNNER_PATH,
                                      rig.state, rig_image(), command);
    FILE *pipe = popen(line, "re");
    char bytes[4096];
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, pipe)) > 0;)
        buf_add(out, bytes, got);
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}
