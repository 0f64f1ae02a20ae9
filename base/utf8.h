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

bool utf8_valid(const void *bytes, size_t len);

#endif
