/*
 * utf8 - where characters end in bytes from elsewhere (RFC 3629: no overlong forms, no surrogates, at most
 * U+10FFFF).
 */
#ifndef BERTH_BASE_UTF8_H
#define BERTH_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The length (1 to 4) of the well-formed character at the start of `bytes`; 0 when there is none, be it cut
 * off or malformed. A NUL is a character of one byte. */
size_t utf8_char_len(const void *bytes, size_t len);

/* Whether the well-formed character of this length is a control character: C0, DEL or C1 (U+0080 to U+009F),
 * which a terminal would obey. */
bool utf8_is_control(const void *character, size_t len);

bool utf8_valid(const void *bytes, size_t len);

#endif
