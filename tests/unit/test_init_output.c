/* What the static berth-init carries from the job's pipes into the spool: every byte, and in which order. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/init/streams.h"
#include "tests/unit/init_rig.h"

Test(init, binary_bytes_are_exact) {
    cr_assert_eq(SH("f=$(mktemp); head -c 3000001 /dev/urandom >$f; cat $f; sha256sum <$f >&2; cat $f | "
                    "sha256sum >&2; rm $f"),
                 0);
    cr_assert_eq(out_len, 3000001);
    char command[200];
    FILE *file = fopen(below("copy"), "w");
    fwrite(out, 1, out_len, file);
    fclose(file);
    snprintf(command, sizeof command, "sha256sum <%s", below("copy"));
    FILE *pipe = popen(command, "r");
    char sum[100] = "";
    cr_assert_not_null(fgets(sum, sizeof sum, pipe));
    pclose(pipe);
    cr_assert_eq(strncmp(sum, errs, strlen(sum)), 0);
}

static void order_check(const char *max_len, const char *max_run, const char *seed) {
    cr_assert_eq(RUN(JOB_PATH, "order", "2000", max_len, max_run, seed), 0);
    const char *at = both;
    for (int i = 0; i < 2000; i++) {
        cr_assert_eq(strtol(at, NULL, 10), i, "write %d is not in its place (%s %s %s)", i, max_len, max_run,
                     seed);
        at = strchr(at, '\n');
        cr_assert_not_null(at);
        at++;
    }
    cr_assert_eq(*at, '\0');
}

Test(init, order_of_alternating_writes) {
    order_check("30", "1", "1");
}
Test(init, order_of_random_runs) {
    order_check("200", "20", "2");
}
Test(init, order_of_writes_of_a_shell) {
    cr_assert_eq(SH("i=0; while [ $i -lt 500 ]; do echo a; echo b >&2; echo c; i=$((i+1)); done"), 0);
    for (int i = 0; i < 500; i++)
        cr_assert_eq(strncmp(both + i * 6, "a\nb\nc\n", 6), 0, "round %d", i);
}

Test(init, every_byte_of_a_flood) {
    cr_assert_eq(RUN(JOB_PATH, "flood", "30000000", "60000"), 0);
    cr_assert_eq(out_len, 30000000);
}
/* Never before what was written before it, and late by no more than the pipe holds. */
Test(init, a_line_beside_a_flood_stays_near_its_place) {
    cr_assert_eq(RUN(JOB_PATH, "beside", "33554432", "4194304", "65536"), 0);
    size_t stdout_bytes = 0, lines = 0;
    for (size_t at = 0; at < both_len; at++) {
        if (both[at] == 'x') {
            stdout_bytes++;
            continue;
        }
        char *rest;
        size_t written = strtoul(both + at, &rest, 10);
        cr_assert_geq(stdout_bytes, written, "%zu bytes too early", written - stdout_bytes);
        cr_assert_leq(stdout_bytes, written + STREAMS_WIDE_BYTES, "%zu bytes too late",
                      stdout_bytes - written);
        at = (size_t)(rest - both);
        lines++;
    }
    cr_assert_eq(stdout_bytes, 33554432);
    cr_assert_eq(lines, (33554432 - 4194304) / 65536);
}
Test(init, every_byte_of_two_streams_at_once) {
    cr_assert_eq(SH("\"$JOB\" flood 8000000 100000 & \"$JOB\" flood 8000000 50 >&2; wait"), 0);
    cr_assert_eq(out_len, 8000000);
    cr_assert_eq(errs_len, 8000000);
}
Test(init, last_bytes_of_an_early_exit) {
    cr_assert_eq(SH("printf first; printf last >&2; exit 9"), 9);
    cr_assert_str_eq(both, "firstlast");
}
