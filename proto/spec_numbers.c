#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/units.h"
#include "proto/spec_private.h"

/* Within ±2^53 every whole number is a double, and times 1000 it still fits into int64. */
static const double exact_max = 9007199254740992.0;

const char *spec_format_count(int64_t value, char *out) {
    snprintf(out, UNITS_TEXT_MAX, "%" PRId64, value);
    return out;
}

static int64_t *number_at(const struct spec_reader *r, const struct spec_field *field) {
    return spec_place(r, field);
}

static int64_t ceiling_of(const struct spec_reader *r, const struct spec_range *range) {
    return range->setting ? *(const int64_t *)(const void *)((const char *)r->policy + range->ceiling) : 0;
}

/* Whether it lies in its range and under the operator's ceiling; else adds a fault. */
static bool check_range(struct spec_reader *r, const struct spec_at *at, int64_t value,
                        const struct spec_range *range) {
    char text[UNITS_TEXT_MAX];
    char bound[UNITS_TEXT_MAX];
    int64_t ceiling = ceiling_of(r, range);
    range->format(value, text);
    if (value < range->min)
        spec_fault(r->faults, at, "%s is too small; at least %s is needed", text,
                   range->format(range->min, bound));
    else if (ceiling && value > ceiling)
        spec_fault(r->faults, at, "%s is over the ceiling of %s that the operator has set (%s)", text,
                   range->format(ceiling, bound), range->setting);
    else if (value > range->max)
        spec_fault(r->faults, at, "%s is too large; at most %s is possible", text,
                   range->format(range->max, bound));
    else
        return true;
    return false;
}

/* A JSON number times `scale`, to the nearest whole; `whole`: a fraction is a fault. False: a fault was
 * added. */
static bool scaled(struct spec_reader *r, const struct spec_at *at, const json_t *value, int scale,
                   bool whole, int64_t *ret) {
    if (json_is_integer(value)) {
        if (!__builtin_mul_overflow((int64_t)json_integer_value(value), (int64_t)scale, ret))
            return true;
        spec_fault(r->faults, at, "%" PRId64 " is too %s", (int64_t)json_integer_value(value),
                   json_integer_value(value) < 0 ? "small" : "large");
        return false;
    }
    double real = json_real_value(value) * scale;
    if (!(fabs(real) < exact_max))
        spec_fault(r->faults, at, "%g is too %s", json_real_value(value), real < 0 ? "small" : "large");
    else if (whole && floor(real) != real)
        spec_fault(r->faults, at, "%g is not a whole number", json_real_value(value));
    else {
        *ret = (int64_t)llround(real);
        return true;
    }
    return false;
}

/* Text through `parse`, or a number in units of 1/scale. */
static bool read_quantity(struct spec_reader *r, const struct spec_at *at, const json_t *value, int scale,
                          bool whole, int (*parse)(const char *text, int64_t *ret, struct err *err),
                          const char *what, int64_t *ret) {
    struct err err = {0};
    char quote[SPEC_QUOTE_MAX];
    if (json_is_number(value))
        return scaled(r, at, value, scale, whole, ret);
    if (!json_is_string(value)) {
        spec_fault(r->faults, at, "must be %s, not %s", what, spec_type_name(value));
        return false;
    }
    const char *text = spec_text(r, at, value, SPEC_STRING_MAX);
    if (!text)
        return false;
    if (parse(text, ret, &err) < 0) {
        spec_fault(r->faults, at, "\"%s\": %s", spec_quote(text, quote), err.text);
        return false;
    }
    return true;
}

int64_t spec_size(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                  const struct spec_range *range) {
    int64_t bytes = 0;
    if (!read_quantity(r, at, value, 1, true, units_parse_size_bytes,
                       "a size such as \"512m\" or a number of bytes", &bytes) ||
        !check_range(r, at, bytes, range))
        return -1;
    return bytes;
}

void spec_read_size(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                    const struct spec_field *field) {
    int64_t bytes = spec_size(r, at, value, field->range);
    if (bytes >= 0)
        *number_at(r, field) = bytes;
}

void spec_read_duration(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                        const struct spec_field *field) {
    int64_t ms = 0;
    if (read_quantity(r, at, value, 1000, false, units_parse_duration_ms,
                      "a duration such as \"90s\" or a number of seconds", &ms) &&
        check_range(r, at, ms, field->range))
        *number_at(r, field) = ms;
}

void spec_read_count(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     const struct spec_field *field) {
    int64_t count = 0;
    if (!json_is_number(value))
        spec_fault(r->faults, at, "must be a number, not %s", spec_type_name(value));
    else if (scaled(r, at, value, 1, true, &count) && check_range(r, at, count, field->range))
        *number_at(r, field) = count;
}

int64_t spec_count(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                   const struct spec_range *range) {
    int64_t count = 0;
    if (!json_is_number(value))
        spec_fault(r->faults, at, "must be a number, not %s", spec_type_name(value));
    else if (scaled(r, at, value, 1, true, &count) && check_range(r, at, count, range))
        return count;
    return -1;
}

void spec_read_milli(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     const struct spec_field *field) {
    int64_t milli = 0;
    if (!json_is_number(value))
        spec_fault(r->faults, at, "must be a number such as 1.5, not %s", spec_type_name(value));
    else if (scaled(r, at, value, 1000, false, &milli) && check_range(r, at, milli, field->range))
        *number_at(r, field) = milli;
}
