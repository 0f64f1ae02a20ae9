/* The last words of a container, out of whatever its spool holds. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fdutil.h"
#include "base/utf8.h"
#include "proto/spool.h"
#include "runner/tail.h"

static int spool_fd = -1;

static void begin(void) {
    spool_fd = memfd_create("spool", MFD_CLOEXEC);
}

static void end(void) {
    close(spool_fd);
}

TestSuite(tail, .init = begin, .fini = end);

static void put(enum spool_type type, const void *bytes, size_t len) {
    unsigned char header[SPOOL_HEADER_BYTES];
    spool_put_header(header, &(struct spool_header){
                                 .type = type, .stream = SPOOL_STDOUT, .len = (uint32_t)len, .time_us = 1});
    cr_assert_eq(fd_write_all(spool_fd, header, sizeof header, NULL), 0);
    cr_assert_eq(fd_write_all(spool_fd, bytes, len, NULL), 0);
}

static void say(const char *text) {
    put(SPOOL_OUTPUT, text, strlen(text));
}

static void expect(size_t lines, size_t max, const char *wanted) {
    char text[1024];
    memset(text, 'x', sizeof text);
    tail_read(spool_fd, lines, text, max);
    cr_expect_str_eq(text, wanted);
    cr_expect_lt(strlen(text), max);
}

Test(tail, nothing) {
    expect(10, 100, "");
}

Test(tail, last_lines_across_records) {
    struct spool_signal signal = {.signal = 15};
    say("one\ntw");
    put(SPOOL_SIGNAL, &signal, sizeof signal);
    say("o\n\n\r\nthree");
    expect(2, 100, "two | three");
    expect(10, 100, "one | two | three");
}

Test(tail, whole_lines_as_many_as_fit) {
    say("first line\nsecond line\nlast\n");
    expect(10, 100, "first line | second line | last");
    expect(10, 20, "second line | last"); /* 18 and the NUL */
    expect(10, 19, "second line | last");
    expect(10, 18, "last");
    expect(10, 4, "ast");
    expect(10, 2, "t");
}

Test(tail, a_long_line_keeps_its_end_and_its_characters) {
    say("the beginning \xc3\xa4\xc3\xb6");
    expect(1, 5, "\xc3\xa4\xc3\xb6");
    expect(1, 4, "\xc3\xb6"); /* not half of the other */
}

Test(tail, foreign_bytes_become_harmless) {
    put(SPOOL_OUTPUT, "a\0b\x1b[31m\xff\xc2\x9b\tc\x7f", 14);
    expect(1, 100, "a?b?[31m??? c?");
}

/* The scribe takes back what it has stored, and a job may write anything into its own spool. */
Test(tail, holes_and_rubbish_before_and_between) {
    static const char nothing[5000];
    cr_assert_eq(fd_write_all(spool_fd, nothing, sizeof nothing, NULL), 0);
    say("before\n");
    cr_assert_eq(fd_write_all(spool_fd, "\xb7\x01rubbish", 9, NULL), 0);
    say("after\n");
    cr_assert_eq(fd_write_all(spool_fd, "\xb7\x01", 2, NULL), 0); /* of a record that is being written */
    expect(10, 100, "before | after");
}

Test(tail, only_the_end_of_a_long_spool_is_read) {
    static char line[SPOOL_PAYLOAD_MAX];
    memset(line, 'y', sizeof line);
    for (int i = 0; i < 8; i++)
        put(SPOOL_OUTPUT, line, sizeof line);
    say("\nthe end\n");
    expect(1, 100, "the end");
    char text[64];
    tail_read(spool_fd, 5, text, sizeof text);
    cr_expect_str_eq(text, "the end"); /* a part of the endless line would say nothing */
}
