#include "base/nearest.h"

#include <ctype.h>
#include <string.h>

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static bool differ(char a, char b) {
    return tolower((unsigned char)a) != tolower((unsigned char)b);
}

/* Wagner and Fischer, with one row. */
uint32_t nearest_distance(const char *a, const char *b) {
    size_t len_a = strlen(a), len_b = strlen(b);
    uint32_t row[NEAREST_NAME_MAX_BYTES + 1];
    if (len_a > NEAREST_NAME_MAX_BYTES || len_b > NEAREST_NAME_MAX_BYTES)
        return NEAREST_FAR;
    for (size_t j = 0; j <= len_b; j++)
        row[j] = (uint32_t)j;
    for (size_t i = 1; i <= len_a; i++) {
        uint32_t diagonal = row[0];
        row[0] = (uint32_t)i;
        for (size_t j = 1; j <= len_b; j++) {
            uint32_t replaced = diagonal + differ(a[i - 1], b[j - 1]);
            diagonal = row[j];
            row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[len_b];
}

bool nearest_take(struct nearest *best, const char *name, const char *word, uint32_t most) {
    uint32_t distance = nearest_distance(name, word);
    if (distance > most || (best->word && distance >= best->distance))
        return false;
    *best = (struct nearest){.word = word, .distance = distance};
    return true;
}
