#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_NO_MEMORY = 70 };

static void *must(void *p) {
    if (p)
        return p;
    static const char line[] = "out of memory: this process ends and is started again by its supervisor\n";
    if (write(STDERR_FILENO, line, sizeof line - 1) < 0)
        _exit(EXIT_NO_MEMORY);
    _exit(EXIT_NO_MEMORY);
}

void *mem_alloc(size_t bytes) {
    return must(calloc(1, bytes ? bytes : 1));
}

void *mem_calloc(size_t count, size_t bytes) {
    return must(calloc(count ? count : 1, bytes ? bytes : 1));
}

void *mem_realloc(void *p, size_t bytes) {
    return must(realloc(p, bytes ? bytes : 1));
}

char *mem_strdup(const char *s) {
    return s ? must(strdup(s)) : NULL;
}

char *mem_strndup(const char *s, size_t n) {
    return must(strndup(s, n));
}

char *mem_printf(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *text = NULL;
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return must(n < 0 ? NULL : text);
}
