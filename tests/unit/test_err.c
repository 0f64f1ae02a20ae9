#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"

Test(err, set_keeps_kind_code_and_text) {
    struct err err = {0};
    cr_assert_eq(err_set(&err, ERR_ENGINE, 404, "no image %s", "x"), -1);
    cr_assert_eq(err.kind, ERR_ENGINE);
    cr_assert_eq(err.code, 404);
    cr_assert_str_eq(err.text, "no image x");
}

Test(err, set_takes_its_own_text_as_argument) {
    struct err err = {0};
    err_set(&err, ERR_BUG, 0, "cause");
    err_set(&err, ERR_LIMIT, 0, "%s and %s", err.text, err.text);
    cr_assert_str_eq(err.text, "cause and cause");
}

Test(err, sys_takes_errno) {
    struct err err = {0};
    errno = ENOENT;
    cr_assert_eq(err_sys(&err, "open %s", "/x"), -1);
    cr_assert_eq(err.kind, ERR_SYS);
    cr_assert_eq(err.code, ENOENT);
    cr_assert_str_eq(err.text, "open /x: No such file or directory");
}

Test(err, wrap_puts_context_before_the_cause) {
    struct err err = {0};
    err_set(&err, ERR_DB, 23505, "duplicate");
    cr_assert_eq(err_wrap(&err, "job %d", 7), -1);
    cr_assert_eq(err.kind, ERR_DB);
    cr_assert_eq(err.code, 23505);
    cr_assert_str_eq(err.text, "job 7: duplicate");
}

Test(err, wrap_cuts_the_context_and_never_the_cause) {
    struct err err = {0};
    err_set(&err, ERR_BUG, 0, "the cause");
    for (int i = 0; i < 100; i++)
        err_wrap(&err, "some context that is long enough to overflow");
    cr_assert_eq(strlen(err.text), ERR_TEXT_MAX - 1);
    cr_assert_str_eq(err.text + ERR_TEXT_MAX - 1 - strlen(": the cause"), ": the cause");
    char before[ERR_TEXT_MAX];
    memcpy(before, err.text, sizeof before);
    err_wrap(&err, "more");
    cr_assert_str_eq(err.text, before, "a full text takes no further context");
}

Test(err, a_cut_text_ends_with_a_whole_character) {
    char text[ERR_TEXT_MAX * 2 + 1] = "";
    for (int i = 0; i < ERR_TEXT_MAX; i++)
        memcpy(text + 2 * i, "ü", 2);
    for (int shift = 0; shift < 2; shift++) {
        struct err err = {0};
        err_set(&err, ERR_BUG, 0, "%s%s", shift ? "x" : "", text);
        cr_assert(utf8_valid(err.text, strlen(err.text)));
        cr_assert_geq(strlen(err.text), ERR_TEXT_MAX - 2);
        err_set(&err, ERR_BUG, 0, "cause");
        err_wrap(&err, "%s%s", shift ? "x" : "", text);
        cr_assert(utf8_valid(err.text, strlen(err.text)));
        cr_assert_str_eq(err.text + strlen(err.text) - 7, ": cause");
    }
}

Test(err, null_is_accepted) {
    cr_assert_eq(err_set(NULL, ERR_BUG, 0, "x"), -1);
    cr_assert_eq(err_sys(NULL, "x"), -1);
    cr_assert_eq(err_wrap(NULL, "x"), -1);
}

Test(err, every_kind_has_a_name) {
    for (int kind = ERR_NONE; kind <= ERR_BUG; kind++)
        cr_assert_str_neq(err_kind_name(kind), "unknown");
    cr_assert_str_eq(err_kind_name(ERR_BUG + 1), "unknown");
}
