#include <criterion/criterion.h>
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/units.h"

struct good {
    const char *text;
    int64_t value;
};

typedef int parser(const char *, int64_t *, struct err *);

static void expect_good(parser *parse, const struct good *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct err err = {0};
        int64_t value = -7;
        cr_expect_eq(parse(cases[i].text, &value, &err), 0, "%s: %s", cases[i].text, err.text);
        cr_expect_eq(value, cases[i].value, "%s gave %" PRId64, cases[i].text, value);
    }
}

static void expect_bad(parser *parse, const char *const *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct err err = {0};
        int64_t value = -7;
        cr_expect_eq(parse(cases[i], &value, &err), -1, "%s gave %" PRId64, cases[i], value);
        cr_expect_eq(err.kind, ERR_INVALID);
        cr_expect_eq(value, -7, "untouched on failure");
    }
}

Test(units, durations) {
    static const struct good cases[] = {
        {"0", 0},
        {"90s", 90000},
        {"10m", 600000},
        {"1h30m", 5400000},
        {"250ms", 250},
        {"2d", 172800000},
        {"5", 5000},
        {"1.5", 1500},
        {"0.1", 100},
        {"0.5h", 1800000},
        {"1d2h3m4s5ms", 93784005},
        {"0.10000000000000001", 100},
        {"0.0004", 0},
        {"0.0005", 1},
        {"1h0m", 3600000},
        {"007s", 7000},
        {"9223372036854775807ms", INT64_MAX},
    };
    expect_good(units_parse_duration_ms, cases, ARRAY_LEN(cases));
}

Test(units, wrong_durations) {
    static const char *const cases[] = {"",
                                        "s",
                                        "-1",
                                        "+1",
                                        "1 s",
                                        " 1",
                                        "1s ",
                                        "30m1h",
                                        "1m1m",
                                        "1h30",
                                        "1.",
                                        ".5",
                                        "1.s",
                                        "1e3",
                                        "0x10",
                                        "1w",
                                        "1M",
                                        "1ss",
                                        "1sm",
                                        "1..5",
                                        "nan",
                                        "9223372036854775807",
                                        "9223372036854775807ms1ms",
                                        "99999999999999999999ms",
                                        "106751991168d"};
    expect_bad(units_parse_duration_ms, cases, ARRAY_LEN(cases));
}

Test(units, sizes) {
    static const struct good cases[] = {
        {"0", 0},
        {"10b", 10},
        {"10B", 10},
        {"64k", 65536},
        {"64K", 65536},
        {"64kb", 65536},
        {"64KiB", 65536},
        {"512m", 536870912},
        {"512MiB", 536870912},
        {"2g", INT64_C(2147483648)},
        {"1t", INT64_C(1099511627776)},
        {"1.5g", INT64_C(1610612736)},
        {"9223372036854775807", INT64_MAX},
        {"8388607t", INT64_C(8388607) << 40},
    };
    expect_good(units_parse_size_bytes, cases, ARRAY_LEN(cases));
}

Test(units, wrong_sizes) {
    static const char *const cases[] = {
        "",         "m",    "-1", "1 m", "1.5",  "1.5b", "1mm",
        "1bm",      "1bb",  "1x", "1ki", "1e9g", "1m ",  "9223372036854775808",
        "8388608t", "0x10", "1.m"};
    expect_bad(units_parse_size_bytes, cases, ARRAY_LEN(cases));
}

Test(units, thousandths) {
    static const struct good good[] = {{"0", 0}, {"2", 2000}, {"1.5", 1500}, {"0.001", 1}, {"0.25", 250}};
    static const char *const bad[] = {"", ".5", "1.5x", "-1", "1,5", "9223372036854775807"};
    expect_good(units_parse_milli, good, ARRAY_LEN(good));
    expect_bad(units_parse_milli, bad, ARRAY_LEN(bad));
}

Test(units, what_is_formatted) {
    static const struct good durations[] = {
        {"0s", 0},        {"250ms", 250},  {"1m30s", 90000}, {"1h30m", 5400000},
        {"1d", 86400000}, {"1s5ms", 1005}, {"-5s", -5000},   {"106751991167d7h12m55s807ms", INT64_MAX}};
    static const struct good sizes[] = {{"0", 0},
                                        {"1000", 1000},
                                        {"1k", 1024},
                                        {"1536m", INT64_C(1610612736)},
                                        {"2g", INT64_C(2147483648)},
                                        {"9223372036854775807", INT64_MAX}};
    static const struct good millis[] = {{"0", 0}, {"2", 2000}, {"1.5", 1500}, {"0.001", 1}, {"10", 10000}};
    char out[UNITS_TEXT_MAX];
    for (size_t i = 0; i < ARRAY_LEN(durations); i++)
        cr_expect_str_eq(units_format_duration(durations[i].value, out), durations[i].text);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        cr_expect_str_eq(units_format_size(sizes[i].value, out), sizes[i].text);
    for (size_t i = 0; i < ARRAY_LEN(millis); i++)
        cr_expect_str_eq(units_format_milli(millis[i].value, out), millis[i].text);
}

Test(units, what_is_formatted_parses_back) {
    char out[UNITS_TEXT_MAX];
    for (int64_t value = 1; value > 0 && value < INT64_MAX / 3; value = value * 3 + 1) {
        int64_t back = -1;
        cr_assert_eq(units_parse_duration_ms(units_format_duration(value, out), &back, NULL), 0);
        cr_assert_eq(back, value);
        cr_assert_eq(units_parse_size_bytes(units_format_size(value, out), &back, NULL), 0);
        cr_assert_eq(back, value);
    }
}
