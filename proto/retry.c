#include "proto/retry.h"

#include <string.h>

enum {
    THOUSAND = 1000,
    SPREAD = 10, /* up to this part of the delay is added */
};

/* What the program itself said; a time-out or a lost engine may have left a code too, which then means
 * nothing. */
static bool by_exit_code(const struct spec *spec, const struct verdict *v) {
    for (size_t i = 0; v->status == STATUS_FAILED && i < spec->retry.exit_codes_count; i++)
        if (spec->retry.exit_codes[i] == v->exit_code)
            return true;
    return false;
}

static bool by_word(const struct spec *spec, const struct verdict *v) {
    const char *reason = reason_name(v->reason);
    for (size_t i = 0; i < spec->retry.on.count; i++) {
        const char *word = spec->retry.on.items[i];
        if (strcmp(word, status_name(v->status)) == 0 || (reason && strcmp(word, reason) == 0))
            return true;
        if (strcmp(word, SPEC_RETRY_INFRASTRUCTURE) == 0 && reason_is_infrastructure(v->reason))
            return true;
    }
    return false;
}

/* delay × factor^(number - 1), at most max_delay. */
static int64_t delay_of(const struct spec *spec, int number) {
    int64_t delay = spec->retry.delay_ms;
    int64_t most = spec->retry.max_delay_ms;
    for (int i = 1; i < number && delay > 0 && delay < most; i++)
        if (__builtin_mul_overflow(delay, spec->retry.factor_milli, &delay))
            return most;
        else
            delay /= THOUSAND;
    return delay < most ? delay : most;
}

int64_t retry_delay_ms(const struct spec *spec, const struct verdict *verdict, int number, uint32_t random) {
    if (number < 1 || number > spec->retry.max || verdict->status == STATUS_CANCELED ||
        verdict->status == STATUS_SUCCEEDED)
        return -1;
    if (!by_word(spec, verdict) && !by_exit_code(spec, verdict))
        return -1;
    int64_t delay = delay_of(spec, number);
    return delay + (int64_t)((uint64_t)random % (uint64_t)(delay / SPREAD + 1));
}
