/*
 * id - UUIDs as the names of jobs: version 7 (RFC 9562, section 5.7), so that ids sort by their time of
 * birth.
 */
#ifndef BERTH_BASE_ID_H
#define BERTH_BASE_ID_H

#include <stdbool.h>

enum { ID_TEXT_MAX = 37 }; /* 36 characters and the NUL */

/* A new id. Within one process each sorts behind the one before, even when the clock is set back; between
 * processes 62 random bits tell two of the same moment apart. */
void id_new_v7(char out[ID_TEXT_MAX]);

/* Whether this is a UUID of any version in its canonical form: 8-4-4-4-12 lower-case hexadecimal digits. */
bool id_valid(const char *text);

#endif
