#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"

enum { LONG = 3 * LOG_LINE_MAX };

/* Standard error is one end of a pair of sockets that keep the bounds of writes: one receive, one write. */
static int end = -1;

static void setup(void) {
    int s[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, s), 0);
    cr_assert_eq(dup2(s[1], STDERR_FILENO), STDERR_FILENO);
    close(s[1]);
    end = s[0];
    log_init("parent", NULL);
}

TestSuite(log, .init = setup);

static size_t take(char line[LOG_LINE_MAX + 1]) {
    ssize_t n = recv(end, line, LOG_LINE_MAX + 1, MSG_TRUNC);
    if (n < 0)
        return 0;
    cr_assert_leq(n, LOG_LINE_MAX);
    line[n] = '\0';
    cr_assert_eq(strchr(line, '\n'), line + n - 1, "one line, ended");
    return (size_t)n;
}

static json_t *take_json(void) {
    char line[LOG_LINE_MAX + 1];
    json_error_t why;
    size_t n = take(line);
    cr_assert_neq(n, 0, "nothing was written");
    json_t *json = json_loadb(line, n, JSON_REJECT_DUPLICATES, &why);
    cr_assert_not_null(json, "%s in %s", why.text, line);
    cr_assert(utf8_valid(line, n));
    return json;
}

Test(log, one_write_with_all_that_is_known) {
    log_init("runner", "job-1");
    log_info("job ended", LS("status", "failed"), LI("exit_code", -3));
    AUTO_JSON json_t *json = take_json();
    cr_assert_str_eq(json_get_string(json, "level"), "info");
    cr_assert_str_eq(json_get_string(json, "role"), "runner");
    cr_assert_str_eq(json_get_string(json, "job"), "job-1");
    cr_assert_str_eq(json_get_string(json, "msg"), "job ended");
    cr_assert_str_eq(json_get_string(json, "status"), "failed");
    cr_assert_eq(json_get_int(json, "exit_code", 0), -3);
    cr_assert_eq(json_get_int(json, "pid", 0), getpid());
    cr_assert_eq(strlen(json_get_string(json, "ts")), 27);
    char line[LOG_LINE_MAX + 1];
    cr_assert_eq(take(line), 0, "nothing else was written");
}

Test(log, below_the_level_nothing_is_written) {
    char line[LOG_LINE_MAX + 1];
    enum log_level level;
    log_debug("unseen");
    cr_assert_eq(take(line), 0);
    cr_assert_eq(log_level_parse("error", &level), 0);
    cr_assert_eq(level, LOG_LEVEL_ERROR);
    log_set_level(level);
    log_warn("unseen");
    cr_assert_eq(take(line), 0);
    log_error("seen");
    cr_assert_neq(take(line), 0);
    cr_assert_eq(log_level_parse("debug", &level), 0);
    log_set_level(level);
    log_debug("seen");
    cr_assert_neq(take(line), 0);
    cr_assert_eq(log_level_parse("Debug", &level), -1);
    cr_assert_eq(log_level_parse("", &level), -1);
    log_set_level_word("warn");
    log_info("unseen");
    cr_assert_eq(take(line), 0);
    log_set_level_word(NULL);
    log_set_level_word("shout");
    log_info("unseen: the level stays");
    cr_assert_eq(take(line), 0);
}

Test(log, escapes_what_could_break_the_line_or_the_terminal) {
    log_info("x", LS("v", "a\"b\\c\nd\te\r\x1b[31m\x01\x7f"
                          "\xc2\x9b"
                          "€"));
    char line[LOG_LINE_MAX + 1];
    size_t n = take(line);
    for (size_t i = 0; i + 1 < n; i++)
        cr_assert((unsigned char)line[i] >= 0x20 && line[i] != 0x7f, "byte %zu of %s", i, line);
    cr_assert_null(strstr(line, "\xc2\x9b"));
    AUTO_JSON json_t *json = json_loadb(line, n, 0, NULL);
    cr_assert_str_eq(json_get_string(json, "v"), "a\"b\\c\nd\te\r\x1b[31m\x01\x7f"
                                                 "\xc2\x9b"
                                                 "€");
}

Test(log, replaces_what_is_not_utf8) {
    log_info("x",
             LS("v", "a\xff"
                     "b\xc3"),
             LS("w", "\xe2\x82"));
    AUTO_JSON json_t *json = take_json();
    cr_assert_str_eq(json_get_string(json, "v"), "a\xef\xbf\xbd"
                                                 "b\xef\xbf\xbd");
    cr_assert_str_eq(json_get_string(json, "w"), "\xef\xbf\xbd\xef\xbf\xbd");
}

Test(log, a_null_text_is_empty) {
    const char *nothing = NULL;
    struct err err = {.text = "why"};
    log_info("x", LS("v", nothing), LERR(&err));
    AUTO_JSON json_t *json = take_json();
    cr_assert_str_eq(json_get_string(json, "v"), "");
    cr_assert_str_eq(json_get_string(json, "error"), "why");
}

/* At every length the cut line is JSON, however wide the escapes are at the place where it is cut. */
Test(log, a_long_line_is_cut_and_says_so) {
    static const char *const pieces[] = {"x", "\n", "\x01", "€", "😀", "\xff"};
    static char text[LONG + 16];
    for (size_t p = 0; p < ARRAY_LEN(pieces); p++)
        for (size_t shift = 0; shift < 8; shift++) {
            size_t len = shift;
            memset(text, 'y', shift);
            for (; len < LONG; len += strlen(pieces[p]))
                memcpy(text + len, pieces[p], strlen(pieces[p]));
            text[len] = '\0';
            log_info("x", LS("v", text), LS("after", "a"), LI("n", 1));
            AUTO_JSON json_t *json = take_json();
            cr_assert(json_get_bool(json, "trunc", false));
            cr_assert_gt(strlen(json_get_string(json, "v")), 500);
            cr_assert_null(json_object_get(json, "after"));
            cr_assert_null(json_object_get(json, "n"));
        }
}

Test(log, it_is_cut_between_fields_too) {
    static char text[LOG_LINE_MAX];
    for (size_t len = LOG_LINE_MAX - 260; len < LOG_LINE_MAX - 1; len++) {
        memset(text, 'y', len);
        text[len] = '\0';
        log_info("x", LS("v", text), LI("number", 1234567890), LS("word", "abc"), LS("last", ""));
        AUTO_JSON json_t *json = take_json();
        bool cut = json_get_bool(json, "trunc", false);
        cr_assert_eq(cut, json_object_get(json, "last") == NULL, "with %zu bytes", len);
        if (json_object_get(json, "number"))
            cr_assert_eq(json_get_int(json, "number", 0), 1234567890);
    }
}

Test(log, a_long_message_is_cut_too) {
    static char text[LONG];
    memset(text, 'y', sizeof text - 1);
    log_info(text);
    AUTO_JSON json_t *json = take_json();
    cr_assert(json_get_bool(json, "trunc", false));
}

Test(log, keeps_errno) {
    errno = ENOENT;
    log_info("x");
    cr_assert_eq(errno, ENOENT);
    close(STDERR_FILENO);
    log_info("x");
    cr_assert_eq(errno, ENOENT);
}
