/*
 * log - one JSON line per event on standard error (readable text when that is a terminal).
 *
 * Only main.c files and the files of a role call it; libraries return errors. Messages are constant text,
 * lower case, no full stop; what varies goes into fields: log_info("job ended", LS("job", id),
 * LI("exit_code", n)). One write(2) a line, cut at LOG_LINE_MAX with "trunc":true, so that lines of several
 * processes do not mix. Needs no allocation. errno is preserved.
 */
#ifndef BERTH_BASE_LOG_H
#define BERTH_BASE_LOG_H

#include <stdint.h>

#include "base/err.h"

enum { LOG_LINE_MAX = 4096 };
enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

struct log_field {
    const char *key;  /* NULL ends the list */
    const char *text; /* NULL: the field is the number */
    int64_t number;
};
/* A function, since an array's address compared with NULL is a warning. */
static inline const char *log_text_or_empty(const char *text) {
    return text ? text : "";
}
#define LS(key_, text_) ((struct log_field){.key = (key_), .text = log_text_or_empty(text_)})
#define LI(key_, number_) ((struct log_field){.key = (key_), .number = (number_)})
#define LERR(err_) LS("error", (err_)->text)

/* Once per process: its role ("parent", "gateway", …) and, for a runner, its job (NULL: none; copied). */
void log_init(const char *role, const char *job);
void log_set_level(enum log_level level);                   /* default LOG_LEVEL_INFO */
int log_level_parse(const char *name, enum log_level *ret); /* "debug" … "error"; -1: none of these */
void log_set_level_word(const char *word);                  /* NULL, or none of these: the level stays */

void log_write(enum log_level level, const char *message, const struct log_field *fields);

#define LOG_FIELDS_(...) ((const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})
#define log_debug(message, ...) log_write(LOG_LEVEL_DEBUG, message, LOG_FIELDS_(__VA_ARGS__))
#define log_info(message, ...) log_write(LOG_LEVEL_INFO, message, LOG_FIELDS_(__VA_ARGS__))
#define log_warn(message, ...) log_write(LOG_LEVEL_WARN, message, LOG_FIELDS_(__VA_ARGS__))
#define log_error(message, ...) log_write(LOG_LEVEL_ERROR, message, LOG_FIELDS_(__VA_ARGS__))

#endif
