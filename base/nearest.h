/*
 * nearest - the known word that a mistyped one comes closest to.
 */
#ifndef BERTH_BASE_NEAREST_H
#define BERTH_BASE_NEAREST_H

#include <stdbool.h>
#include <stdint.h>

enum { NEAREST_NAME_MAX_BYTES = 64 };
#define NEAREST_FAR UINT32_MAX

/* How many bytes have to be changed, added or left out to make one from the other, the case of ASCII letters
 * aside; NEAREST_FAR when one has more than NEAREST_NAME_MAX_BYTES. */
uint32_t nearest_distance(const char *a, const char *b);

struct nearest {
    const char *word; /* borrowed; NULL: none yet */
    uint32_t distance;
};

/* Offers one more known word. true: it is the nearest so far, and at most `most` away (NEAREST_FAR: however
 * far). */
bool nearest_take(struct nearest *best, const char *name, const char *word, uint32_t most);

#endif
