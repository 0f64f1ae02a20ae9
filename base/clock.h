/*
 * clock - the only place that asks what time it is.
 *
 * Deadlines run on CLOCK_BOOTTIME together with the boot id: it goes on while the machine is suspended and
 * nobody can set it. The wall clock is only for showing a time to people.
 */
#ifndef BERTH_BASE_CLOCK_H
#define BERTH_BASE_CLOCK_H

#include <stdint.h>

#include "base/err.h"

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define US_PER_S INT64_C(1000000)
#define US_PER_MS INT64_C(1000)
#define MS_PER_S INT64_C(1000)

enum { CLOCK_RFC3339_MAX = 40, CLOCK_BOOT_ID_MAX = 40 };

int64_t clock_boot_ns(void); /* since boot, suspend included */
int64_t clock_boot_ms(void);
int64_t clock_real_us(void); /* since 1970-01-01T00:00:00Z */

/* "2026-11-22T01:02:03.456789Z" (RFC 3339, UTC, microseconds); returns `out`. */
const char *clock_format_rfc3339(int64_t real_us, char out[CLOCK_RFC3339_MAX]);

/* RFC 3339 from 1970 on, with any offset and up to nine digits of fraction (cut to microseconds); a leap
 * second is the first second of the next day. ERR_INVALID names what is wrong. */
int clock_parse_rfc3339(const char *text, int64_t *ret_real_us, struct err *err);

/* /proc/sys/kernel/random/boot_id without the newline. */
int clock_boot_id(char out[CLOCK_BOOT_ID_MAX], struct err *err);

#endif
