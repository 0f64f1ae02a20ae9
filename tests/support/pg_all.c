/* One PostgreSQL for all tests of a program. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <criterion/stats.h>

#include "tests/support/pg.h"

ReportHook(PRE_ALL)(struct criterion_test_set *tests) {
    (void)tests;
    pg_all_begin();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats) {
    (void)stats;
    pg_all_end();
}
