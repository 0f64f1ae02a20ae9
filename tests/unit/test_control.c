#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "proto/child.h"
#include "proto/control.h"

static int parent = -1, child = -1;

static void open_pair(void) {
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    parent = fds[0];
    child = fds[1];
}

static void close_pair(void) {
    if (parent >= 0)
        close(parent);
    close(child);
}

TestSuite(control, .init = open_pair, .fini = close_pair);

static struct control sent_and_received(const struct control *m) {
    struct err err = {0};
    struct control got = {0};
    cr_assert_eq(control_send(parent, m, &err), 0, "%s", err.text);
    cr_assert_eq(control_recv(child, &got, &err), 1, "%s", err.text);
    cr_assert_eq(got.type, m->type);
    return got;
}

Test(control, config_goes_over) {
    AUTO_JSON json_t *settings = json_pack("{s:s, s:s}", "slots", "4", "admin_token",
                                           "s\xc3\xa9"
                                           "cret \"x\"\n");
    struct control m = {.type = CONTROL_CONFIG,
                        .settings = settings,
                        .instance = (char *)"host-1",
                        .cluster = (char *)"",
                        .cgroup = (char *)"berth/host-1"};
    struct control got = sent_and_received(&m);
    cr_expect_str_eq(got.cgroup, "berth/host-1");
    cr_expect(json_equal(got.settings, settings));
    cr_expect_str_eq(got.instance, "host-1");
    cr_expect_str_eq(got.cluster, "");
    control_done(&got);
}

Test(control, ready_cancel_and_probed_go_over) {
    struct control leave = sent_and_received(&(struct control){.type = CONTROL_BEGIN});
    cr_expect_eq(leave.type, CONTROL_BEGIN);
    struct control got = sent_and_received(&(struct control){.type = CONTROL_READY});
    control_done(&got);
    struct control alive = sent_and_received(&(struct control){.type = CONTROL_ALIVE});
    cr_expect_eq(alive.type, CONTROL_ALIVE);
    got = sent_and_received(
        &(struct control){.type = CONTROL_CANCEL, .force = true, .reason = REASON_SHUTDOWN});
    cr_expect(got.force);
    cr_expect_eq(got.reason, REASON_SHUTDOWN);
    control_done(&got);
    got = sent_and_received(
        &(struct control){.type = CONTROL_PROBED, .ok = false, .detail = (char *)"no engine"});
    cr_expect_not(got.ok);
    cr_expect_str_eq(got.detail, "no engine");
    cr_expect_str_eq(got.cgroup, "");
    cr_expect_str_eq(got.warning, "");
    control_done(&got);
    got = sent_and_received(&(struct control){
        .type = CONTROL_PROBED, .ok = true, .cgroup = (char *)"berth/a", .warning = (char *)"no rules"});
    cr_expect_str_eq(got.cgroup, "berth/a");
    cr_expect_str_eq(got.warning, "no rules");
    control_done(&got);
}

Test(control, extend_goes_over) {
    struct control got =
        sent_and_received(&(struct control){.type = CONTROL_EXTEND, .run_ms = INT64_C(31536000000)});
    cr_expect_eq(got.run_ms, INT64_C(31536000000));
    control_done(&got);
}

Test(control, health_goes_over_whatever_the_engine_says) {
    for (unsigned i = 0; i < HEALTH_PART_COUNT; i++) {
        struct control got = sent_and_received(&(struct control){
            .type = CONTROL_HEALTH, .part = (enum health_part)i, .ok = i % 2, .detail = (char *)"cut \xc3"});
        cr_expect_eq(got.part, i);
        cr_expect_eq(got.ok, i % 2);
        cr_expect_str_eq(got.detail, "cut ?");
        control_done(&got);
    }
}

Test(control, what_is_wrong_is_refused) {
    static const char *const cases[] = {
        "",
        "nonsense",
        "[]",
        "{}",
        "{\"type\":7}",
        "{\"type\":\"reload\"}",
        "{\"type\":\"ready\",\"extra\":1}",
        "{\"type\":\"ready\",\"type\":\"ready\"}",
        "{\"type\":\"cancel\"}",
        "{\"type\":\"cancel\",\"force\":1,\"reason\":\"requested\"}",
        "{\"type\":\"cancel\",\"force\":true,\"reason\":\"oom\"}",
        "{\"type\":\"cancel\",\"force\":true,\"reason\":\"because\"}",
        "{\"type\":\"cancel\",\"force\":true,\"reason\":\"requested\",\"x\":0}",
        "{\"type\":\"extend\"}",
        "{\"type\":\"extend\",\"run_ms\":0}",
        "{\"type\":\"extend\",\"run_ms\":-1}",
        "{\"type\":\"extend\",\"run_ms\":1.5}",
        "{\"type\":\"extend\",\"run_ms\":\"10m\"}",
        "{\"type\":\"extend\",\"run_ms\":1,\"more\":1}",
        "{\"type\":\"probed\",\"ok\":true}",
        "{\"type\":\"probed\",\"ok\":true,\"detail\":\"\"}",
        "{\"type\":\"probed\",\"ok\":true,\"detail\":\"\",\"cgroup\":\"\"}",
        "{\"type\":\"probed\",\"ok\":\"yes\",\"detail\":\"\"}",
        "{\"type\":\"health\",\"ok\":true,\"detail\":\"\"}",
        "{\"type\":\"health\",\"part\":\"moon\",\"ok\":true,\"detail\":\"\"}",
        "{\"type\":\"health\",\"part\":\"engine\",\"ok\":1,\"detail\":\"\"}",
        "{\"type\":\"config\",\"settings\":[],\"instance\":\"a\",\"cluster\":\"\",\"cgroup\":\"\"}",
        "{\"type\":\"config\",\"settings\":{},\"instance\":\"a\",\"cluster\":\"\"}",
        "{\"type\":\"config\",\"settings\":{},\"instance\":\"a\"}",
        "{\"type\":\"config\",\"settings\":{},\"instance\":null,\"cluster\":\"\",\"cgroup\":\"\"}",
        "{\"type\":\"config\",\"settings\":{},\"instance\":\"a\",\"cluster\":\"\",\"cgroup\":\"\","
        "\"secrets\":{}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        struct control m = {.type = CONTROL_TYPE_COUNT};
        cr_expect_eq(control_decode(cases[i], strlen(cases[i]), &m, &err), -1, "%s", cases[i]);
        cr_expect_eq(err.kind, ERR_INVALID, "%s", cases[i]);
        cr_expect_eq(m.type, CONTROL_TYPE_COUNT, "untouched on failure: %s", cases[i]);
    }
}

Test(control, an_unknown_type_is_told_by_name) {
    static const char text[] = "{\"type\":\"reload\"}";
    struct err err = {0};
    struct control m;
    cr_expect_eq(control_decode(text, strlen(text), &m, &err), -1);
    cr_expect(strstr(err.text, "\"reload\""), "%s", err.text);
}

Test(control, none_now_is_told_from_gone) {
    struct err err = {0};
    struct control m;
    cr_expect_eq(control_recv(child, &m, &err), -1);
    cr_expect_eq(err.kind, ERR_SYS);
    cr_expect_eq(err.code, EAGAIN);
    close(parent);
    parent = -1;
    cr_expect_eq(control_recv(child, &m, &err), 0);
}

Test(control, a_message_that_is_too_long_is_not_sent) {
    AUTO_FREE char *detail = calloc(1, CHILD_MESSAGE_MAX + 1);
    memset(detail, 'x', CHILD_MESSAGE_MAX);
    struct err err = {0};
    cr_expect_eq(control_send(parent, &(struct control){.type = CONTROL_PROBED, .detail = detail}, &err), -1);
    cr_expect_eq(err.kind, ERR_LIMIT);
}

Test(control, a_message_that_is_too_long_is_not_taken) {
    AUTO_FREE char *bytes = calloc(1, CHILD_MESSAGE_MAX + 8);
    memset(bytes, ' ', CHILD_MESSAGE_MAX + 8);
    memcpy(bytes, "{\"type\":\"ready\"}", 16);
    struct err err = {0};
    struct control m;
    cr_assert_gt(send(parent, bytes, CHILD_MESSAGE_MAX + 8, 0), 0);
    cr_expect_eq(control_recv(child, &m, &err), -1);
    cr_expect_eq(err.kind, ERR_LIMIT);
}

Test(control, a_child_begins_with_config) {
    AUTO_JSON json_t *settings = json_object();
    struct control m = {
        .type = CONTROL_CONFIG, .settings = settings, .instance = (char *)"i", .cluster = (char *)"c"};
    struct control got = {0};
    struct err err = {0};
    cr_assert_eq(control_send(parent, &m, NULL), 0);
    cr_expect_eq(control_recv_config(child, &got, &err), 0, "%s", err.text);
    cr_expect_str_eq(got.cluster, "c");
    control_done(&got);
}

Test(control, a_child_does_not_begin_with_anything_else) {
    struct control got = {0};
    struct err err = {0};
    cr_assert_eq(control_send(parent, &(struct control){.type = CONTROL_READY}, NULL), 0);
    cr_expect_eq(control_recv_config(child, &got, &err), -1);
    cr_expect_eq(err.kind, ERR_INVALID);
}

Test(control, a_child_whose_parent_is_gone_is_told) {
    struct control got = {0};
    struct err err = {0};
    close(parent);
    parent = -1;
    cr_expect_eq(control_recv_config(child, &got, &err), -1);
    cr_expect_eq(err.kind, ERR_AWAY);
}
