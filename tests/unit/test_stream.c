#include <criterion/criterion.h>

#include "proto/spool.h"
#include "proto/stream.h"

static const char *const services[] = {"db", "cache"};

Test(stream, names_go_both_ways) {
    static const struct {
        int stream;
        const char *name;
    } cases[] = {{STREAM_STDOUT, "stdout"},
                 {STREAM_STDERR, "stderr"},
                 {STREAM_SYSTEM, "system"},
                 {STREAM_SERVICE, "service:db"},
                 {STREAM_SERVICE + 1, "service:cache"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[STREAM_NAME_MAX];
        cr_expect_str_eq(stream_name(cases[i].stream, services, 2, name), cases[i].name);
        cr_expect_eq(stream_find(cases[i].name, services, 2), cases[i].stream);
    }
}

Test(stream, numbers_and_names_that_nobody_has) {
    static const int numbers[] = {-1, STREAM_NONE, 4, STREAM_SERVICE - 1, STREAM_SERVICE + 2, 1 << 30};
    static const char *const names[] = {"",        "Stdout", "service:", "service:d", "service:db2",
                                        "service", "db"};
    char name[STREAM_NAME_MAX];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        cr_expect_str_eq(stream_name(numbers[i], services, 2, name), "service:?", "%d", numbers[i]);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_expect_eq(stream_find(names[i], services, 2), STREAM_NONE, "%s", names[i]);
    cr_expect_eq(stream_find("service:db", NULL, 0), STREAM_NONE);
}

Test(stream, a_name_that_is_too_long_is_cut) {
    static const char *const longest[] = {"0123456789012345678901234567890123456789"};
    char name[STREAM_NAME_MAX];
    cr_expect_eq(strlen(stream_name(STREAM_SERVICE, longest, 1, name)), STREAM_NAME_MAX - 1);
}

Test(stream, a_spool_says_the_same_numbers) {
    cr_expect(STREAM_STDOUT == (int)SPOOL_STDOUT && STREAM_STDERR == (int)SPOOL_STDERR &&
              STREAM_SYSTEM == (int)SPOOL_SYSTEM);
}
