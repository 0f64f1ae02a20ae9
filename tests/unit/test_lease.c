#include "proto/lease.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BOOT "6b0b6a5c-5b5e-4d4f-9c55-0a1d2f3e4b5c"

static int file_of(const char *text) {
    int fd = memfd_create("lease", MFD_CLOEXEC);
    cr_assert(fd >= 0);
    cr_assert_eq(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
    return fd;
}

Test(lease, what_is_written_is_read) {
    struct err err = {0};
    int fd = file_of("");
    cr_expect_eq(lease_read(fd, BOOT), 0);
    static const int64_t values[] = {1, 9999999999, 12, INT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        cr_assert_eq(lease_write(fd, BOOT, values[i], &err), 0);
        cr_expect_eq(lease_read(fd, BOOT), values[i]);
    }
    cr_expect_eq(lease_read(fd, "another-boot"), 0);
    close(fd);
}

Test(lease, what_is_none_holds_nothing) {
    static const char *const texts[] = {
        BOOT " 5", BOOT "5\n", BOOT " -5\n", BOOT " 5x\n",    BOOT "\n",
        " 5\n",    "\n",       BOOT " \n",   "x" BOOT " 5\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int fd = file_of(texts[i]);
        cr_expect_eq(lease_read(fd, BOOT), 0, "%s", texts[i]);
        close(fd);
    }
}
