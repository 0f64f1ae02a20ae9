/* A network that a runner asks for while the engine is still busy making it for one that is dead. Needs to be
 * root. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fdutil.h"
#include "base/id.h"
#include "base/mem.h"
#include "proto/labels.h"
#include "runner/docker/network.h"
#include "runner/net/net.h"
#include "runner_rig.h"
#include "tests/support/fake_engine.h"

#define POOL "10.214.9.0/24"

enum { AT_ONCE = 6, BODY_MAX = 1024, SHORT_MS = 300 };

static struct err err;
static struct net_place place;
static struct fake_engine fake;
static char job[ATTEMPT_ID_MAX];

#define OK(call) cr_assert((call) >= 0, "%s: %s", #call, err.text)

static void begin(void) {
    rig_begin();
    id_new_v7(job);
    place = (struct net_place){.engine = rig.engine,
                               .cluster = rig.cluster,
                               .instance = "test",
                               .job = job,
                               .number = 1,
                               .token = 7,
                               .pool = POOL,
                               .lock_dir_fd = rig.attempts_fd};
}

static void end(void) {
    if (fake.pid)
        fake_engine_stop(&fake);
    rig_end();
}

TestSuite(net_taken, .init = begin, .fini = end, .timeout = 120);

/* --- on a real engine --- */

static int make_both(char private[ENGINE_ID_MAX], char egress[ENGINE_ID_MAX]) {
    return net_private_ensure(&place, &rig.ctx, private, &err) < 0 ||
                   net_egress_ensure(&place, &rig.ctx, egress, &err) < 0
               ? -1
               : 0;
}

/* In a process with an engine and a lock of its own: what a runner that was killed has left at the engine
 * holds no lock either. */
static int make_alone(int lock_fd, int out_fd) {
    const struct engine_settings settings = {.host = getenv("DOCKER_HOST")};
    char ids[2][ENGINE_ID_MAX] = {"", ""};
    place.lock_dir_fd = lock_fd;
    int made =
        engine_open(&settings, &place.engine, &err) < 0 || engine_negotiate(place.engine, &rig.ctx, &err) < 0
            ? -1
            : make_both(ids[0], ids[1]);
    if (made < 0)
        fprintf(stderr, "%s\n", err.text);
    return made < 0 || fd_write_all(out_fd, ids, sizeof ids, NULL) < 0;
}

Test(net_taken, several_who_want_the_same_at_once_share_one) {
    pid_t pids[AT_ONCE];
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    for (int i = 0; i < AT_ONCE; i++) {
        AUTO_FREE char *dir = mem_printf("%s/lock%d", rig.state, i);
        OK(dir_make(dir, 0700, &err));
        AUTO_FD int lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (!(pids[i] = fork()))
            _exit(make_alone(lock_fd, ends[1]));
    }
    for (int i = 0; i < AT_ONCE; i++) {
        int status;
        cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
        cr_expect_eq(status, 0);
    }
    close(ends[1]);
    char first[2][ENGINE_ID_MAX] = {"", ""}, next[2][ENGINE_ID_MAX];
    for (int i = 0; i < AT_ONCE; i++) {
        cr_assert_eq(read(ends[0], i ? next : first, sizeof first), (ssize_t)sizeof first);
        cr_expect(!i || memcmp(first, next, sizeof first) == 0, "%s, %s", first[0], next[0]);
    }
    AUTO_NETWORK_LIST struct network_list list = {0};
    const struct engine_pair label = {LABEL_CLUSTER, rig.cluster};
    OK(network_list(rig.engine, &rig.ctx, (struct engine_pairs){&label, 1}, &list, &err));
    cr_expect_eq(list.count, 2, "%zu", list.count);
    OK(net_private_remove(&place, &rig.ctx, &err));
}

/* --- on one that takes its time --- */

static char ours[BODY_MAX], foreign[BODY_MAX];

static void make_bodies(const char *name, const char *role) {
    snprintf(ours, BODY_MAX,
             "[{\"Id\":\"4711\",\"Name\":\"%s\",\"Labels\":{\"" LABEL_CLUSTER "\":\"%s\",\"" LABEL_ROLE
             "\":\"%s\"}},{\"Id\":\"4712\",\"Name\":\"%s\"},{\"Id\":\"4713\",\"Name\":\"another\"}]",
             name, rig.cluster, role, name);
    snprintf(foreign, BODY_MAX, "{\"Id\":\"1\",\"Name\":\"%s\"}", name);
}

static void play(const struct fake_route *routes, size_t count) {
    fake_engine_route(&fake, routes, count);
    const struct engine_settings settings = {.host = fake.host, .api_version = "1.41"};
    OK(engine_open(&settings, &place.engine, &err));
}

#define LIST "GET /v1.41/networks?"
#define CREATE "POST /v1.41/networks/create"
#define INSPECT "GET /v1.41/networks/"
#define EXISTS "{\"message\":\"network with name x already exists\"}"
#define SAME_BRIDGE                                                                                          \
    "{\"message\":\"cannot create network 1 (brth): conflicts with network 2 (brth): networks have same "    \
    "bridge name\"}"

/* Before it can be seen, its name is taken, or its bridge. */
static void expect_found(bool egress, const char *status, const char *body) {
    char name[LABELS_NAME_MAX], id[ENGINE_ID_MAX] = "";
    if (egress)
        labels_egress_network(rig.cluster, name);
    else
        labels_private_network(job, 1, name);
    make_bodies(name, egress ? ROLE_NETWORK : ROLE_PRIVATE);
    const struct fake_route routes[] = {
        {.begins = LIST, .times = 4, .status = "200 OK", .body = "[]"},
        {.begins = LIST, .status = "200 OK", .body = ours},
        {.begins = CREATE, .times = 1, .status = status, .body = body},
        {.begins = INSPECT, .status = "404 Not Found", .body = "{}"},
    };
    play(routes, ARRAY_LEN(routes));
    int got = egress ? net_egress_ensure(&place, &rig.ctx, id, &err)
                     : net_private_ensure(&place, &rig.ctx, id, &err);
    cr_assert_geq(got, 0, "%s", err.text);
    cr_expect_str_eq(id, "4711");
    engine_close(place.engine);
}

Test(net_taken, private_name) {
    expect_found(false, "409 Conflict", EXISTS);
}

Test(net_taken, private_bridge) {
    expect_found(false, "403 Forbidden", SAME_BRIDGE);
}

Test(net_taken, egress_name) {
    expect_found(true, "409 Conflict", EXISTS);
}

Test(net_taken, egress_bridge) {
    expect_found(true, "403 Forbidden", SAME_BRIDGE);
}

/* Someone else has the name: nothing is waited for. */
Test(net_taken, by_a_foreign_one) {
    char name[LABELS_NAME_MAX], id[ENGINE_ID_MAX] = "";
    make_bodies(labels_private_network(job, 1, name), ROLE_PRIVATE);
    const struct fake_route routes[] = {
        {.begins = LIST, .status = "200 OK", .body = "[]"},
        {.begins = CREATE, .times = 1, .status = "409 Conflict", .body = EXISTS},
        {.begins = INSPECT, .status = "200 OK", .body = foreign},
    };
    play(routes, ARRAY_LEN(routes));
    cr_assert_lt(net_private_ensure(&place, &rig.ctx, id, &err), 0);
    cr_expect(engine_status_is(&err, 409) && strstr(err.text, name), "%s", err.text);
    engine_close(place.engine);
}

/* It never appears: the waiting ends with the context. */
Test(net_taken, by_what_never_appears) {
    char name[LABELS_NAME_MAX], id[ENGINE_ID_MAX] = "";
    make_bodies(labels_private_network(job, 1, name), ROLE_PRIVATE);
    const struct fake_route routes[] = {
        {.begins = LIST, .status = "200 OK", .body = "[]"},
        {.begins = CREATE, .times = 1, .status = "409 Conflict", .body = EXISTS},
        {.begins = INSPECT, .status = "404 Not Found", .body = "{}"},
    };
    play(routes, ARRAY_LEN(routes));
    struct ctx ctx = ctx_child(&rig.ctx);
    ctx_deadline_in(&ctx, SHORT_MS);
    cr_assert_lt(net_private_ensure(&place, &ctx, id, &err), 0);
    cr_expect_eq(err.kind, ERR_DEADLINE, "%s: %s", err_kind_name(err.kind), err.text);
    engine_close(place.engine);
}

/* --- the removal --- */

/* Engines before API 1.44 let two networks of one name come into being; each of ours goes. */
Test(net_taken, all_of_the_name_are_removed) {
    char name[LABELS_NAME_MAX], id[ENGINE_ID_MAX];
    const struct engine_pair labels[] = {
        {LABEL_CLUSTER, rig.cluster}, {LABEL_ROLE, ROLE_PRIVATE}, {LABEL_JOB, job}, {LABEL_ATTEMPT, "1"}};
    static char two[2 * BODY_MAX];
    labels_private_network(job, 1, name);
    OK(net_private_ensure(&place, &rig.ctx, id, &err));
    AUTO_FREE char *line =
        mem_printf("docker network create --label " LABEL_CLUSTER "=%s --label " LABEL_ROLE "=" ROLE_PRIVATE
                   " --label " LABEL_JOB "=%s --label " LABEL_ATTEMPT "=2 other-%.8s",
                   rig.cluster, job, rig.cluster);
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    cr_assert_eq(rig_shell(line, &out), 0);
    OK(net_private_remove(&place, &rig.ctx, &err));
    AUTO_NETWORK_LIST struct network_list list = {0};
    OK(network_list(rig.engine, &rig.ctx, (struct engine_pairs){labels, 3}, &list, &err));
    cr_expect(list.count == 1 && strncmp(list.items[0].name, "other-", 6) == 0, "another attempt's stays");
    OK(network_remove(rig.engine, &rig.ctx, list.items[0].id, &err));

    snprintf(two, sizeof two, "[{\"Id\":\"1\",\"Name\":\"%s\"},{\"Id\":\"2\",\"Name\":\"%s\"}]", name, name);
    const struct fake_route routes[] = {
        {.begins = "DELETE /v1.41/networks/1 ", .times = 1, .status = "204 No Content"},
        {.begins = "DELETE /v1.41/networks/2 ", .times = 1, .after = 1, .status = "204 No Content"},
        {.begins = LIST, .after = 2, .status = "200 OK", .body = "[]"},
        {.begins = LIST, .status = "200 OK", .body = two},
    };
    play(routes, ARRAY_LEN(routes));
    OK(net_private_remove(&place, &rig.ctx, &err));
    AUTO_NETWORK_LIST struct network_list none = {0};
    OK(network_list(place.engine, &rig.ctx, (struct engine_pairs){0}, &none, &err));
    cr_expect_eq(none.count, 0, "both were removed");
    engine_close(place.engine);
}
