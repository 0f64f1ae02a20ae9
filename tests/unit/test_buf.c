#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

Test(buf, an_empty_one_is_an_empty_string) {
    AUTO_BUF struct buf b = BUF(10);
    cr_assert_str_eq(buf_str(&b), "");
    AUTO_FREE char *s = buf_steal(&b);
    cr_assert_str_eq(s, "");
}

Test(buf, adds_bytes_strings_and_formats) {
    AUTO_BUF struct buf b = BUF(10000);
    cr_assert_eq(buf_add(&b, "a\0b", 3), 0);
    cr_assert_eq(buf_adds(&b, "cd"), 0);
    cr_assert_eq(buf_addf(&b, "%d-%s", 7, "x"), 0);
    cr_assert_eq(b.len, 8);
    cr_assert_arr_eq(b.data, "a\0bcd7-x", 9, "NUL-terminated");
    cr_assert_eq(buf_add(&b, NULL, 0), 0);
    cr_assert_eq(b.len, 8);
}

Test(buf, grows_up_to_its_maximum_and_not_beyond) {
    AUTO_BUF struct buf b = BUF(1000);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(buf_adds(&b, "0123456789"), 0);
    cr_assert_eq(b.len, 1000);
    cr_assert_leq(b.cap, 1001);
    cr_assert_eq(buf_adds(&b, "x"), -1);
    cr_assert_eq(buf_addf(&b, "%d", 1), -1);
    cr_assert_eq(buf_reserve(&b, SIZE_MAX), -1);
    cr_assert_eq(b.len, 1000);
    cr_assert_eq(strlen(b.data), 1000);
}

Test(buf, a_refused_format_changes_nothing) {
    AUTO_BUF struct buf b = BUF(5);
    cr_assert_eq(buf_adds(&b, "abc"), 0);
    cr_assert_eq(buf_addf(&b, "%s", "def"), -1);
    cr_assert_str_eq(buf_str(&b), "abc");
}

Test(buf, without_a_bound_it_still_holds_what_is_added) {
    AUTO_BUF struct buf b = BUF(SIZE_MAX);
    cr_assert_eq(buf_adds(&b, "abc"), 0);
    cr_assert_str_eq(buf_str(&b), "abc");
    cr_assert_eq(buf_reserve(&b, SIZE_MAX - 3), -1);
}

Test(buf, reserved_room_is_a_string_already) {
    AUTO_BUF struct buf b = BUF(1000);
    cr_assert_eq(buf_reserve(&b, 700), 0);
    cr_assert_geq(b.cap, 701);
    cr_assert_str_eq(buf_str(&b), "");
}

Test(buf, drops_from_the_front) {
    AUTO_BUF struct buf b = BUF(100);
    buf_drop_front(&b, 0);
    buf_adds(&b, "abcdef");
    buf_drop_front(&b, 2);
    cr_assert_str_eq(buf_str(&b), "cdef");
    buf_drop_front(&b, 4);
    cr_assert_str_eq(buf_str(&b), "");
    cr_assert_eq(b.len, 0);
}

Test(buf, clear_keeps_and_steal_hands_over) {
    AUTO_BUF struct buf b = BUF(100);
    buf_adds(&b, "abc");
    size_t cap = b.cap;
    buf_clear(&b);
    cr_assert_eq(b.cap, cap);
    cr_assert_str_eq(buf_str(&b), "");
    buf_adds(&b, "xyz");
    AUTO_FREE char *s = buf_steal(&b);
    cr_assert_str_eq(s, "xyz");
    cr_assert_null(b.data);
    cr_assert_eq(buf_adds(&b, "again"), 0, "it can be used again, with the same bound");
    cr_assert_eq(b.max, 100);
}
