#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "proto/message.h"

enum { OUT_MAX = 4096 };
static const int64_t when = INT64_C(1763773323456789);

static const unsigned char *bytes_of(const char *text) {
    return (const unsigned char *)text;
}

Test(message, a_log_message_as_the_contract_shows_it) {
    AUTO_BUF struct buf out = BUF(OUT_MAX);
    cr_assert_eq(message_put_log(&out, 17, when, "stderr", bytes_of("make: x\n"), 8), 0);
    cr_expect_str_eq(out.data, "{\"type\":\"log\",\"offset\":17,\"ts\":\"2025-11-22T01:02:03.456789Z\","
                               "\"stream\":\"stderr\",\"text\":\"make: x\\n\"}");
}

Test(message, a_gap_as_the_contract_shows_it) {
    AUTO_BUF struct buf out = BUF(OUT_MAX);
    cr_assert_eq(message_put_gap(&out, 4096, 1000000, "log_limit"), 0);
    cr_expect_str_eq(out.data,
                     "{\"type\":\"gap\",\"offset\":4096,\"bytes\":1000000,\"cause\":\"log_limit\"}");
}

static void expect_round_trip(const unsigned char *bytes, size_t len, const char *form) {
    AUTO_BUF struct buf out = BUF(OUT_MAX * 8);
    struct message m = {0};
    struct err err = {0};
    cr_assert_eq(message_put_log(&out, 5, when, "stdout", bytes, len), 0);
    cr_expect(strstr(out.data, form), "%s is not in %s", form, out.data);
    cr_assert_eq(message_parse(out.data, out.len, &m, &err), 0, "%s: %s", err.text, out.data);
    cr_expect_eq(m.type, MESSAGE_LOG);
    cr_expect_eq(m.offset, 5);
    cr_expect_eq(m.time_us, when);
    cr_expect_str_eq(m.stream, "stdout");
    cr_assert_eq(m.data_len, len);
    cr_expect_eq(memcmp(m.data, bytes, len), 0);
    message_done(&m);
}

Test(message, every_ascii_character_is_kept) {
    unsigned char all[128];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (unsigned char)i;
    expect_round_trip(all, sizeof all, "\"text\":\"\\u0000\\u0001");
    for (size_t i = 0; i < sizeof all; i++)
        expect_round_trip(all + i, 1, "\"text\":");
}

Test(message, utf8_is_kept_as_it_is) {
    static const char text[] = "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x9a\xa2 \xe2\x80\xa8";
    expect_round_trip(bytes_of(text), strlen(text), text);
}

Test(message, what_is_not_utf8_comes_as_base64) {
    unsigned char all[256];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (unsigned char)i;
    for (size_t len = 0; len < 7; len++)
        expect_round_trip(all + 250, len, len ? "\"base64\":\"" : "\"text\":\"\"");
    expect_round_trip(all, sizeof all, "\"base64\":\"AAECAwQ");
    expect_round_trip(bytes_of("\xed\xa0\x80"), 3, "\"base64\":\"7aCA\""); /* a surrogate is no character */
    expect_round_trip(bytes_of("\xc0\x80"), 2, "\"base64\":\"wIA=\"");     /* nor is an overlong form */
    expect_round_trip(bytes_of("\xff"), 1, "\"base64\":\"/w==\"");
}

Test(message, one_that_does_not_fit_leaves_nothing_behind) {
    AUTO_BUF struct buf whole = BUF(OUT_MAX);
    cr_assert_eq(message_put_log(&whole, 0, when, "stdout", bytes_of("\x01\x02\x03"), 3), 0);
    for (size_t max = 2; max < whole.len; max++) {
        AUTO_BUF struct buf out = BUF(max);
        cr_assert_eq(buf_adds(&out, "ab"), 0);
        cr_expect_eq(message_put_log(&out, 0, when, "stdout", bytes_of("\x01\x02\x03"), 3), -1, "%zu", max);
        cr_expect_str_eq(out.data, "ab");
        cr_expect_eq(out.len, 2);
    }
    AUTO_BUF struct buf out = BUF(whole.len);
    cr_expect_eq(message_put_log(&out, 0, when, "stdout", bytes_of("\x01\x02\x03"), 3), 0);
}
