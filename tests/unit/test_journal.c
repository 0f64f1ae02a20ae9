#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/json.h"
#include "base/mem.h"
#include "proto/attempt.h"
#include "proto/journal.h"

static char dir[] = "/tmp/berth-test-journal-XXXXXX";
static int fd = -1;

static void make_dir(void) {
    cr_assert_not_null(mkdtemp(dir));
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
}

static void remove_dir(void) {
    close(fd);
    dir_remove_tree(AT_FDCWD, dir, NULL);
}

TestSuite(journal, .init = make_dir, .fini = remove_dir);

static const char whole[] =
    "{\"step\":\"pulled\",\"time_us\":10,\"digest\":\"sha256:ab\"}\n"
    "{\"step\":\"created\",\"time_us\":20,\"container\":\"c1\"}\n"
    "not JSON at all \xff\xfe\n"
    "{\"step\":\"danced\",\"time_us\":25}\n"
    "{\"step\":\"started\",\"time_us\":30,\"container\":\"c1\",\"boot_ns\":300,\"boot_id\":\"b1\",\"news\":["
    "1]}\n"
    "{\"step\":\"started\",\"time_us\":35,\"container\":\"c1\",\"boot_ns\":350,\"boot_id\":\"b1\"}\n"
    "{\"step\":\"extended\",\"time_us\":36,\"run_ms\":5000}\n"
    "{\"step\":\"extended\",\"time_us\":37,\"run_ms\":9000}\n"
    "{\"step\":\"stopping\",\"time_us\":40,\"cause\":\"run_deadline\",\"boot_ns\":400,\"boot_id\":\"b1\"}\n"
    "{\"step\":\"stopping\",\"time_us\":41,\"cause\":\"requested\",\"boot_ns\":410,\"boot_id\":\"b2\"}\n"
    "{\"step\":\"exited\",\"time_us\":50}\n"
    "{\"step\":\"verdict\",\"time_us\":60,\"status\":\"timed_out\",\"reason\":\"run_deadline\",\"message\":"
    "\"too "
    "long\",\"exit_code\":null,\"signal\":15,\"usage\":{\"cpu_us\":7,\"memory_peak_bytes\":8,\"pids_peak\":"
    "null}}\n"
    "{\"step\":\"verdict\",\"time_us\":61,\"status\":\"succeeded\",\"reason\":null,\"message\":\"\"}\n"
    "{\"step\":\"cleaned\",\"time_us\":70}\n";

static void expect_whole(const struct journal *j) {
    static const int64_t times[JOURNAL_STEP_COUNT] = {10, 20, 30, 36, 40, 50, 60, 70};
    cr_expect_arr_eq(j->time_us, times, sizeof times);
    cr_expect_str_eq(j->digest, "sha256:ab");
    cr_expect_str_eq(j->container, "c1");
    cr_expect_eq(j->started_boot_ns, 300, "the first start counts");
    cr_expect_str_eq(j->started_boot_id, "b1");
    cr_expect_eq(j->extended_ms, 9000, "the last extension counts");
    cr_expect_eq(j->stopping, REASON_RUN_DEADLINE, "the first cause counts");
    cr_expect_eq(j->stopping_boot_ns, 400, "the grace runs from the first stop");
    cr_expect_str_eq(j->stopping_boot_id, "b1");
    cr_expect_eq(j->verdict.status, STATUS_TIMED_OUT, "the first verdict counts");
    cr_expect_eq(j->verdict.reason, REASON_RUN_DEADLINE);
    cr_expect_str_eq(j->verdict.message, "too long");
    cr_expect_eq(j->verdict.exit_code, -1);
    cr_expect_eq(j->verdict.signal, 15);
    cr_expect_eq(j->verdict.usage.cpu_us, 7);
    cr_expect_eq(j->verdict.usage.memory_peak_bytes, 8);
    cr_expect_eq(j->verdict.usage.pids_peak, -1);
    cr_expect_eq(j->verdict.usage.oom_kills, -1);
    cr_expect_eq(j->used, strlen(whole));
}

Test(journal, folds_into_one_picture) {
    struct journal j = {0};
    cr_expect_eq(journal_fold(&j, whole, strlen(whole)), 2, "garbage and an unknown step");
    expect_whole(&j);
}

/* A job can forge the time that stands behind since_us. */
Test(journal, an_end_that_is_told_late_counts_from_when_it_was_but_not_from_before_the_start) {
    static const char lines[] = "{\"step\":\"started\",\"time_us\":30,\"boot_ns\":300,\"boot_id\":\"b\"}\n"
                                "{\"step\":\"exited\",\"time_us\":60,\"since_us\":%s}\n"
                                "{\"step\":\"exited\",\"time_us\":70}\n";
    static const struct {
        const char *us;
        int64_t want_us;
    } rows[] = {{"40", 40}, {"61", 60}, {"20", 30}, {"0", 60}, {"-1", 60}, {"\"40\"", 60}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct journal j = {0};
        AUTO_FREE char *text = mem_printf(lines, rows[i].us);
        cr_expect_eq(journal_fold(&j, text, strlen(text)), 0);
        cr_expect_eq(j.time_us[JOURNAL_EXITED], rows[i].want_us, "%s", rows[i].us);
    }
}

/* At every byte: what a reader sees that comes while a line is being written, and comes again. */
Test(journal, a_start_that_is_told_late_counts_from_when_it_was) {
    static const char line[] = "{\"step\":\"started\",\"time_us\":30,\"boot_ns\":300,\"boot_id\":\"b\","
                               "\"since_us\":%s,\"since_boot_ns\":%s}\n";
    static const struct {
        const char *us, *ns;
        int64_t want_us, want_ns;
    } rows[] = {{"20", "200", 20, 200},
                {"31", "301", 30, 300},
                {"0", "0", 30, 300},
                {"-1", "-1", 30, 300},
                {"\"20\"", "null", 30, 300}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct journal j = {0};
        AUTO_FREE char *text = mem_printf(line, rows[i].us, rows[i].ns);
        cr_expect_eq(journal_fold(&j, text, strlen(text)), 0);
        cr_expect_eq(j.time_us[JOURNAL_STARTED], rows[i].want_us, "%s", text);
        cr_expect_eq(j.started_boot_ns, rows[i].want_ns, "%s", text);
    }
}

Test(journal, a_text_that_was_cut_within_a_character_takes_nothing_with_it) {
    struct journal j = {0};
    json_t *fields = json_pack("{s:s, s:o*}", "cause", "service_failed", "text", journal_text("caf\xc3"));
    cr_assert_eq(journal_append(fd, &j, JOURNAL_STOPPING, fields, NULL), 0);
    cr_expect_eq(j.stopping, REASON_SERVICE_FAILED);
    cr_expect_str_eq(j.stopping_text, "caf?");
    cr_expect_null(journal_text(NULL));
}

Test(journal, in_two_parts_is_as_in_one) {
    for (size_t cut = 0; cut <= strlen(whole); cut++) {
        struct journal j = {0};
        int skipped = journal_fold(&j, whole, cut);
        cr_assert_leq(j.used, cut);
        skipped += journal_fold(&j, whole + j.used, strlen(whole) - j.used);
        cr_assert_eq(skipped, 2, "cut at %zu", cut);
        expect_whole(&j);
    }
}

Test(journal, a_torn_last_line_is_not_yet_there) {
    static const char torn[] = "{\"step\":\"exited\",\"time_us\":50}\n{\"step\":\"cleaned\",\"time_us\":70}";
    struct journal j = {0};
    cr_expect_eq(journal_fold(&j, torn, strlen(torn)), 0);
    cr_expect(journal_has(&j, JOURNAL_EXITED));
    cr_expect_not(journal_has(&j, JOURNAL_CLEANED));
    cr_expect_eq(j.used, strcspn(torn, "\n") + 1);
}

Test(journal, wrong_lines_change_nothing) {
    static const char *const cases[] = {
        "",
        "[]",
        "{}",
        "null",
        "{\"step\":\"exited\"}",
        "{\"step\":\"exited\",\"time_us\":0}",
        "{\"step\":\"exited\",\"time_us\":-5}",
        "{\"step\":\"exited\",\"time_us\":\"5\"}",
        "{\"step\":\"exited\",\"step\":\"exited\",\"time_us\":5}",
        "{\"step\":5,\"time_us\":5}",
        "{\"step\":\"pulled\",\"time_us\":5,\"digest\":5}",
        "{\"step\":\"created\",\"time_us\":5}",
        "{\"step\":\"created\",\"time_us\":5,\"container\":\"a\\u0000b\"}",
        "{\"step\":\"created\",\"time_us\":5,\"container\":"
        "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890\"}",
        "{\"step\":\"started\",\"time_us\":5}",
        "{\"step\":\"started\",\"time_us\":5,\"boot_ns\":-1,\"boot_id\":\"b\"}",
        "{\"step\":\"started\",\"time_us\":5,\"boot_ns\":1,\"boot_id\":\"b\",\"container\":7}",
        "{\"step\":\"extended\",\"time_us\":5}",
        "{\"step\":\"extended\",\"time_us\":5,\"run_ms\":0}",
        "{\"step\":\"extended\",\"time_us\":5,\"run_ms\":\"5s\"}",
        "{\"step\":\"stopping\",\"time_us\":5,\"cause\":\"mood\"}",
        "{\"step\":\"verdict\",\"time_us\":5}",
        "{\"step\":\"verdict\",\"time_us\":5,\"status\":\"running\",\"reason\":null,\"message\":\"\"}",
        "{\"step\":\"verdict\",\"time_us\":5,\"status\":\"failed\",\"reason\":null,\"message\":\"\"}",
        "{\"step\":\"verdict\",\"time_us\":5,\"status\":\"failed\",\"reason\":\"requested\",\"message\":"
        "\"\"}",
        "{\"step\":\"verdict\",\"time_us\":5,\"status\":\"succeeded\",\"reason\":\"oom\",\"message\":\"\"}",
        "{\"step\":\"verdict\",\"time_us\":5,\"status\":\"succeeded\",\"message\":7}",
        "{\"step\":\"verdict\",\"time_us\":5,\"status\":\"succeeded\",\"message\":\"\",\"exit_code\":256}",
        "{\"step\":\"verdict\",\"time_us\":5,\"status\":\"succeeded\",\"message\":\"\",\"exit_code\":\"0\"}",
        "{\"step\":\"verdict\",\"time_us\":5,\"status\":\"succeeded\",\"message\":\"\",\"signal\":-9}",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct journal j = {0};
        struct journal empty = {0};
        char line[512];
        int len = snprintf(line, sizeof line, "%s\n", cases[i]);
        cr_expect_eq(journal_fold(&j, line, (size_t)len), 1, "%s", cases[i]);
        empty.used = (size_t)len;
        cr_expect_eq(memcmp(&j, &empty, sizeof j), 0, "%s", cases[i]);
    }
}

Test(journal, a_line_over_the_bound_is_skipped) {
    AUTO_BUF struct buf text = BUF(4 * JOURNAL_LINE_MAX);
    struct journal j = {0};
    buf_addf(&text, "{\"step\":\"exited\",\"time_us\":5,\"x\":\"%*s\"}\n", JOURNAL_LINE_MAX, "");
    buf_adds(&text, "{\"step\":\"cleaned\",\"time_us\":6}\n");
    cr_expect_eq(journal_fold(&j, text.data, text.len), 1);
    cr_expect_not(journal_has(&j, JOURNAL_EXITED));
    cr_expect(journal_has(&j, JOURNAL_CLEANED));
}

Test(journal, an_absent_file_is_an_empty_journal) {
    struct journal j = {0};
    struct err err = {0};
    cr_expect_eq(journal_read(fd, &j, &err), 0, "%s", err.text);
    cr_expect_eq(j.used, 0);
}

Test(journal, what_is_appended_is_read_by_another) {
    struct journal writer = {0};
    struct journal reader = {0};
    struct err err = {0};
    char boot_id[CLOCK_BOOT_ID_MAX];
    cr_assert_eq(clock_boot_id(boot_id, NULL), 0);
    int64_t before = clock_boot_ns();
    cr_assert_eq(journal_append(fd, &writer, JOURNAL_PULLED, json_pack("{s:s}", "digest", "d"), &err), 0,
                 "%s", err.text);
    cr_assert_eq(journal_read(fd, &reader, &err), 0);
    cr_assert_eq(journal_append(fd, &writer, JOURNAL_STARTED, json_pack("{s:s}", "container", "c"), &err), 0);
    cr_assert_eq(journal_append(fd, &writer, JOURNAL_EXITED, NULL, &err), 0);
    cr_assert_eq(journal_read(fd, &reader, &err), 0);
    cr_expect_eq(memcmp(&writer, &reader, sizeof writer), 0);
    cr_expect_geq(reader.started_boot_ns, before);
    cr_expect_leq(reader.started_boot_ns, clock_boot_ns());
    cr_expect_str_eq(reader.started_boot_id, boot_id);
    cr_expect_str_eq(reader.container, "c");
}

Test(journal, a_line_torn_by_a_death_harms_no_later_one) {
    static const char torn[] = "{\"step\":\"exited\",\"time_us\":5}\n{\"step\":\"verd";
    struct journal j = {0};
    struct err err = {0};
    cr_assert_eq(file_write_atomic(fd, ATTEMPT_JOURNAL, torn, strlen(torn), 0600, NULL), 0);
    cr_assert_eq(journal_read(fd, &j, &err), 0);
    cr_assert_eq(journal_append(fd, &j, JOURNAL_CLEANED, NULL, &err), 0, "%s", err.text);
    cr_expect(journal_has(&j, JOURNAL_EXITED));
    cr_expect(journal_has(&j, JOURNAL_CLEANED));
    cr_expect_not(journal_has(&j, JOURNAL_VERDICT));
}

Test(journal, fields_do_not_overrule_what_every_step_has) {
    struct journal j = {0};
    json_t *fields = json_pack("{s:s, s:i}", "step", "verdict", "time_us", 1);
    cr_assert_eq(journal_append(fd, &j, JOURNAL_CLEANED, fields, NULL), 0);
    cr_expect(journal_has(&j, JOURNAL_CLEANED));
    cr_expect_gt(j.time_us[JOURNAL_CLEANED], 1);
}

Test(journal, a_verdict_comes_back_as_it_was) {
    struct verdict v = {.status = STATUS_FAILED,
                        .reason = REASON_OOM,
                        .exit_code = 137,
                        .signal = 0,
                        .usage = {.cpu_us = 1234567,
                                  .memory_peak_bytes = 1 << 20,
                                  .pids_peak = 3,
                                  .oom_kills = 1,
                                  .throttled_us = -1}};
    struct journal j = {0};
    struct err err = {0};
    memset(v.message, '\x01', sizeof v.message - 1); /* the longest when escaped */
    cr_assert_eq(journal_append(fd, &j, JOURNAL_VERDICT, journal_verdict_fields(&v), &err), 0, "%s",
                 err.text);
    cr_expect_eq(j.verdict.status, v.status);
    cr_expect_eq(j.verdict.reason, v.reason);
    cr_expect_str_eq(j.verdict.message, v.message);
    cr_expect_eq(j.verdict.exit_code, 137);
    cr_expect_eq(j.verdict.signal, 0);
    cr_expect_eq(memcmp(&j.verdict.usage, &v.usage, sizeof v.usage), 0);
}

Test(journal, a_verdict_without_code_and_reason) {
    struct verdict v = {
        .status = STATUS_SUCCEEDED, .exit_code = -1, .message = "cut \xc3", .usage = {-1, -1, -1, -1, -1}};
    struct journal j = {0};
    struct err err = {0};
    cr_assert_eq(journal_append(fd, &j, JOURNAL_VERDICT, journal_verdict_fields(&v), &err), 0, "%s",
                 err.text);
    cr_expect_eq(j.verdict.reason, REASON_NONE);
    cr_expect_eq(j.verdict.exit_code, -1);
    cr_expect_str_eq(j.verdict.message, "cut ?", "a cut character must not lose the verdict");
}

Test(journal, a_step_that_is_too_long_is_refused) {
    AUTO_BUF struct buf text = BUF(2 * JOURNAL_LINE_MAX);
    struct journal j = {0};
    struct err err = {0};
    buf_addf(&text, "%*s", JOURNAL_LINE_MAX, "");
    json_t *fields = json_pack("{s:s}", "digest", text.data);
    cr_expect_eq(journal_append(fd, &j, JOURNAL_PULLED, fields, &err), -1);
    cr_expect_eq(err.kind, ERR_LIMIT);
    cr_expect_eq(journal_read(fd, &j, &err), 0);
    cr_expect_eq(j.used, 0);
}

Test(journal, usage_has_the_form_of_the_contract) {
    struct usage usage = {
        .cpu_us = 1500000, .memory_peak_bytes = 5, .pids_peak = -1, .oom_kills = 0, .throttled_us = 0};
    AUTO_JSON json_t *got = usage_to_json(&usage);
    AUTO_JSON json_t *want = json_pack("{s:f, s:i, s:n, s:i, s:f}", "cpu_seconds", 1.5, "memory_peak_bytes",
                                       5, "pids_peak", "oom_kills", 0, "throttled_seconds", 0.0);
    cr_expect(json_equal(got, want));
}
