#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"

Test(id, has_the_form_of_version_7) {
    char id[ID_TEXT_MAX];
    for (int i = 0; i < 1000; i++) {
        id_new_v7(id);
        cr_assert(id_valid(id), "%s", id);
        cr_assert_eq(id[14], '7');
        cr_assert(strchr("89ab", id[19]), "the variant of RFC 9562: %s", id);
    }
}

Test(id, carries_the_time) {
    char id[ID_TEXT_MAX], hex[13];
    int64_t before = clock_real_us() / 1000;
    id_new_v7(id);
    int64_t after = clock_real_us() / 1000;
    snprintf(hex, sizeof hex, "%.8s%.4s", id, id + 9);
    int64_t ms = strtoll(hex, NULL, 16);
    cr_assert(before <= ms && ms <= after, "%s at %" PRId64, id, before);
}

Test(id, rises_within_the_process) {
    char last[ID_TEXT_MAX], next[ID_TEXT_MAX];
    id_new_v7(last);
    for (int i = 0; i < 20000; i++) {
        id_new_v7(next);
        cr_assert_lt(strcmp(last, next), 0, "%s then %s", last, next);
        memcpy(last, next, sizeof last);
    }
}

Test(id, the_random_part_differs) {
    char a[ID_TEXT_MAX], b[ID_TEXT_MAX];
    id_new_v7(a);
    id_new_v7(b);
    cr_assert_str_neq(a + 19, b + 19);
}

Test(id, valid_is_canonical_only) {
    cr_assert(id_valid("0196b0c0-7a3f-7abc-8def-0123456789ab"));
    cr_assert(id_valid("00000000-0000-0000-0000-000000000000"));
    cr_assert_not(id_valid(""));
    cr_assert_not(id_valid("0196B0C0-7a3f-7abc-8def-0123456789ab"));
    cr_assert_not(id_valid("0196b0c0-7a3f-7abc-8def-0123456789a"));
    cr_assert_not(id_valid("0196b0c0-7a3f-7abc-8def-0123456789abc"));
    cr_assert_not(id_valid("0196b0c07a3f7abc8def0123456789ab"));
    cr_assert_not(id_valid("0196b0c0-7a3f-7abc-8def_0123456789ab"));
    cr_assert_not(id_valid("{0196b0c0-7a3f-7abc-8def-0123456789ab}"));
    cr_assert_not(id_valid("g196b0c0-7a3f-7abc-8def-0123456789ab"));
}
