#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/clock.h"

Test(clock, goes_forward) {
    int64_t ns = clock_boot_ns();
    cr_assert_gt(ns, 0);
    cr_assert_geq(clock_boot_ns(), ns);
    cr_assert_geq(clock_boot_ms(), ns / NS_PER_MS);
    cr_assert_gt(clock_real_us(), INT64_C(1700000000000000));
}

Test(clock, formats) {
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000000Z"},
        {1, "1970-01-01T00:00:00.000001Z"},
        {-1, "1969-12-31T23:59:59.999999Z"},
        {INT64_C(1795309323456789), "2026-11-22T01:02:03.456789Z"},
        {INT64_C(951782400000000), "2000-02-29T00:00:00.000000Z"},
        {INT64_C(-62135596800000000), "0001-01-01T00:00:00.000000Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999999Z"},
    };
    char out[CLOCK_RFC3339_MAX];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        cr_assert_eq(clock_format_rfc3339(cases[i].us, out), out);
        cr_assert_str_eq(out, cases[i].text);
    }
}

Test(clock, parses) {
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-22T01:02:03.456789Z", INT64_C(1795309323456789)},
        {"2026-11-22t01:02:03.456789z", INT64_C(1795309323456789)},
        {"2026-11-22 01:02:03.456789Z", INT64_C(1795309323456789)},
        {"2026-11-22T01:02:03.4Z", INT64_C(1795309323400000)},
        {"2026-11-22T01:02:03.456789999Z", INT64_C(1795309323456789)},
        {"2026-11-22T03:02:03.456789+02:00", INT64_C(1795309323456789)},
        {"2026-11-21T19:32:03.456789-05:30", INT64_C(1795309323456789)},
        {"2000-02-29T00:00:00Z", INT64_C(951782400000000)},
        {"2016-12-31T23:59:60Z", INT64_C(1483228800000000)},
        {"2017-01-01T00:59:60+01:00", INT64_C(1483228800000000)},
        {"1970-01-01T00:00:00+00:01", INT64_C(-60000000)},
        {"9999-12-31T23:59:59Z", INT64_C(253402300799000000)},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        int64_t us = 12345;
        cr_expect_eq(clock_parse_rfc3339(cases[i].text, &us, &err), 0, "%s: %s", cases[i].text, err.text);
        cr_expect_eq(us, cases[i].us, "%s: %" PRId64, cases[i].text, us);
    }
}

Test(clock, refuses_what_is_no_time) {
    static const char *const cases[] = {
        "",
        "now",
        "2026-11-22",
        "2026-11-22T01:02:03",
        "2026-11-22T01:02Z",
        "2026-11-22T01:02:03.Z",
        "2026-11-22T01:02:03.1234567890Z",
        "2026-11-22T01:02:03,5Z",
        "2026-11-22X01:02:03Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T01:60:00Z",
        "2026-11-22T01:02:61Z",
        "2026-11-22T01:02:60Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-11-00T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "26-11-22T01:02:03Z",
        "2026-11-22T01:02:03+1:00",
        "2026-11-22T01:02:03+0100",
        "2026-11-22T01:02:03+24:00",
        "2026-11-22T01:02:03+01:60",
        "2026-11-22T01:02:03Z ",
        " 2026-11-22T01:02:03Z",
        "2026-11-22T01:02:03ZZ",
        "2026-11-22T-1:02:03Z",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        int64_t us = 12345;
        cr_expect_eq(clock_parse_rfc3339(cases[i], &us, &err), -1, "%s", cases[i]);
        cr_expect_eq(err.kind, ERR_INVALID);
        cr_expect_eq(us, 12345, "untouched on failure");
    }
}

Test(clock, what_it_formats_it_parses) {
    char out[CLOCK_RFC3339_MAX];
    for (int64_t us = 0; us < INT64_C(253402300799000000); us += INT64_C(2534023007990037)) {
        int64_t back = -1;
        cr_assert_eq(clock_parse_rfc3339(clock_format_rfc3339(us, out), &back, NULL), 0, "%s", out);
        cr_assert_eq(back, us);
    }
}

Test(clock, boot_id_is_one_word) {
    char a[CLOCK_BOOT_ID_MAX], b[CLOCK_BOOT_ID_MAX];
    cr_assert_eq(clock_boot_id(a, NULL), 0);
    cr_assert_eq(clock_boot_id(b, NULL), 0);
    cr_assert_str_eq(a, b);
    cr_assert_eq(strlen(a), 36);
}
