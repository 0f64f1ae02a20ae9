#include "base/units.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

/* Digits of a fraction that count; 10^6 times the largest unit stays within int64. */
enum { FRACTION_DIGITS = 6, FRACTION_ONE = 1000000 };

struct unit {
    const char *name;
    int64_t factor;
};

/* Falling, as they have to be written. */
static const struct unit durations[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit sizes[] = {
    {"t", INT64_C(1) << 40}, {"g", INT64_C(1) << 30}, {"m", INT64_C(1) << 20}, {"k", INT64_C(1) << 10}};

struct number {
    int64_t whole, millionths;
    bool fraction;
};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* digits [ "." digits ]; -1: not a number, or too large. */
static int take_number(const char **p, struct number *ret) {
    struct number n = {0};
    if (!is_digit(**p))
        return -1;
    for (; is_digit(**p); (*p)++)
        if (__builtin_mul_overflow(n.whole, 10, &n.whole) ||
            __builtin_add_overflow(n.whole, **p - '0', &n.whole))
            return -1;
    if (**p == '.') {
        if (!is_digit(*++*p))
            return -1;
        n.fraction = true;
        int64_t place = FRACTION_ONE / 10;
        for (; is_digit(**p); (*p)++, place /= 10)
            n.millionths += (**p - '0') * place;
    }
    *ret = n;
    return 0;
}

/* *sum += n * factor, to the nearest whole. -1: too large. */
static int add_scaled(struct number n, int64_t factor, int64_t *sum) {
    int64_t value = 0;
    int64_t part = (n.millionths * factor + FRACTION_ONE / 2) / FRACTION_ONE;
    if (__builtin_mul_overflow(n.whole, factor, &value) || __builtin_add_overflow(value, part, &value) ||
        __builtin_add_overflow(*sum, value, sum))
        return -1;
    return 0;
}

int units_parse_duration_ms(const char *text, int64_t *ret_ms, struct err *err) {
    static const char remedy[] = "write a duration like 90s, 10m, 1h30m, 250ms, or a number of seconds";
    const char *p = text;
    int64_t sum = 0;
    size_t next = 0; /* units before this one were passed */
    do {
        struct number n;
        if (take_number(&p, &n) < 0)
            return err_set(err, ERR_INVALID, 0, "%s", remedy);
        size_t letters = strspn(p, "dhms");
        if (letters == 0) {
            if (*p || next || add_scaled(n, 1000, &sum) < 0)
                return err_set(err, ERR_INVALID, 0, "%s", remedy);
            break;
        }
        while (next < ARRAY_LEN(durations) &&
               (strlen(durations[next].name) != letters || strncmp(p, durations[next].name, letters) != 0))
            next++;
        if (next == ARRAY_LEN(durations) || add_scaled(n, durations[next].factor, &sum) < 0)
            return err_set(err, ERR_INVALID, 0, "%s", remedy);
        next++;
        p += letters;
    } while (*p);
    *ret_ms = sum;
    return 0;
}

/* What may follow the number: nothing, "b", or a letter with "b" or "ib" or nothing behind it. 0: none of
 * these. */
static int64_t size_factor(const char *suffix) {
    if (!*suffix || strcasecmp(suffix, "b") == 0)
        return 1;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        if (strncasecmp(suffix, sizes[i].name, 1) == 0 &&
            (!suffix[1] || strcasecmp(suffix + 1, "b") == 0 || strcasecmp(suffix + 1, "ib") == 0))
            return sizes[i].factor;
    return 0;
}

int units_parse_size_bytes(const char *text, int64_t *ret_bytes, struct err *err) {
    static const char remedy[] = "write a size like 512m, 2g, 64k (powers of 1024), or a number of bytes";
    const char *p = text;
    struct number n;
    int64_t sum = 0;
    if (take_number(&p, &n) < 0)
        return err_set(err, ERR_INVALID, 0, "%s", remedy);
    int64_t factor = size_factor(p);
    if (!factor || (n.fraction && factor == 1) || add_scaled(n, factor, &sum) < 0)
        return err_set(err, ERR_INVALID, 0, "%s", remedy);
    *ret_bytes = sum;
    return 0;
}

int units_parse_milli(const char *text, int64_t *ret_milli, struct err *err) {
    const char *p = text;
    struct number n;
    int64_t sum = 0;
    if (take_number(&p, &n) < 0 || *p || add_scaled(n, 1000, &sum) < 0)
        return err_set(err, ERR_INVALID, 0, "write a number like 2 or 1.5");
    *ret_milli = sum;
    return 0;
}

const char *units_format_milli(int64_t milli, char out[UNITS_TEXT_MAX]) {
    uint64_t n = milli < 0 ? -(uint64_t)milli : (uint64_t)milli;
    int len =
        snprintf(out, UNITS_TEXT_MAX, "%s%" PRIu64 ".%03" PRIu64, milli < 0 ? "-" : "", n / 1000, n % 1000);
    while (out[len - 1] == '0')
        out[--len] = '\0';
    if (out[len - 1] == '.')
        out[--len] = '\0';
    return out;
}

const char *units_format_duration(int64_t ms, char out[UNITS_TEXT_MAX]) {
    uint64_t left = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;
    size_t len = 0;
    if (ms < 0)
        out[len++] = '-';
    for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
        uint64_t n = left / (uint64_t)durations[i].factor;
        if (n)
            len += (size_t)snprintf(out + len, UNITS_TEXT_MAX - len, "%" PRIu64 "%s", n, durations[i].name);
        left %= (uint64_t)durations[i].factor;
    }
    if (!ms)
        snprintf(out, UNITS_TEXT_MAX, "0s");
    return out;
}

const char *units_format_size(int64_t bytes, char out[UNITS_TEXT_MAX]) {
    for (size_t i = 0; bytes && i < ARRAY_LEN(sizes); i++)
        if (bytes % sizes[i].factor == 0) {
            snprintf(out, UNITS_TEXT_MAX, "%" PRId64 "%s", bytes / sizes[i].factor, sizes[i].name);
            return out;
        }
    snprintf(out, UNITS_TEXT_MAX, "%" PRId64, bytes);
    return out;
}
