#include <criterion/criterion.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/utf8.h"

Test(utf8, lengths) {
    static const struct {
        const char *bytes;
        size_t len, want;
    } cases[] = {
        {"", 0, 0},
        {"a", 1, 1},
        {"\0", 1, 1},
        {"\x7f", 1, 1},
        {"\x80", 1, 0},
        {"\xbf", 1, 0},
        {"\xc0\x80", 2, 0},
        {"\xc1\xbf", 2, 0},
        {"\xc2\x80", 2, 2},
        {"\xc2", 1, 0},
        {"\xc2\x7f", 2, 0},
        {"\xe0\x9f\xbf", 3, 0},
        {"\xe0\xa0\x80", 3, 3},
        {"\xe2\x82\xac", 3, 3},
        {"\xe2\x82", 2, 0},
        {"\xe2\x82x", 3, 0},
        {"\xed\x9f\xbf", 3, 3},
        {"\xed\xa0\x80", 3, 0},
        {"\xef\xbf\xbf", 3, 3},
        {"\xf0\x8f\xbf\xbf", 4, 0},
        {"\xf0\x90\x80\x80", 4, 4},
        {"\xf0\x9f\x98\x80tail", 8, 4},
        {"\xf0\x9f\x98", 3, 0},
        {"\xf4\x8f\xbf\xbf", 4, 4},
        {"\xf4\x90\x80\x80", 4, 0},
        {"\xf5\x80\x80\x80", 4, 0},
        {"\xff", 1, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        cr_expect_eq(utf8_char_len(cases[i].bytes, cases[i].len), cases[i].want, "case %zu", i);
}

Test(utf8, valid_is_all_of_it) {
    cr_assert(utf8_valid("", 0));
    cr_assert(utf8_valid("a€😀", strlen("a€😀")));
    cr_assert_not(utf8_valid("a€", 3));
    cr_assert_not(utf8_valid("\xff"
                             "a",
                             2));
}
