/*
 * config - settings from one table: parser, --help, example file and manual all come from it.
 *
 * A program declares a struct of settings and a table of struct config_entry that points into it by offset.
 * Sources in rising order: the entry's built-in default, the file, the environment (BERTH_KEY), the command
 * line
 * (--key=value, --key value; "-" and "_" are the same). The file has `key = value` lines; `#` begins a
 * comment at the start of a line or behind a blank; a value may stand in double quotes. For every secret
 * there is a twin that names a file to read it from: BERTH_KEY_FILE, key_file, --key-file. An empty variable
 * counts as not set; an empty value in the file or on the command line takes a setting back to unset (strings
 * only). All errors are reported together, each with the key, the value, the allowed range and, for an
 * unknown key, the nearest known one. An unknown BERTH_* variable is an error only where it looks like a
 * misspelling: others belong to the client, to jobs and to container tools. The only place that reads the
 * environment.
 */
#ifndef BERTH_BASE_CONFIG_H
#define BERTH_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { CONFIG_ENTRIES_MAX = 128, CONFIG_FILE_MAX_BYTES = 65536 }; /* the file, and what a _FILE twin names */
#define CONFIG_FILE_DEFAULT "/etc/berth/berth.conf"

enum config_type {
    CONFIG_STRING,   /* char *, owned by the struct; NULL when unset */
    CONFIG_INT,      /* int64_t */
    CONFIG_DURATION, /* int64_t, milliseconds */
    CONFIG_SIZE,     /* int64_t, bytes */
    CONFIG_MILLI,    /* int64_t, thousandths; written as a decimal number, "1.5" */
    CONFIG_BOOL,     /* bool; on/off, true/false, yes/no, 1/0 */
};

enum config_origin { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENV, CONFIG_ARGV };

struct config_entry {
    const char *key; /* as in the file and on the command line: "poll_interval" (argv: --poll-interval) */
    const char *env; /* "BERTH_POLL_INTERVAL"; entries like DOCKER_HOST name their own */
    enum config_type type;
    size_t offset;
    const char *def; /* as one would write it; NULL: unset */
    int64_t min,
        max;     /* INT, DURATION (ms), SIZE (bytes), MILLI (thousandths); both 0: any that is not negative */
    bool secret; /* shown as ***; has a _FILE twin */
    bool reloadable;  /* taken over on HUP */
    const char *help; /* one sentence */
};

struct config_table {
    const struct config_entry *entries;
    size_t count;
};

/* Where each value came from, by entry index; made by config_load. */
struct config_origins {
    unsigned char of[CONFIG_ENTRIES_MAX]; /* enum config_origin */
};

/* Fills *settings (a zeroed struct) from all sources. argv: the words after the sub-command; NULL-terminated;
 * words that are not --key are refused. The file is CONFIG_FILE_DEFAULT if it exists, or the one that the
 * word
 * --config FILE names, which must then exist. ERR_USAGE, its text being one line with the first error; the
 * whole report, one error a line, is added to *ret_report (cut at its max; NULL: not wanted). On failure
 * *settings still has to be freed with config_free. An int, duration or size without default that nobody set
 * is 0. */
int config_load(const struct config_table *table, void *settings, char *const *argv,
                struct config_origins *ret_origins, struct buf *ret_report, struct err *err);
void config_free(const struct config_table *table, void *settings);

/* Settings as JSON text {"key": "value", …} and back, for handing them to a child; secrets included. Dump: -1
 * when out->max is too small. Undump: into a zeroed struct, to be freed also on failure; ranges are not
 * checked again; ERR_INVALID. */
int config_dump(const struct config_table *table, const void *settings, struct buf *out);
int config_undump(const struct config_table *table, void *settings, const char *json, size_t len,
                  struct err *err);

void config_print_effective(
    const struct config_table *table, const void *settings, const struct config_origins *origins,
    struct buf *out); /* `berthd config`: key = value  # origin; a file in itself but for the secrets */
void config_print_help(const struct config_table *table, struct buf *out);
void config_print_example(const struct config_table *table, struct buf *out); /* a commented berth.conf */

/* For the few variables that are not settings of a table (HOME, NO_COLOR, …); NULL when unset or empty. */
const char *config_env(const char *name);

#endif
