#include <criterion/criterion.h>
#include <string.h>

#include "base/cleanup.h"
#include "proto/message.h"

static struct message parsed(const char *text) {
    struct message m = {0};
    struct err err = {0};
    cr_assert_eq(message_parse(text, strlen(text), &m, &err), 0, "%s: %s", text, err.text);
    return m;
}

Test(message_parse, hello) {
    struct message m =
        parsed("{\"type\":\"hello\",\"job\":\"j\",\"attempt\":1,\"status\":\"running\",\"offset\":0}");
    cr_expect_eq(m.type, MESSAGE_HELLO);
    cr_expect_str_eq(m.job, "j");
    cr_expect_str_eq(m.status, "running");
    cr_expect_eq(m.attempt, 1);
    message_done(&m);
    m = parsed("{\"type\":\"hello\",\"job\":\"j\",\"attempt\":0,\"status\":\"queued\",\"offset\":0}");
    cr_expect_eq(m.attempt, 0, "not claimed yet");
    message_done(&m);
}

Test(message_parse, gap_status_and_attempt) {
    struct message m = parsed("{\"type\":\"gap\",\"offset\":4096,\"bytes\":1000000,\"cause\":\"lost\"}");
    cr_expect_eq(m.offset, 4096);
    cr_expect_eq(m.bytes, 1000000);
    cr_expect_str_eq(m.cause, "lost");
    message_done(&m);
    m = parsed("{\"type\":\"status\",\"status\":\"running\",\"reason\":null,\"attempt\":1,\"ts\":\"2026-11-"
               "22T01:02:03Z\"}");
    cr_expect_null(m.reason);
    cr_expect_gt(m.time_us, 0);
    message_done(&m);
    m = parsed("{\"type\":\"attempt\",\"attempt\":2}");
    cr_expect_eq(m.attempt, 2);
    message_done(&m);
}

Test(message_parse, end) {
    struct message m =
        parsed("{\"type\":\"end\",\"offset\":9,\"status\":\"failed\",\"exit_code\":3,\"sha256\":\"ab\"}");
    cr_expect_eq(m.exit_code, 3);
    cr_expect_str_eq(m.sha256, "ab");
    message_done(&m);
    m = parsed("{\"type\":\"end\",\"offset\":9,\"status\":\"canceled\",\"exit_code\":null,\"sha256\":null}");
    cr_expect_eq(m.exit_code, -1);
    cr_expect_null(m.sha256);
    message_done(&m);
}

Test(message_parse, members_of_later_versions_are_no_fault) {
    struct message m = parsed("{\"type\":\"attempt\",\"attempt\":2,\"host\":{\"a\":[]},\"job\":\"j\"}");
    cr_expect_str_eq(m.job, "j");
    message_done(&m);
}

Test(message_parse, what_is_wrong_is_refused) {
    static const char *const cases[] = {
        "",
        "[]",
        "{}",
        "{\"type\":\"news\"}",
        "{\"type\":\"attempt\"}",
        "{\"type\":\"attempt\",\"attempt\":-1}",
        "{\"type\":\"attempt\",\"attempt\":\"1\"}",
        "{\"type\":\"attempt\",\"attempt\":1,\"attempt\":2}",
        "{\"type\":\"gap\",\"offset\":-1,\"bytes\":1,\"cause\":\"lost\"}",
        "{\"type\":\"gap\",\"offset\":1,\"bytes\":1}",
        "{\"type\":\"gap\",\"offset\":1.5,\"bytes\":1,\"cause\":\"lost\"}",
        "{\"type\":\"end\",\"offset\":1,\"status\":\"a\\u0000b\"}",
        "{\"type\":\"end\",\"offset\":1,\"status\":\"failed\",\"exit_code\":-1}",
        "{\"type\":\"log\",\"offset\":0,\"ts\":\"yesterday\",\"stream\":\"stdout\",\"text\":\"\"}",
        "{\"type\":\"log\",\"offset\":0,\"ts\":\"2026-11-22T01:02:03Z\",\"stream\":\"stdout\"}",
        "{\"type\":\"log\",\"offset\":0,\"ts\":\"2026-11-22T01:02:03Z\",\"stream\":\"stdout\",\"text\":7}",
        "{\"type\":\"log\",\"offset\":0,\"ts\":\"2026-11-22T01:02:03Z\",\"stream\":\"stdout\",\"text\":\"\","
        "\"base64\":\"\"}",
        "{\"type\":\"log\",\"offset\":0,\"ts\":\"2026-11-22T01:02:03Z\",\"stream\":\"stdout\",\"base64\":"
        "\"A\"}",
        "{\"type\":\"log\",\"offset\":0,\"ts\":\"2026-11-22T01:02:03Z\",\"stream\":\"stdout\",\"base64\":\"A="
        "==\"}",
        "{\"type\":\"log\",\"offset\":0,\"ts\":\"2026-11-22T01:02:03Z\",\"stream\":\"stdout\",\"base64\":"
        "\"AA=A\"}",
        "{\"type\":\"log\",\"offset\":0,\"ts\":\"2026-11-22T01:02:03Z\",\"stream\":\"stdout\",\"base64\":"
        "\"AA==AAAA\"}",
        "{\"type\":\"log\",\"offset\":0,\"ts\":\"2026-11-22T01:02:03Z\",\"stream\":\"stdout\",\"base64\":"
        "\"A\\u0000AA\"}",
        "{\"type\":\"log\",\"offset\":0,\"ts\":\"2026-11-22T01:02:03Z\",\"stream\":\"stdout\",\"base64\":"
        "\"AA-_\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        struct message m = {.offset = -7};
        cr_expect_eq(message_parse(cases[i], strlen(cases[i]), &m, &err), -1, "%s", cases[i]);
        cr_expect_eq(err.kind, ERR_INVALID, "%s", cases[i]);
        cr_expect_eq(m.offset, -7, "untouched on failure");
    }
}
