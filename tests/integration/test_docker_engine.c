/* The engine client against a real engine: DOCKER_HOST or the default socket. BERTH_TEST_IMAGE names an image
 * with a busybox in it that the engine has already. Everything made here is named docker-test-<pid>-…. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "runner/docker/container.h"
#include "runner/docker/engine.h"
#include "runner/docker/events.h"
#include "runner/docker/image.h"
#include "runner/docker/network.h"
#include "runner/docker/system.h"

enum { CALL_MS = 60 * 1000, SHORT_MS = 300 };

static struct engine *engine;
static struct ctx ctx;
static struct err err;
static char test_name[64];

#define OK(call) cr_assert((call) >= 0, "%s: %s", #call, err.text)
#define REFUSED(call, status)                                                                                \
    cr_assert((call) < 0 && engine_status_is(&err, status), "%s: kind %d code %d: %s", #call, err.kind,      \
              err.code, err.text)

static const char *image(void) {
    const char *name = getenv("BERTH_TEST_IMAGE");
    return name ? name : "busybox:test";
}

static const struct engine_pair label_items[] = {{"io.berth.test", test_name}, {"io.berth.ütf", "a=b,c&d"}};
static const struct engine_pairs labels = {label_items, 2};

static void set_up(void) {
    struct engine_settings settings = {
        .host = getenv("DOCKER_HOST"),
        .tls_verify = getenv("DOCKER_TLS_VERIFY"),
        .cert_path = getenv("DOCKER_CERT_PATH"),
        .api_version = getenv("DOCKER_API_VERSION"),
    };
    snprintf(test_name, sizeof test_name, "docker-test-%d", getpid());
    ctx = ctx_root(NULL);
    ctx_deadline_in(&ctx, CALL_MS);
    OK(engine_open(&settings, &engine, &err));
    OK(engine_negotiate(engine, &ctx, &err));
}

static void tear_down(void) {
    struct ctx fresh = ctx_root(NULL);
    ctx_deadline_in(&fresh, CALL_MS);
    if (!engine || !*engine_api_version(engine)) {
        engine_close(engine);
        return;
    }
    OK(container_remove(engine, &fresh, test_name, true, true, &err));
    OK(network_remove(engine, &fresh, test_name, &err));
    OK(volume_remove(engine, &fresh, test_name, &err));
    engine_close(engine);
}

TestSuite(docker_engine, .init = set_up, .fini = tear_down, .timeout = 120);

static const char *const sh_entrypoint[] = {"/bin/sh", "-c", NULL};

static void create(const char *script, char id[ENGINE_ID_MAX]) {
    const char *cmd[] = {script, NULL};
    struct container_spec spec = {
        .name = test_name,
        .image = image(),
        .entrypoint = sh_entrypoint,
        .cmd = cmd,
        .labels = labels,
        .network_mode = "none",
    };
    OK(container_create(engine, &ctx, &spec, id, &err));
}

Test(docker_engine, knows_its_engine) {
    struct system_info info;
    OK(system_info(engine, &ctx, &info, &err));
    cr_assert(info.ncpu > 0);
    cr_assert(info.mem_total_bytes > 1024 * 1024);
    cr_assert(info.cgroup_version == 1 || info.cgroup_version == 2);
    cr_assert(info.server_version[0] && info.cgroup_driver[0] && info.id[0]);
    cr_assert(strncmp(engine_api_version(engine), "1.", 2) == 0);
}

Test(docker_engine, runs_a_container_to_its_exit_code) {
    char id[ENGINE_ID_MAX];
    struct container_exit end;
    int64_t before_us = clock_real_us();
    create("exit 7", id);
    OK(container_start(engine, &ctx, id, &err));
    OK(container_wait(engine, &ctx, id, &end, &err));
    cr_assert_eq(end.status_code, 7);
    cr_assert_str_eq(end.error, "");
    AUTO_CONTAINER_INFO struct container_info info = {0};
    OK(container_inspect(engine, &ctx, test_name, &info, &err));
    cr_assert_str_eq(info.id, id);
    cr_assert_str_eq(info.name, test_name);
    cr_assert_str_eq(info.status, "exited");
    cr_assert_str_eq(container_label(info.labels, "io.berth.ütf"), "a=b,c&d");
    cr_assert(!info.running && !info.paused && !info.oom_killed);
    cr_assert_eq(info.exit_code, 7);
    cr_assert(info.created_us > before_us - 10 * US_PER_S && info.started_us >= info.created_us &&
                  info.finished_us >= info.created_us,
              "%" PRId64 " %" PRId64 " %" PRId64, info.created_us, info.started_us, info.finished_us);
    OK(container_start(engine, &ctx, id, &err));
    OK(container_remove(engine, &ctx, id, true, true, &err));
    OK(container_remove(engine, &ctx, id, true, true, &err)); /* 404 */
}

Test(docker_engine, start_twice_is_fine_and_kill_tells_what_is_wrong) {
    char id[ENGINE_ID_MAX];
    struct container_exit end;
    create("trap 'exit 9' TERM; while :; do sleep 1; done", id);
    REFUSED(container_kill(engine, &ctx, id, "SIGTERM", &err), 409);
    OK(container_start(engine, &ctx, id, &err));
    OK(container_start(engine, &ctx, id, &err)); /* 304 */
    REFUSED(container_remove(engine, &ctx, id, false, false, &err), 409);
    {
        AUTO_CONTAINER_INFO struct container_info info = {0};
        OK(container_inspect(engine, &ctx, id, &info, &err));
        cr_assert(info.running && info.pid > 0 && info.finished_us == 0);
    }
    OK(container_kill(engine, &ctx, id, "SIGKILL", &err));
    OK(container_wait(engine, &ctx, id, &end, &err));
    cr_assert_eq(end.status_code, 137);
    REFUSED(container_kill(engine, &ctx, id, "SIGTERM", &err), 409);
    REFUSED(container_kill(engine, &ctx, "docker-test-absent", "SIGTERM", &err), 404);
    REFUSED(container_start(engine, &ctx, "docker-test-absent", &err), 404);
    REFUSED(container_wait(engine, &ctx, "docker-test-absent", &end, &err), 404);
    cr_assert(strstr(err.text, "POST /containers/docker-test-absent/wait: ") &&
                  strstr(err.text, "No such container") && !strchr(err.text, '?'),
              "%s", err.text);
}

Test(docker_engine, pauses_and_unpauses) {
    char id[ENGINE_ID_MAX];
    create("while :; do sleep 1; done", id);
    OK(container_start(engine, &ctx, id, &err));
    OK(container_pause(engine, &ctx, id, &err));
    AUTO_CONTAINER_INFO struct container_info info = {0};
    OK(container_inspect(engine, &ctx, id, &info, &err));
    cr_assert(info.paused);
    OK(container_unpause(engine, &ctx, id, &err));
}

Test(docker_engine, a_name_is_given_once) {
    char id[ENGINE_ID_MAX];
    create("true", id);
    struct container_spec spec = {.name = test_name, .image = image(), .entrypoint = sh_entrypoint};
    REFUSED(container_create(engine, &ctx, &spec, id, &err), 409);
    spec.name = "docker-test-no-image";
    spec.image = "docker-test-absent:none";
    REFUSED(container_create(engine, &ctx, &spec, id, &err), 404);
}

Test(docker_engine, limits_and_confinement_arrive) {
    /* Every check is made inside, by what the kernel says. */
    static const char script[] =
        "set -e\n"
        "[ $(id -u):$(id -g) = 1000:1000 ]\n"
        "[ $(pwd) = /tmp ]\n"
        "[ $(hostname) = quay ]\n"
        "[ $(ulimit -n) = 512 ]\n"
        "grep -q 'NoNewPrivs:.1' /proc/self/status\n"
        "grep -q 'CapBnd:.0000000000000400' /proc/self/status\n" /* NET_BIND_SERVICE */
        "[ $(cat /proc/self/oom_score_adj) = 321 ]\n"
        "if touch /x 2>/dev/null; then exit 21; fi\n"
        "touch /scratch/x\n"
        "mount | grep ' on /scratch ' | grep -q size=1024k\n"
        "mount | grep ' on /dev/shm ' | grep -q size=2048k\n"
        "touch /vol/x 2>/dev/null && exit 22\n"
        "cat /bound | grep -q here\n"
        "[ -z \"$(ls /proc/1/root/sys/class/net | grep -v lo)\" ]\n"
        "exit 33\n";
    const char *cmd[] = {script, NULL};
    static const char *const caps[] = {"NET_BIND_SERVICE", NULL};
    static const struct engine_pair tmpfs[] = {{"/scratch", "size=1m,mode=1777"}};
    char bound[] = "/tmp/docker-test-bound-XXXXXX";
    AUTO_FD int fd = mkstemp(bound);
    cr_assert(fd >= 0 && write(fd, "here\n", 5) == 5 && fchmod(fd, 0644) == 0);
    struct container_mount mounts[] = {
        {CONTAINER_MOUNT_VOLUME, test_name, "/vol", true, 0},
        {CONTAINER_MOUNT_BIND, bound, "/bound", true, 0},
        {CONTAINER_MOUNT_TMPFS, NULL, "/ram", false, 1 << 20},
    };
    struct container_spec spec = {
        .name = test_name,
        .image = image(),
        .entrypoint = sh_entrypoint,
        .cmd = cmd,
        .user = "1000:1000",
        .workdir = "/tmp",
        .hostname = "quay",
        .stop_signal = "SIGUSR1",
        .labels = labels,
        .memory_bytes = 64 << 20,
        .nano_cpus = 500 * 1000 * 1000,
        .pids_limit = 32,
        .shm_bytes = 2 << 20,
        .nofile = 512,
        .oom_score_adj = 321,
        .read_only = true,
        .cap_add = caps,
        .tmpfs = {tmpfs, 1},
        .mounts = mounts,
        .mount_count = 3,
        .network_mode = "none",
    };
    char id[ENGINE_ID_MAX];
    struct container_exit end;
    OK(container_create(engine, &ctx, &spec, id, &err));
    OK(container_start(engine, &ctx, id, &err));
    OK(container_wait(engine, &ctx, id, &end, &err));
    unlink(bound);
    OK(container_remove(engine, &ctx, id, true, true, &err));
    OK(volume_remove(engine, &ctx, test_name, &err));
    cr_assert_eq(end.status_code, 33);
}

Test(docker_engine, a_command_that_is_not_there) {
    static const char *const nothing[] = {"/no/such/thing", NULL};
    struct container_spec spec = {
        .name = test_name, .image = image(), .entrypoint = nothing, .network_mode = "none"};
    char id[ENGINE_ID_MAX];
    OK(container_create(engine, &ctx, &spec, id, &err));
    REFUSED(container_start(engine, &ctx, id, &err), 400);
    AUTO_CONTAINER_INFO struct container_info info = {0};
    OK(container_inspect(engine, &ctx, id, &info, &err));
    cr_assert(info.exit_code == 127 && info.error[0] && !info.running);
}

static void cancel_ctx(void *arg) {
    ctx_cancel(arg);
}

Test(docker_engine, cancel_ends_a_wait_at_once) {
    char id[ENGINE_ID_MAX];
    struct container_exit end;
    create("while :; do sleep 1; done", id);
    OK(container_start(engine, &ctx, id, &err));
    AUTO_FD int fd = eventfd(1, EFD_CLOEXEC); /* readable from the first moment on */
    struct ctx waiting;
    struct ctx_watch watch = {fd, cancel_ctx, &waiting};
    waiting = ctx_root(&watch);
    cr_assert(container_wait(engine, &waiting, id, &end, &err) < 0);
    cr_assert_eq(err.kind, ERR_CANCELED, "%s", err.text);
    OK(container_kill(engine, &ctx, id, "SIGKILL", &err));
    OK(container_wait(engine, &ctx, id, &end, &err));
    cr_assert_eq(end.status_code, 137);
}

Test(docker_engine, a_deadline_ends_a_wait) {
    char id[ENGINE_ID_MAX];
    struct container_exit end;
    create("while :; do sleep 1; done", id);
    OK(container_start(engine, &ctx, id, &err));
    struct ctx waiting = ctx_child(&ctx);
    ctx_deadline_in(&waiting, SHORT_MS);
    cr_assert(container_wait(engine, &waiting, id, &end, &err) < 0);
    cr_assert_eq(err.kind, ERR_DEADLINE, "%s", err.text);
    cr_assert(container_wait(engine, &waiting, id, &end, &err) < 0, "an ended context starts nothing");
    cr_assert_eq(err.kind, ERR_DEADLINE, "%s", err.text);
}

struct killer {
    int fd;
    char id[ENGINE_ID_MAX];
    int result;
};

static void kill_inside(void *arg) {
    struct killer *killer = arg;
    uint64_t count;
    cr_assert(read(killer->fd, &count, sizeof count) == sizeof count);
    killer->result = container_kill(engine, &ctx, killer->id, "SIGKILL", &err);
}

Test(docker_engine, a_watch_may_call_the_engine_inside_a_call) {
    struct killer killer = {.fd = eventfd(1, EFD_CLOEXEC), .result = -1};
    struct container_exit end;
    create("while :; do sleep 1; done", killer.id);
    OK(container_start(engine, &ctx, killer.id, &err));
    struct ctx_watch watch = {killer.fd, kill_inside, &killer};
    struct ctx waiting = ctx_root(&watch);
    ctx_deadline_in(&waiting, CALL_MS);
    OK(container_wait(engine, &waiting, killer.id, &end, &err));
    cr_assert_eq(killer.result, 0);
    cr_assert_eq(end.status_code, 137);
    close(killer.fd);
}

Test(docker_engine, lists_by_label) {
    char id[ENGINE_ID_MAX];
    create("true", id);
    AUTO_CONTAINER_LIST struct container_list all = {0}, running = {0}, other = {0}, any = {0};
    OK(container_list(engine, &ctx, labels, true, &all, &err));
    cr_assert_eq(all.count, 1);
    cr_assert_str_eq(all.items[0].id, id);
    cr_assert_str_eq(all.items[0].name, test_name);
    cr_assert_str_eq(all.items[0].state, "created");
    cr_assert_str_eq(container_label(all.items[0].labels, "io.berth.test"), test_name);
    cr_assert(all.items[0].created_us > 0);
    OK(container_list(engine, &ctx, labels, false, &running, &err));
    cr_assert_eq(running.count, 0);
    struct engine_pair not_ours[] = {{"io.berth.test", test_name}, {"io.berth.ütf", "other"}};
    OK(container_list(engine, &ctx, (struct engine_pairs){not_ours, 2}, true, &other, &err));
    cr_assert_eq(other.count, 0);
    struct engine_pair key_only[] = {{"io.berth.test", test_name}, {"io.berth.ütf", NULL}};
    OK(container_list(engine, &ctx, (struct engine_pairs){key_only, 2}, true, &any, &err));
    cr_assert_eq(any.count, 1);
    container_list_done(&running);
    container_list_done(&other);
    container_list_done(&any);
}

Test(docker_engine, networks_come_and_go) {
    static const struct engine_pair options[] = {{"com.docker.network.bridge.enable_icc", "false"}};
    struct network_spec spec = {
        .name = test_name, .internal = true, .options = {options, 1}, .labels = labels};
    char id[ENGINE_ID_MAX], twice[ENGINE_ID_MAX];
    spec.subnet = "10.213.77.0/24";
    spec.gateway = "10.213.77.9";
    OK(network_create(engine, &ctx, &spec, id, &err));
    REFUSED(network_create(engine, &ctx, &spec, twice, &err), 409);

    static const char *const aliases[] = {"db", NULL};
    const char *cmd[] = {"nslookup db 127.0.0.11 | grep -q 10.213.77.", NULL};
    struct container_spec container = {
        .name = test_name,
        .image = image(),
        .entrypoint = sh_entrypoint,
        .cmd = cmd,
        .network_mode = test_name,
        .network_aliases = aliases,
    };
    char container_id[ENGINE_ID_MAX];
    struct container_exit end;
    OK(container_create(engine, &ctx, &container, container_id, &err));
    OK(container_start(engine, &ctx, container_id, &err));
    OK(container_wait(engine, &ctx, container_id, &end, &err));
    cr_expect_eq(end.status_code, 0, "a container finds its own alias");
    OK(container_remove(engine, &ctx, container_id, true, true, &err));

    AUTO_NETWORK_INFO struct network_info info = {0};
    AUTO_NETWORK_LIST struct network_list list = {0};
    OK(network_inspect(engine, &ctx, test_name, &info, &err));
    cr_assert_str_eq(info.id, id);
    cr_assert_str_eq(info.driver, "bridge");
    cr_assert_str_eq(info.subnet, "10.213.77.0/24");
    cr_assert_str_eq(info.gateway, "10.213.77.9");
    cr_assert(info.internal && json_object_size(info.containers) == 0 && info.created_us > 0);
    cr_assert_str_eq(container_label(info.options, "com.docker.network.bridge.enable_icc"), "false");
    OK(network_list(engine, &ctx, labels, &list, &err));
    cr_assert_eq(list.count, 1);
    cr_assert_str_eq(list.items[0].id, id);
    OK(network_remove(engine, &ctx, id, &err));
    OK(network_remove(engine, &ctx, id, &err));
    REFUSED(network_inspect(engine, &ctx, id, &info, &err), 404);
}

Test(docker_engine, volumes_come_and_go) {
    AUTO_VOLUME_LIST struct volume_list list = {0}, none = {0};
    OK(volume_create(engine, &ctx, test_name, labels, &err));
    OK(volume_create(engine, &ctx, test_name, labels, &err));
    OK(volume_list(engine, &ctx, labels, &list, &err));
    cr_assert_eq(list.count, 1);
    cr_assert_str_eq(list.items[0].name, test_name);
    cr_assert_str_eq(container_label(list.items[0].labels, "io.berth.test"), test_name);
    cr_assert(list.items[0].created_us > 0);
    OK(volume_remove(engine, &ctx, test_name, &err));
    OK(volume_remove(engine, &ctx, test_name, &err));
    OK(volume_list(engine, &ctx, labels, &none, &err));
    cr_assert_eq(none.count, 0);
    volume_list_done(&none);
}

/* A tar archive of one empty file. */
static void make_tar(char tar[2048]) {
    memset(tar, 0, 2048);
    snprintf(tar, 100, "hello");
    memcpy(tar + 100, "0000644", 8);
    memcpy(tar + 108, "0000000", 8);
    memcpy(tar + 116, "0000000", 8);
    memcpy(tar + 124, "00000000000", 12);
    memcpy(tar + 136, "00000000000", 12);
    tar[156] = '0';
    memcpy(tar + 257, "ustar\00000", 8);
    memset(tar + 148, ' ', 8);
    unsigned sum = 0;
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)tar[i];
    snprintf(tar + 148, 8, "%06o", sum);
}

Test(docker_engine, imports_an_image_and_knows_it_again) {
    static const struct engine_pair odd[] = {{"io.berth.odd", "a \"b\" $HOME \\n ü"}};
    static const char *const changes[] = {"ENTRYPOINT [\"/hello\", \"x y\"]", "USER 12:34", "ENV A=b",
                                          "WORKDIR /w", NULL};
    char tar[2048], ref[128];
    AUTO_FREE char *id = NULL;
    make_tar(tar);
    snprintf(ref, sizeof ref, "%s:probe", test_name);
    OK(image_import(engine, &ctx, tar, sizeof tar, test_name, "probe", changes, (struct engine_pairs){odd, 1},
                    &id, &err));
    AUTO_IMAGE_INFO struct image_info info = {0}, gone = {0};
    OK(image_inspect(engine, &ctx, ref, &info, &err));
    cr_expect_str_eq(info.id, id);
    cr_expect_str_eq(json_string_value(json_array_get(info.entrypoint, 1)), "x y");
    cr_expect_str_eq(json_string_value(json_array_get(info.env, 0)), "A=b");
    cr_expect_eq(json_array_size(info.cmd), 0);
    cr_expect_str_eq(info.user, "12:34");
    cr_expect_str_eq(info.workdir, "/w");
    cr_expect_str_eq(info.stop_signal, "");
    cr_expect_str_eq(container_label(info.labels, "io.berth.odd"), "a \"b\" $HOME \\n ü");
    cr_expect(!info.has_healthcheck);
    OK(image_remove(engine, &ctx, ref, false, &err));
    OK(image_remove(engine, &ctx, ref, false, &err));
    REFUSED(image_inspect(engine, &ctx, ref, &gone, &err), 404);
}

Test(docker_engine, an_import_that_is_no_tar) {
    AUTO_FREE char *id = NULL;
    static const char nonsense[1024] = "this is not an archive";
    cr_assert(image_import(engine, &ctx, nonsense, sizeof nonsense, test_name, "bad", NULL,
                           (struct engine_pairs){0}, &id, &err) < 0);
    cr_assert_eq(err.kind, ERR_ENGINE, "%s", err.text);
}

Test(docker_engine, a_pull_from_where_nobody_listens) {
    cr_assert(image_pull(engine, &ctx, "127.0.0.1:9/x/y:z", NULL, NULL, NULL, &err) < 0);
    cr_assert_eq(err.kind, ERR_ENGINE, "%s", err.text);
    cr_assert_eq(image_pull_failure(&err), IMAGE_FAILED, "%s", err.text);
}

/* Reads until the container's "die"; counts what passes. */
static void expect_life(struct events *events, const char *id, const char *exit_code) {
    static const char *const expected[] = {"create", "start", "kill", "die"};
    for (size_t at = 0; at < ARRAY_LEN(expected);) {
        AUTO_EVENT struct event event = {0};
        int there = events_next(events, &ctx, &event, &err);
        cr_assert(there == 1, "waiting for %s: %d %s", expected[at], there, there < 0 ? err.text : "");
        cr_assert_str_eq(event.type, "container");
        cr_assert_str_eq(event.id, id);
        cr_assert_str_eq(container_label(event.attributes, "io.berth.test"), test_name);
        cr_assert(event.time_ns > 0);
        if (strcmp(event.action, "attach") == 0 || strcmp(event.action, "exec_die") == 0)
            continue;
        cr_assert_str_eq(event.action, expected[at]);
        if (strcmp(event.action, "kill") == 0)
            cr_assert_str_eq(container_label(event.attributes, "signal"), "9");
        if (strcmp(event.action, "die") == 0)
            cr_assert_str_eq(container_label(event.attributes, "exitCode"), exit_code);
        at++;
    }
}

Test(docker_engine, events_tell_a_life_as_it_happens_and_afterwards) {
    static const char *const types[] = {"container", NULL};
    char id[ENGINE_ID_MAX];
    struct container_exit end;
    struct events_query query = {.labels = labels, .types = types, .since_us = clock_real_us()};
    AUTO_EVENTS struct events *live = NULL, *past = NULL, *nothing = NULL;
    OK(events_open(engine, &ctx, &query, &live, &err));
    struct ctx moment = ctx_child(&ctx);
    ctx_deadline_in(&moment, SHORT_MS);
    struct event event;
    cr_assert(events_next(live, &moment, &event, &err) < 0 && err.kind == ERR_DEADLINE, "%s", err.text);

    create("while :; do sleep 1; done", id);
    OK(container_start(engine, &ctx, id, &err));
    OK(container_kill(engine, &ctx, id, "SIGKILL", &err));
    OK(container_wait(engine, &ctx, id, &end, &err));
    expect_life(live, id, "137");

    const char *containers[] = {id, NULL};
    query.until_us = clock_real_us();
    query.containers = containers;
    OK(events_open(engine, &ctx, &query, &past, &err));
    expect_life(past, id, "137");
    cr_assert(events_next(past, &ctx, &event, &err) == 0);

    static const char *const actions[] = {"oom", NULL};
    query.actions = actions;
    OK(events_open(engine, &ctx, &query, &nothing, &err));
    cr_assert(events_next(nothing, &ctx, &event, &err) == 0);
    events_close(STEAL(past));
    events_close(STEAL(nothing));
}
