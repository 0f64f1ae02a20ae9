/* The networks of jobs and what the packet filter keeps them from, on a real engine. Needs to be root. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/id.h"
#include "base/mem.h"
#include "proto/labels.h"
#include "runner/docker/network.h"
#include "runner/net/net.h"
#include "runner_rig.h"

/* A network namespace that stands for the world outside: 198.51.100.0/24 is for documentation (RFC 5737). */
#define OUTSIDE "berth-test-outside"
#define HOST_LINK "berth-test0"
#define HOST_IP "198.51.100.1"
#define OUTSIDE_IP "198.51.100.2"
#define METADATA_IP "169.254.77.7"
#define POOL "10.214.7.0/24"

enum { AT_ONCE = 8 };

static struct err err;
static struct net_place place;
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

static int sh(struct buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int sh(struct buf *out, const char *fmt, ...) {
    AUTO_FREE char *line = NULL;
    AUTO_BUF struct buf unwanted = BUF(RIG_OUTPUT_MAX);
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&line, fmt, args);
    va_end(args);
    cr_assert_gt(len, 0);
    return rig_shell(line, out ? out : &unwanted);
}

static void unmake_outside(void) {
    sh(NULL, "ip link del " HOST_LINK " 2>/dev/null; ip netns del " OUTSIDE " 2>/dev/null");
}

static void end(void) {
    net_filter_set(rig.cluster, false, NULL, NULL);
    rig_end();
}

TestSuite(net, .init = begin, .fini = end, .timeout = 120);

/* A container that lives on, on that network. */
static void make_container(const char *name, const char *network, const char *command) {
    cr_assert_eq(sh(NULL, "docker run -d --label " LABEL_CLUSTER "=%s --network %s --name %s $IMAGE %s",
                    rig.cluster, network, name, command),
                 0);
}

static bool reaches(const char *container, const char *ip, int port) {
    return sh(NULL, "docker exec %s nc -w 2 %s %d -e true 2>/dev/null", container, ip, port) == 0;
}

/* Listens on every address of the present network namespace; connections are made without being taken. */
static int listen_anywhere(int port, int *ret_port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(fd, 64), 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static int make_outside(int port) {
    unmake_outside();
    cr_assert_eq(sh(NULL, "exec 2>&1; ip netns add " OUTSIDE " && ip link add " HOST_LINK
                          " type veth peer name eth0 netns " OUTSIDE " && ip addr add " HOST_IP
                          "/24 dev " HOST_LINK " && ip link set " HOST_LINK " up && ip -n " OUTSIDE
                          " addr add " OUTSIDE_IP "/24 dev eth0"
                          " && ip -n " OUTSIDE " addr add " METADATA_IP "/32 dev eth0 && ip -n " OUTSIDE
                          " link set eth0 up && ip -n " OUTSIDE " route add default via " HOST_IP
                          " && ip route add " METADATA_IP "/32 via " OUTSIDE_IP),
                 0);
    AUTO_FD int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    AUTO_FD int there = open("/var/run/netns/" OUTSIDE, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(setns(there, CLONE_NEWNET), 0);
    int fd = listen_anywhere(port, &port);
    cr_assert_eq(setns(here, CLONE_NEWNET), 0);
    return fd;
}

static bool host_reaches(const char *ip, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval patience = {.tv_sec = 2};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience); /* also of connect, socket(7) */
    inet_pton(AF_INET, ip, &to.sin_addr);
    return connect(fd, (struct sockaddr *)&to, sizeof to) == 0;
}

Test(net, jobs_are_kept_from_the_host) {
    char id[ENGINE_ID_MAX], name[64], allow[64];
    int port;
    AUTO_FD int host_fd = listen_anywhere(0, &port);
    AUTO_FD int outside_fd = make_outside(port);
    AUTO_NETWORK_INFO struct network_info info = {0};
    OK(net_egress_ensure(&place, &rig.ctx, id, &err));
    OK(network_inspect(rig.engine, &rig.ctx, id, &info, &err));
    snprintf(name, sizeof name, "%.8s-a", rig.cluster);
    make_container(name, id, "httpd -f -p 80");

    OK(net_filter_set(rig.cluster, true, NULL, &err));
    cr_expect(net_filter_is_set(rig.cluster));
    cr_expect(net_filter_reaches(rig.engine, &rig.ctx));
    cr_expect_not(reaches(name, info.gateway, port), "the gateway's port");
    cr_expect_not(reaches(name, HOST_IP, port), "another address of the host");
    cr_expect_not(reaches(name, METADATA_IP, port), "a service of the cloud");
    cr_expect(reaches(name, OUTSIDE_IP, port), "the world outside");
    AUTO_BUF struct buf ip = BUF(RIG_OUTPUT_MAX);
    sh(&ip, "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' %s | tr -d '\\n'",
       name);
    cr_expect(host_reaches(buf_str(&ip), 80), "answers to the host's own connections");

    snprintf(allow, sizeof allow, "%s:%d, " METADATA_IP, info.gateway, port);
    OK(net_filter_set(rig.cluster, true, allow, &err));
    cr_expect(reaches(name, info.gateway, port), "allowed");
    cr_expect(reaches(name, METADATA_IP, port), "allowed");
    cr_expect_not(reaches(name, HOST_IP, port), "another address than the one that is allowed");
    snprintf(allow, sizeof allow, "%s:%d", info.gateway, port ^ 1);
    OK(net_filter_set(rig.cluster, true, allow, &err));
    cr_expect_not(reaches(name, info.gateway, port), "another port than the one that is allowed");

    OK(net_filter_set(rig.cluster, false, NULL, &err));
    cr_expect_not(net_filter_is_set(rig.cluster));
    cr_expect(reaches(name, info.gateway, port), "without the rules");
    cr_expect(reaches(name, METADATA_IP, port), "without the rules");
    OK(net_filter_set(rig.cluster, false, NULL, &err));
    unmake_outside(); /* here, not in end(): the suite's other tests run beside this one */
    sh(NULL, "docker rm -f %s", name);
}

Test(net, containers_see_each_other_on_private_networks_only) {
    char egress[ENGINE_ID_MAX], private[ENGINE_ID_MAX], a[16], b[16];
    OK(net_filter_set(rig.cluster, true, NULL, &err));
    OK(net_egress_ensure(&place, &rig.ctx, egress, &err));
    OK(net_private_ensure(&place, &rig.ctx, private, &err));
    snprintf(a, sizeof a, "%.8s-a", rig.cluster);
    snprintf(b, sizeof b, "%.8s-b", rig.cluster);
    for (int i = 0; i < 2; i++) {
        AUTO_BUF struct buf ip = BUF(RIG_OUTPUT_MAX);
        make_container(a, i ? private : egress, "httpd -f -p 80");
        make_container(b, i ? private : egress, "sleep 600");
        sh(&ip,
           "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' %s | tr -d '\\n'",
           a);
        cr_expect_eq(reaches(b, buf_str(&ip), 80), i == 1, "%s", i ? "private" : "egress");
        cr_expect(i == 0 || reaches(b, a, 80), "by name");
        sh(NULL, "docker rm -f %s %s", a, b);
    }
    OK(net_private_remove(&place, &rig.ctx, &err));
}

Test(net, private_networks_come_and_go) {
    char id[ENGINE_ID_MAX], again[ENGINE_ID_MAX];
    AUTO_NETWORK_INFO struct network_info info = {0};
    OK(net_private_remove(&place, &rig.ctx, &err));
    OK(net_private_ensure(&place, &rig.ctx, id, &err));
    OK(net_private_ensure(&place, &rig.ctx, again, &err));
    cr_expect_str_eq(id, again);
    OK(network_inspect(rig.engine, &rig.ctx, id, &info, &err));
    cr_expect(strncmp(info.subnet, "10.214.7.", 9) == 0 && strstr(info.subnet, "/28"), "%s", info.subnet);
    cr_expect_str_eq(container_label(info.labels, LABEL_ATTEMPT), "1");
    cr_expect_str_eq(container_label(info.labels, LABEL_TOKEN), "7");
    cr_expect_str_eq(container_label(info.labels, LABEL_JOB), job);
    const char *bridge = container_label(info.options, "com.docker.network.bridge.name");
    cr_expect(bridge && strncmp(bridge, NET_BRIDGE_PREFIX, 4) == 0 && if_nametoindex(bridge), "%s", bridge);
    OK(net_private_remove(&place, &rig.ctx, &err));
    cr_expect_lt(network_inspect(rig.engine, &rig.ctx, id, &info, &err), 0);
}

/* Anybody's network may stand in the pool, and any route of the host. */
Test(net, a_pool_that_is_taken_says_so) {
    char id[ENGINE_ID_MAX];
    const struct engine_pair labels[] = {{LABEL_CLUSTER, rig.cluster}};
    AUTO_FREE char *name = mem_printf("foreign-%.8s", rig.cluster);
    const struct network_spec spec = {
        .name = name, .subnet = "10.214.7.0/25", .gateway = "10.214.7.1", .labels = {labels, 1}};
    OK(network_create(rig.engine, &rig.ctx, &spec, id, &err));
    OK(net_private_ensure(&place, &rig.ctx, id, &err));
    OK(net_private_remove(&place, &rig.ctx, &err));
    AUTO_FD int outside_fd = make_outside(0);
    cr_assert_eq(sh(NULL, "ip route add 10.214.7.128/25 via " OUTSIDE_IP), 0);
    cr_assert_lt(net_private_ensure(&place, &rig.ctx, id, &err), 0);
    cr_expect(err.kind == ERR_LIMIT && strstr(err.text, POOL) && strstr(err.text, "of its 16") &&
                  strstr(err.text, " 1 networks of the engine and 1 routes"),
              "%s", err.text);
}

/* What the engine refuses, though its list and the host's routes do not tell, is gone around. */
Test(net, runners_at_once_get_networks_of_their_own) {
    pid_t pids[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++)
        if (!(pids[i] = fork())) {
            struct engine_settings settings = {.host = getenv("DOCKER_HOST")};
            char id[ENGINE_ID_MAX], egress[ENGINE_ID_MAX];
            place.number = 1 + i;
            bool ok = engine_open(&settings, &place.engine, &err) == 0 &&
                      engine_negotiate(place.engine, &rig.ctx, &err) == 0 &&
                      net_egress_ensure(&place, &rig.ctx, egress, &err) == 0 &&
                      net_private_ensure(&place, &rig.ctx, id, &err) == 0;
            if (!ok)
                fprintf(stderr, "%s\n", err.text);
            _exit(!ok);
        }
    for (int i = 0; i < AT_ONCE; i++) {
        int status;
        cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
        cr_expect_eq(status, 0);
    }
    AUTO_NETWORK_LIST struct network_list list = {0};
    const struct engine_pair label = {LABEL_CLUSTER, rig.cluster};
    OK(network_list(rig.engine, &rig.ctx, (struct engine_pairs){&label, 1}, &list, &err));
    cr_expect_eq(list.count, AT_ONCE + 1, "%zu", list.count);
    for (size_t i = 0; i < list.count; i++)
        for (size_t k = 0; k < i; k++)
            cr_expect_str_neq(list.items[i].subnet, list.items[k].subnet);
    for (place.number = 1; place.number <= AT_ONCE; place.number++)
        OK(net_private_remove(&place, &rig.ctx, &err));
}

Test(net, a_bridge_without_our_name_is_replaced_when_it_is_free) {
    char id[ENGINE_ID_MAX], old[ENGINE_ID_MAX], name[LABELS_NAME_MAX], container[16];
    const struct engine_pair labels[] = {{LABEL_MANAGED, "true"},
                                         {LABEL_CLUSTER, rig.cluster},
                                         {LABEL_INSTANCE, "test"},
                                         {LABEL_ROLE, ROLE_NETWORK}};
    const struct network_spec spec = {.name = labels_egress_network(rig.cluster, name),
                                      .labels = {labels, 4}};
    OK(network_create(rig.engine, &rig.ctx, &spec, old, &err));
    snprintf(container, sizeof container, "%.8s-a", rig.cluster);
    make_container(container, old, "sleep 600");
    cr_expect_eq(net_egress_ensure(&place, &rig.ctx, id, &err), 1);
    cr_expect_str_eq(id, old);
    cr_expect(strstr(err.text, "in use"), "%s", err.text);
    sh(NULL, "docker rm -f %s", container);
    cr_expect_eq(net_egress_ensure(&place, &rig.ctx, id, &err), 0);
    cr_expect_str_neq(id, old);
    cr_expect_eq(net_egress_ensure(&place, &rig.ctx, old, &err), 0);
    cr_expect_str_eq(id, old);
}
