/* What Berth says in a job's log, read back as the scribe reads it. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fdutil.h"
#include "proto/attempt.h"
#include "proto/spool.h"
#include "runner/system_log.h"

static char dir[] = "/tmp/test_system_log.XXXXXX";
static int dir_fd;

static void begin(void) {
    cr_assert_not_null(mkdtemp(dir));
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void end(void) {
    close(dir_fd);
    dir_remove_tree(AT_FDCWD, dir, NULL);
}

TestSuite(system_log, .init = begin, .fini = end);

/* The payloads of all records; every byte of the file must be in one. Returns how many records. */
static int lines(struct buf *out) {
    AUTO_BUF struct buf bytes = BUF(2 * SYSTEM_LOG_BYTES_MAX);
    cr_assert_eq(file_read(dir_fd, ATTEMPT_SYSTEM, bytes.max, &bytes, NULL), 0);
    int count = 0;
    size_t used = 0;
    for (size_t at = 0; at < bytes.len; at += used, count++) {
        struct spool_header header;
        const unsigned char *payload;
        cr_assert_eq(spool_next((unsigned char *)bytes.data + at, bytes.len - at, &header, &payload, &used),
                     SPOOL_RECORD);
        cr_assert(header.type == SPOOL_OUTPUT && header.stream == SPOOL_SYSTEM && header.time_us);
        cr_assert_eq(buf_add(out, payload, header.len), 0);
    }
    return count;
}

Test(system_log, lines_in_their_order) {
    AUTO_BUF struct buf text = BUF(4096);
    system_log(dir_fd, "Pulling image %s", "a:b");
    system_log(dir_fd, "%d services", 2);
    cr_expect_eq(lines(&text), 2);
    cr_expect_str_eq(text.data, "Pulling image a:b\n2 services\n");
}

Test(system_log, foreign_words_do_no_harm) {
    AUTO_BUF struct buf text = BUF(4096);
    system_log(dir_fd, "%s", "a\nb\033[2J\x7f\xc2\x9b \xff\xc3 gr\xc3\xbc\xc3\x9f");
    lines(&text);
    cr_expect_str_eq(text.data, "a?b?[2J?? ?? gr\xc3\xbc\xc3\x9f\n");
}

Test(system_log, a_long_line_ends_behind_a_character) {
    char words[3 * SYSTEM_LOG_LINE_MAX];
    AUTO_BUF struct buf text = BUF(sizeof words);
    for (size_t i = 0; i + 2 < sizeof words; i += 2)
        memcpy(words + i, "\xc3\xbc", 3);
    system_log(dir_fd, "%s", words);
    lines(&text);
    cr_expect_eq(text.len, SYSTEM_LOG_LINE_MAX - 1);
    cr_expect_str_eq(text.data + text.len - 3, "\xc3\xbc\n");
}

Test(system_log, is_bounded_and_says_so_once) {
    char words[SYSTEM_LOG_LINE_MAX];
    AUTO_BUF struct buf text = BUF(2 * SYSTEM_LOG_BYTES_MAX);
    memset(words, 'x', sizeof words - 1);
    words[sizeof words - 1] = '\0';
    for (int i = 0; i < SYSTEM_LOG_BYTES_MAX / 900; i++)
        system_log(dir_fd, "%.*s", 800 + i % 200, words);
    system_log(dir_fd, "short");
    struct stat st;
    cr_assert_eq(fstatat(dir_fd, ATTEMPT_SYSTEM, &st, 0), 0);
    cr_expect_leq(st.st_size, SYSTEM_LOG_BYTES_MAX);
    cr_expect_gt(st.st_size, SYSTEM_LOG_BYTES_MAX / 10 * 9);
    lines(&text);
    const char *last = strstr(text.data, "There is more to say");
    cr_assert_not_null(last);
    cr_expect_eq(strchr(last, '\n'), text.data + text.len - 1, "it is not the last line");
}

Test(system_log, nobody_to_tell) {
    system_log(-1, "lost");
}
