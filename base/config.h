/*
 * config - settings from one table: parser, --help, example file and manual all come from it.
 *
 * A program declares a struct of settings and a table of struct config_entry that points into it by offset.
 * Sources in rising order: the entry's built-in default, the file (`key = value`, `#` comments), the
 * environment (BERTH_KEY; for every secret also BERTH_KEY_FILE), the command line (--key=value, --key value).
 * All errors are reported together, each with the key, the value, the allowed range and, for an unknown key,
 * the nearest known one. The only place that reads the environment.
 */
#ifndef BERTH_BASE_CONFIG_H
#define BERTH_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum config_type {
    CONFIG_STRING,   /* char *, owned by the struct; NULL when unset */
    CONFIG_INT,      /* int64_t */
    CONFIG_DURATION, /* int64_t, milliseconds */
    CONFIG_SIZE,     /* int64_t, bytes */
    CONFIG_BOOL,     /* bool; on/off, true/false, yes/no, 1/0 */
};

enum config_origin { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENV, CONFIG_ARGV };

struct config_entry {
    const char *key; /* as in the file and on the command line: "poll_interval" (argv: --poll-interval) */
    const char *env; /* "BERTH_POLL_INTERVAL"; entries like DOCKER_HOST name their own */
    enum config_type type;
    size_t offset;
    const char *def;  /* as one would write it; NULL: unset */
    int64_t min, max; /* INT, DURATION (ms), SIZE (bytes) */
    bool secret;      /* shown as ***; has a _FILE twin */
    bool reloadable;  /* taken over on HUP */
    const char *help; /* one sentence */
};

struct config_table {
    const struct config_entry *entries;
    size_t count;
};

/* Where each value came from, by entry index; made by config_load. */
struct config_origins {
    unsigned char of[128];
};

/* Fills *settings (a zeroed struct) from all sources. argv: the words after the sub-command; NULL-terminated;
 * words that are not --key are refused. file NULL: /etc/berth/berth.conf if it exists (taken from the argv word
 * --config FILE when given, which must then exist). ERR_USAGE; the whole report goes to *ret_report (one error
 * a line), owned by the caller's buffer. On failure *settings still has to be freed with config_free. */
int config_load(const struct config_table *table, void *settings, char *const *argv, struct config_origins *ret_origins,
                struct buf *ret_report, struct err *err);
void config_free(const struct config_table *table, void *settings);

/* Settings as JSON text {"key": "value", …} and back, for handing them to a child; secrets included. */
int config_dump(const struct config_table *table, const void *settings, struct buf *out);
int config_undump(const struct config_table *table, void *settings, const char *json, size_t len, struct err *err);

void config_print_effective(const struct config_table *table, const void *settings, const struct config_origins *origins,
                            struct buf *out); /* `berthd config`: key = value  # origin */
void config_print_help(const struct config_table *table, struct buf *out);
void config_print_example(const struct config_table *table, struct buf *out); /* a commented berth.conf */

/* For the few variables that are not settings of a table (HOME, NO_COLOR, …); NULL when unset or empty. */
const char *config_env(const char *name);

#endif
