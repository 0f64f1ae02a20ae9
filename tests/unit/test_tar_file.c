/* tar(1) is the judge. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "runner/tar_file.h"

static void check(size_t len) {
    char path[] = "/tmp/tar_file.XXXXXX";
    char command[128];
    char *content = malloc(len + 1);
    memset(content, 'x', len);
    AUTO_BUF struct buf archive = BUF(1024 * 1024);
    cr_assert_eq(tar_file_build(&archive, "probe/", "probe/init", content, len), 0);
    cr_expect_eq(archive.len % 512, 0);
    AUTO_FD int fd = mkstemp(path);
    cr_assert_eq(fd_write_all(fd, archive.data, archive.len, NULL), 0);
    snprintf(command, sizeof command, "tar tvf %s && tar xOf %s probe/init | wc -c", path, path);
    FILE *out = popen(command, "r");
    char text[512] = "";
    size_t got = fread(text, 1, sizeof text - 1, out);
    cr_expect_eq(pclose(out), 0);
    unlink(path);
    char count[32];
    snprintf(count, sizeof count, "\n%zu\n", len);
    cr_expect(got && strstr(text, "-rwxr-xr-x") && strstr(text, "drwxr-xr-x") && strstr(text, "probe/init"),
              "%s", text);
    cr_expect(strstr(text, count), "%zu bytes: %s", len, text);
    free(content);
}

Test(tar_file, tar_reads_it) {
    static const size_t sizes[] = {0, 1, 511, 512, 513, 100000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        check(sizes[i]);
}

Test(tar_file, bounds) {
    struct buf small = BUF(1024);
    cr_expect(tar_file_build(&small, "d/", "d/f", "x", 1) < 0);
    buf_done(&small);
}
