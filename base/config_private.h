/* config_private - what the parts of config share. */
#ifndef BERTH_BASE_CONFIG_PRIVATE_H
#define BERTH_BASE_CONFIG_PRIVATE_H

#include "base/config.h"

enum { CONFIG_VALUE_SHOWN_MAX = 80, CONFIG_RANGE_MAX = 96 };

/* --- config_file.c: the file's grammar, without any table --- */

struct config_file {
    char *next, *end;
    unsigned line; /* of what was returned last; from 1 */
};
struct config_line {
    const char *key, *value; /* NUL-terminated, in the file's own text */
};

/* text has text[len] == '\0' and is cut into pieces in place; it must live as long as the lines are used. */
struct config_file config_file_begin(char *text, size_t len);
/* 1: a line; 0: the end; -1: this line is wrong (ERR_INVALID, without its number), go on with the next call.
 */
int config_file_next(struct config_file *file, struct config_line *ret_line, struct err *err);
/* Adds the value, in quotes where it needs them. One that came from a file is read back as it is; there is no
 * way to write a newline, or a quote before a comment sign. */
int config_file_quote(struct buf *out, const char *value);

/* --- config_value.c: one entry and its value --- */

/* By the key's name, "-" and "_" being the same; NULL: unknown. *ret_twin: it is the _file twin of a secret.
 */
const struct config_entry *config_find(const struct config_table *table, const char *name, size_t len,
                                       bool *ret_twin);
/* Reads text as the entry's type into the settings. Checks the range if told to. ERR_INVALID: what is
 * allowed. */
int config_set(const struct config_entry *entry, void *settings, const char *text, bool check_range,
               struct err *err);
/* The value as one would write it; false: unset. */
bool config_text(const struct config_entry *entry, const void *settings, struct buf *out);
/* "from 1 to 64", "from 100ms to 1h"; "" when anything goes. Returns out. */
const char *config_range(const struct config_entry *entry, char out[CONFIG_RANGE_MAX]);

#endif
