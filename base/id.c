#include "base/id.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

/* getrandom(2) gives up to 256 bytes whole once the pool is ready; before that only a signal ends it early.
 */
static uint64_t random_bits(void) {
    uint64_t bits = 0;
    while (getrandom(&bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        continue;
    return bits;
}

/* Milliseconds in 48 bits, then the fraction of a millisecond in 12 (RFC 9562, section 6.2, method 3). */
static uint64_t next_stamp(void) {
    static uint64_t last;
    uint64_t us = (uint64_t)clock_real_us();
    uint64_t stamp = (us / 1000) << 12 | (us % 1000) * 4096 / 1000;
    last = stamp > last ? stamp : last + 1;
    return last;
}

void id_new_v7(char out[ID_TEXT_MAX]) {
    uint64_t stamp = next_stamp();
    uint64_t bits = random_bits();
    unsigned variant = 0x8000U | (unsigned)(bits >> 48 & 0x3fff);
    snprintf(out, ID_TEXT_MAX, "%08" PRIx64 "-%04" PRIx64 "-7%03" PRIx64 "-%04x-%012" PRIx64,
             stamp >> 28 & 0xffffffff, stamp >> 12 & 0xffff, stamp & 0xfff, variant,
             bits & UINT64_C(0xffffffffffff));
}

bool id_valid(const char *text) {
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    for (size_t i = 0; i < sizeof form; i++) {
        bool fits = form[i] == 'x' ? text[i] && strchr("0123456789abcdef", text[i]) : text[i] == form[i];
        if (!fits)
            return false;
    }
    return true;
}
