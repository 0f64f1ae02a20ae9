/* The small parsers: times, durations, sizes, numbers, ids, characters. What is accepted is formatted back to
 * itself. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/units.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

typedef int parser(const char *text, int64_t *ret, struct err *err);
typedef const char *formatter(int64_t value, char out[UNITS_TEXT_MAX]);

static void check_unit(parser *parse, formatter *format, const char *text) {
    int64_t value = -1, back = -1;
    char out[UNITS_TEXT_MAX];
    struct err err = {0};
    if (parse(text, &value, &err) < 0) {
        if (err.kind != ERR_INVALID || value != -1)
            abort();
        return;
    }
    if (value < 0 || parse(format(value, out), &back, NULL) < 0 || back != value)
        abort();
}

static void check_time(const char *text) {
    int64_t us = 0, back = -1;
    char out[CLOCK_RFC3339_MAX];
    if (clock_parse_rfc3339(text, &us, NULL) < 0)
        return;
    /* An offset may lead out of the years that are read. */
    if (us >= 0 && us < INT64_C(253402300800000000) &&
        (clock_parse_rfc3339(clock_format_rfc3339(us, out), &back, NULL) < 0 || back != us))
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    AUTO_FREE char *text = mem_alloc(size + 1);
    if (size)
        memcpy(text, data, size);
    check_unit(units_parse_duration_ms, units_format_duration, text);
    check_unit(units_parse_size_bytes, units_format_size, text);
    check_unit(units_parse_milli, units_format_milli, text);
    check_time(text);
    if (id_valid(text) && strlen(text) != ID_TEXT_MAX - 1)
        abort();
    for (size_t at = 0, n; at < size && (n = utf8_char_len(data + at, size - at)); at += n)
        if (n > 4 || at + n > size)
            abort();
    return 0;
}
