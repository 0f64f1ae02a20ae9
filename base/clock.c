#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { S_PER_DAY = 86400 };

static int64_t clock_ns(clockid_t id) {
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t clock_boot_ns(void) {
    return clock_ns(CLOCK_BOOTTIME);
}

int64_t clock_boot_ms(void) {
    return clock_boot_ns() / NS_PER_MS;
}

int64_t clock_real_us(void) {
    return clock_ns(CLOCK_REALTIME) / 1000;
}

const char *clock_format_rfc3339(int64_t real_us, char out[CLOCK_RFC3339_MAX]) {
    int64_t us = real_us % US_PER_S;
    int64_t s = real_us / US_PER_S;
    if (us < 0) {
        us += US_PER_S;
        s--;
    }
    time_t t = (time_t)s;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || tm.tm_year + 1900 > 9999 || tm.tm_year + 1900 < 0) {
        snprintf(out, CLOCK_RFC3339_MAX, "9999-12-31T23:59:59.999999Z");
        return out;
    }
    /* The year by hand: strftime does not pad it to the four digits of the RFC. */
    int year = snprintf(out, CLOCK_RFC3339_MAX, "%04d", tm.tm_year + 1900);
    size_t n =
        (size_t)year + strftime(out + year, (size_t)(CLOCK_RFC3339_MAX - year), "-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, CLOCK_RFC3339_MAX - n, ".%06" PRId64 "Z", us);
    return out;
}

/* Reads exactly `n` digits; -1 when there are fewer. */
static int take_digits(const char **p, int n) {
    int value = 0;
    for (int i = 0; i < n; i++, (*p)++) {
        if (**p < '0' || **p > '9')
            return -1;
        value = value * 10 + (**p - '0');
    }
    return value;
}

/* The digits behind the point, if there is one. -1: none, or more than nine. */
static int64_t take_fraction_us(const char **p) {
    enum { DIGITS_MAX = 9 };
    if (**p != '.')
        return 0;
    const char *first = ++*p;
    int64_t us = 0;
    int64_t unit = US_PER_S / 10;
    for (; **p >= '0' && **p <= '9'; (*p)++, unit /= 10)
        us += (**p - '0') * unit;
    return *p == first || *p - first > DIGITS_MAX ? -1 : us;
}

static int take_offset_s(const char **p, int64_t *ret_s) {
    if (**p == 'Z' || **p == 'z') {
        (*p)++;
        *ret_s = 0;
        return 0;
    }
    if (**p != '+' && **p != '-')
        return -1;
    int sign = *(*p)++ == '-' ? -1 : 1;
    int hours = take_digits(p, 2);
    if (hours < 0 || hours > 23 || *(*p)++ != ':')
        return -1;
    int minutes = take_digits(p, 2);
    if (minutes < 0 || minutes > 59)
        return -1;
    *ret_s = sign * (hours * INT64_C(3600) + minutes * INT64_C(60));
    return 0;
}

static int take_date_time(const char **p, struct tm *tm) {
    static const struct {
        int digits, min, max;
        char before;
    } fields[] = {{4, 1970, 9999, 0}, {2, 1, 12, '-'}, {2, 1, 31, '-'},
                  {2, 0, 23, 'T'},    {2, 0, 59, ':'}, {2, 0, 60, ':'}};
    int values[ARRAY_LEN(fields)];
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (fields[i].before) {
            if (**p != fields[i].before && !(fields[i].before == 'T' && (**p == 't' || **p == ' ')))
                return -1;
            (*p)++;
        }
        values[i] = take_digits(p, fields[i].digits);
        if (values[i] < fields[i].min || values[i] > fields[i].max)
            return -1;
    }
    *tm = (struct tm){.tm_year = values[0] - 1900,
                      .tm_mon = values[1] - 1,
                      .tm_mday = values[2],
                      .tm_hour = values[3],
                      .tm_min = values[4],
                      .tm_sec = values[5]};
    return 0;
}

int clock_parse_rfc3339(const char *text, int64_t *ret_real_us, struct err *err) {
    static const char remedy[] = "write it like 2026-11-22T12:00:00Z (RFC 3339)";
    const char *p = text;
    struct tm tm;
    if (take_date_time(&p, &tm) < 0)
        return err_set(err, ERR_INVALID, 0, "not a time: %s", remedy);
    int64_t us = take_fraction_us(&p);
    if (us < 0)
        return err_set(err, ERR_INVALID, 0, "not a time, a fraction has 1 to 9 digits: %s", remedy);
    int64_t offset_s = 0;
    if (take_offset_s(&p, &offset_s) < 0 || *p)
        return err_set(err, ERR_INVALID, 0, "not a time, the offset is wrong or missing: %s", remedy);
    int leap = tm.tm_sec == 60;
    int month_day = tm.tm_mday;
    tm.tm_sec -= leap;
    int64_t s = (int64_t)timegm(&tm) + leap - offset_s;
    if (tm.tm_mday != month_day)
        return err_set(err, ERR_INVALID, 0, "no such day in that month: %s", remedy);
    if (leap && s % S_PER_DAY != 0)
        return err_set(err, ERR_INVALID, 0, "a leap second is only at the end of a day: %s", remedy);
    *ret_real_us = s * US_PER_S + us;
    return 0;
}

int clock_boot_id(char out[CLOCK_BOOT_ID_MAX], struct err *err) {
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "open %s", path);
    ssize_t n = read(fd, out, CLOCK_BOOT_ID_MAX - 1);
    if (n < 0)
        return err_sys(err, "read %s", path);
    if (n == 0)
        return err_set(err, ERR_INVALID, 0, "%s is empty", path);
    out[n] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return 0;
}
