#include "base/utf8.h"

/* RFC 3629, section 4: the first byte says how long the character is and what its second byte may be. */
static const struct form {
    unsigned char first_min, first_max, second_min, second_max;
    size_t len;
} forms[] = {
    {0x00, 0x7f, 0x80, 0xbf, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

size_t utf8_char_len(const void *bytes, size_t len) {
    const unsigned char *p = bytes;
    if (!len)
        return 0;
    const struct form *form = forms;
    while (*p < form->first_min || *p > form->first_max)
        if (++form == forms + sizeof forms / sizeof *forms)
            return 0;
    if (len < form->len || (form->len > 1 && (p[1] < form->second_min || p[1] > form->second_max)))
        return 0;
    for (size_t i = 2; i < form->len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return form->len;
}

bool utf8_is_control(const void *character, size_t len) {
    const unsigned char *c = character;
    return len == 1 ? *c < 0x20 || *c == 0x7f : len == 2 && c[0] == 0xc2 && c[1] < 0xa0;
}

bool utf8_valid(const void *bytes, size_t len) {
    const unsigned char *p = bytes;
    while (len) {
        size_t n = utf8_char_len(p, len);
        if (!n)
            return false;
        p += n;
        len -= n;
    }
    return true;
}
