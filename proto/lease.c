#include "proto/lease.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int lease_write(int fd, const char *boot_id, int64_t until_ms, struct err *err) {
    char text[LEASE_TEXT_MAX];
    int len = snprintf(text, sizeof text, "%.36s %019" PRId64 "\n", boot_id, until_ms);
    return pwrite(fd, text, (size_t)len, 0) == len ? 0 : err_sys(err, "write the file " LEASE_FILE);
}

int64_t lease_read(int fd, const char *boot_id) {
    char text[LEASE_TEXT_MAX] = "";
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    size_t boot_len = strlen(boot_id);
    if (len <= 0 || text[len - 1] != '\n' || strncmp(text, boot_id, boot_len) != 0 || text[boot_len] != ' ')
        return 0;
    char *end = NULL;
    int64_t until_ms = strtoll(text + boot_len + 1, &end, 10);
    return *end == '\n' && until_ms > 0 ? until_ms : 0;
}
