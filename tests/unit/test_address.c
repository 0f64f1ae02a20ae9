#include <criterion/criterion.h>
#include <string.h>

#include "base/address.h"
#include "base/cleanup.h"

Test(address, those_that_can_be_listened_on) {
    static const struct {
        const char *text, *host;
        int port;
        bool v6;
    } cases[] = {
        {"127.0.0.1:8710", "127.0.0.1", 8710, false},
        {"0.0.0.0:1", "0.0.0.0", 1, false},
        {"[::1]:80", "::1", 80, true},
        {"[::]:65535", "::", 65535, true},
        {"localhost:80", "127.0.0.1", 80, false},
        {"*:8710", "", 8710, false},
        {":8710", "", 8710, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct address a;
        cr_assert_eq(address_parse(cases[i].text, &a, NULL), 0, "%s", cases[i].text);
        cr_expect_str_eq(a.host, cases[i].host, "%s", cases[i].text);
        cr_expect_eq(a.port, cases[i].port, "%s", cases[i].text);
        cr_expect_eq(a.v6, cases[i].v6, "%s", cases[i].text);
    }
}

Test(address, those_that_are_none) {
    static const char *const bad[] = {
        "",        "80",     "127.0.0.1",    "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "example.org:80",
        "[::1:80", "::1:80", "127.0.0.1:8o", "[]:80",      "[*]:80",      "[127.0.0.1]:80",  "[::1]",
        "**:80",   "a b:80", "1:2:80",       ":",          ":-1",         ":000080"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct address a = {.port = 7};
        struct err err = {0};
        cr_expect_eq(address_parse(bad[i], &a, &err), -1, "%s", bad[i]);
        cr_expect_eq(a.port, 7, "untouched: %s", bad[i]);
        cr_expect(err.kind == ERR_USAGE && strstr(err.text, "127.0.0.1:8710"), "%s", bad[i]);
    }
}

Test(address, loopback) {
    static const char *const yes[] = {"127.0.0.1", "127.1.2.3", "::1", "localhost"};
    static const char *const no[] = {"", "0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example.org", "127.evil"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        cr_expect(address_host_is_loopback(yes[i]), "%s", yes[i]);
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        cr_expect_not(address_host_is_loopback(no[i]), "%s", no[i]);
}
