#include <criterion/criterion.h>
#include <string.h>

#include "base/nearest.h"

Test(nearest, distances) {
    cr_expect_eq(nearest_distance("lease", "lease"), 0);
    cr_expect_eq(nearest_distance("LEASE", "lease"), 0, "case does not count");
    cr_expect_eq(nearest_distance("laese", "lease"), 2);
    cr_expect_eq(nearest_distance("", "abc"), 3);
    cr_expect_eq(nearest_distance("abc", ""), 3);
    cr_expect_eq(nearest_distance("kitten", "sitting"), 3);
}

Test(nearest, names_without_end_are_far) {
    char longest[NEAREST_NAME_MAX_BYTES + 1] = {0}, longer[NEAREST_NAME_MAX_BYTES + 2] = {0};
    memset(longest, 'x', sizeof longest - 1);
    memset(longer, 'x', sizeof longer - 1);
    cr_expect_eq(nearest_distance(longest, longest), 0);
    cr_expect_eq(nearest_distance(longest, "x"), NEAREST_NAME_MAX_BYTES - 1);
    cr_expect_eq(nearest_distance(longer, "x"), NEAREST_FAR);
    cr_expect_eq(nearest_distance("x", longer), NEAREST_FAR);
}

Test(nearest, the_first_of_the_nearest_is_kept) {
    static const char *const words[] = {"image", "name", "labels", "lapels"};
    struct nearest best = {0};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        nearest_take(&best, "lavels", words[i], NEAREST_FAR);
    cr_assert_str_eq(best.word, "labels");
    cr_expect_eq(best.distance, 1);
    cr_expect(!nearest_take(&best, "lavels", "lapels", NEAREST_FAR));
    cr_expect(nearest_take(&best, "lavels", "lavels", 0));
}

Test(nearest, what_is_too_far_is_not_taken) {
    struct nearest best = {0};
    cr_expect(!nearest_take(&best, "kitten", "sitting", 2));
    cr_expect_null(best.word);
    cr_expect(nearest_take(&best, "kitten", "sitting", 3));
    char longer[NEAREST_NAME_MAX_BYTES + 2] = {0};
    memset(longer, 'x', sizeof longer - 1);
    best = (struct nearest){0};
    cr_expect(nearest_take(&best, longer, "any", NEAREST_FAR), "however far");
}
