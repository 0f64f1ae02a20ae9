/* The settings file: any bytes are read to their end, and each value that was read can be written and read
 * again. */
#include <stdlib.h>
#include <string.h>

#include "base/config_private.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check_value_comes_back(const char *value, size_t max) {
    AUTO_BUF struct buf text = BUF(max);
    struct config_line line;
    if (buf_adds(&text, "key = ") < 0 || config_file_quote(&text, value) < 0)
        abort();
    struct config_file file = config_file_begin(text.data, text.len);
    if (config_file_next(&file, &line, NULL) != 1 || strcmp(line.key, "key") != 0 ||
        strcmp(line.value, value) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    AUTO_BUF struct buf text = BUF(size);
    struct err err = {0};
    struct config_line line;
    if (buf_add(&text, data, size) < 0)
        abort();
    struct config_file file = config_file_begin(text.data, text.len);
    unsigned last = 0;
    for (int n; (n = config_file_next(&file, &line, &err)) != 0; last = file.line) {
        if (file.line <= last || file.line > size)
            abort();
        if (n < 0 && err.kind != ERR_INVALID)
            abort();
        if (n < 0)
            continue;
        if (!*line.key || strpbrk(line.key, " \t\n\"#="))
            abort();
        check_value_comes_back(line.value, size + 16);
    }
    return 0;
}
