/* Stands in for libFuzzer: runs the target once on every file of the directories and files it is given. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { PATH_BYTES = 4096 };

static int file_run(const char *path) {
    AUTO_FILE FILE *file = fopen(path, "rb");
    struct stat st;
    if (!file || fstat(fileno(file), &st) < 0)
        return -1;
    /* Its exact size, so that the sanitizer sees a read past the end. */
    AUTO_FREE uint8_t *bytes = malloc(st.st_size ? (size_t)st.st_size : 1);
    if (!bytes || fread(bytes, 1, (size_t)st.st_size, file) != (size_t)st.st_size)
        return -1;
    LLVMFuzzerTestOneInput(bytes, (size_t)st.st_size);
    return 1;
}

/* The number of files that were run, or -1. */
static int path_run(const char *path) {
    AUTO_DIR DIR *dir = opendir(path);
    if (!dir)
        return file_run(path);
    int count = 0;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        char full[PATH_BYTES];
        if (entry->d_name[0] == '.')
            continue;
        if ((size_t)snprintf(full, sizeof full, "%s/%s", path, entry->d_name) >= sizeof full ||
            file_run(full) < 0)
            return -1;
        count++;
    }
    return count;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        int count = path_run(argv[i]);
        if (count <= 0) {
            fprintf(stderr, "%s: nothing there that could be run\n", argv[i]);
            return 1;
        }
        printf("%s: %d inputs\n", argv[i], count);
    }
    return argc < 2;
}
