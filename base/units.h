/*
 * units - durations and sizes as people write them.
 *
 * Durations: "90s", "10m", "1h30m", "250ms", "2d", "0", units falling, each once; a bare number is seconds.
 * Rounded to the nearest millisecond. Sizes: "512m", "2g", "64k", "1t", "10b", powers of 1024, upper or lower
 * case, optional "b" or "ib" behind the letter; a bare number is bytes. Fractions are allowed ("1.5", "0.5h",
 * "1.5g") but for bytes; six digits of them count. No sign, no blanks; a value that does not fit into int64
 * is refused with ERR_INVALID and the remedy (not the text: the caller names that).
 */
#ifndef BERTH_BASE_UNITS_H
#define BERTH_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { UNITS_TEXT_MAX = 32 };

int units_parse_duration_ms(const char *text, int64_t *ret_ms, struct err *err);
int units_parse_size_bytes(const char *text, int64_t *ret_bytes, struct err *err);
/* A decimal number in thousandths: "1.5" is 1500. For CPUs. */
int units_parse_milli(const char *text, int64_t *ret_milli, struct err *err);
const char *units_format_milli(int64_t milli, char out[UNITS_TEXT_MAX]);
/* Text that parses back to the same value, largest units first: "1h30m", "250ms", "512m", "0s". Returns out.
 * (A negative duration gets a sign, for messages.) */
const char *units_format_duration(int64_t ms, char out[UNITS_TEXT_MAX]);
const char *units_format_size(int64_t bytes, char out[UNITS_TEXT_MAX]);

#endif
