/*
 * spec_private - how the parser of specs is put together; for the sources spec*.c only.
 *
 * Every object of a spec has a table of its fields. spec_read_members() walks the document and calls each
 * field's reader, which checks the value and puts it into its place in the struct that the object is read
 * into (struct spec, and for objects inside it a part of that: one table serves the main container and
 * services), or adds a fault and returns. Nobody stops at the first fault.
 */
#ifndef BERTH_PROTO_SPEC_PRIVATE_H
#define BERTH_PROTO_SPEC_PRIVATE_H

#include <stddef.h>

#include "proto/spec.h"

enum {
    SPEC_STRING_MAX =
        128 * 1024 - 1, /* bytes of one argument or NAME=value: execve(2), MAX_ARG_STRLEN less its NUL */
    SPEC_PATH_MAX = 4095,
    SPEC_USER_MAX = 256,
    SPEC_QUOTE_MAX = 64, /* bytes of a user's text that a fault repeats, with the NUL */
};

/* A place in the document, linked to the one around it; rendered only when there is a fault to tell. */
struct spec_at {
    const struct spec_at *parent; /* NULL: this is the whole document */
    const char *key;              /* NULL: an element of an array */
    size_t index;
};

struct spec_reader {
    const struct spec_policy *policy;
    struct spec *spec; /* being filled; began with the defaults */
    void *base;        /* what the offsets of the fields that are being read count from */
    struct spec_faults *faults;
};

/* What a number may be. `ceiling` is the offset of the operator's bound in struct spec_policy. */
struct spec_range {
    int64_t min, max;
    size_t ceiling;
    const char *setting; /* "BERTH_MAX_MEMORY"; NULL: no ceiling */
    const char *(*format)(int64_t value, char *out);
};

struct spec_field {
    const char *name; /* NULL ends a table */
    void (*read)(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                 const struct spec_field *field);
    size_t offset;                    /* in the struct that the object around it is read into */
    size_t given;                     /* of a bool there that says that the field was given; 0: none */
    const struct spec_range *range;   /* of a number */
    const char *const *words;         /* that it may be, in the order of their enum; ended by NULL */
    const struct spec_field *members; /* of an object, or of each element where it is an array of them */
    bool array;
};

/* spec_faults.c */
void spec_fault(struct spec_faults *faults, const struct spec_at *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const char *spec_type_name(const json_t *value); /* "a string", "null", … */
/* Text of a user for a fault: cut at a character's border, control characters replaced. Returns out. */
const char *spec_quote(const char *text, char out[SPEC_QUOTE_MAX]);
/* The known name that a mistyped one comes closest to; NULL when none is close. */
const char *spec_nearest(const char *name, const struct spec_field *fields);

/* spec.c */
extern const struct spec_field spec_top_fields[]; /* in spec_fields.c */
void spec_read_object(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field);
/* Reads an object into the struct at `base`. */
void spec_read_members(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                       const struct spec_field *members, void *base);
/* Where a field's value belongs. */
void *spec_place(const struct spec_reader *r, const struct spec_field *field);
int64_t spec_within(int64_t value, int64_t ceiling); /* a default under its ceiling; 0: none of them */
void spec_limits_default(struct spec_limits *limits, const struct spec_policy *policy);
/* A field of the contract that is not carried out yet: refused, so that nobody relies on it in vain. */
void spec_read_later(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     const struct spec_field *field);

/* spec_fields.c */
/* The text of a JSON string without NUL and of at most max bytes; else adds a fault and gives NULL. */
const char *spec_text(struct spec_reader *r, const struct spec_at *at, const json_t *value, size_t max);
/* An absolute path without "." and "..", its last slashes removed; else adds a fault and gives NULL. Owned by
 * the caller. */
char *spec_path(struct spec_reader *r, const struct spec_at *at, const char *text);
bool spec_path_below(const char *path, const char *root); /* `root` itself included */
bool spec_has_control(const char *text);                  /* C0, DEL or C1 */
void spec_read_image(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     const struct spec_field *field);

/* spec_words.c */
extern const char *const spec_pull_words[], *const spec_network_words[], *const spec_mount_words[];
/* One of field->words, into an enum. */
void spec_read_word(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                    const struct spec_field *field);
void spec_read_bool(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                    const struct spec_field *field);

/* spec_lists.c */
/* Whether it is an array of at most `max`; else adds a fault that shows what it is `like`. */
bool spec_is_array(struct spec_reader *r, const struct spec_at *at, const json_t *value, size_t max,
                   const char *like);
void spec_read_list(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                    const struct spec_field *field);
void spec_read_script(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field);
void spec_read_env(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                   const struct spec_field *field);
void spec_read_labels(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field);
void spec_list_add(struct spec_list *list, const char *text);
void spec_list_done(struct spec_list *list);
void spec_pairs_done(struct spec_pairs *pairs);

/* spec_numbers.c: each puts an int64_t at field->offset, in the unit that its name in struct spec tells. */
void spec_read_size(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                    const struct spec_field *field);
void spec_read_duration(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                        const struct spec_field *field);
void spec_read_count(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     const struct spec_field *field);
/* A number such as 1.5, in thousandths. */
void spec_read_milli(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     const struct spec_field *field);
/* A whole number within the range; -1: a fault was added. For ranges without negative numbers. */
int64_t spec_count(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                   const struct spec_range *range);
/* Bytes of one tmpfs, checked like any size; -1: a fault was added. */
int64_t spec_size(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                  const struct spec_range *range);
const char *spec_format_count(int64_t value, char *out);

/* spec_limits.c, spec_hardening.c */
extern const struct spec_field spec_limits_fields[], spec_service_limits_fields[], spec_deadlines_fields[],
    spec_stop_fields[], spec_hardening_fields[];
extern const struct spec_range spec_start_range, spec_tmpfs_range;
/* Why nothing may be mounted at this path; NULL: something may. */
const char *spec_target_fault(const char *path);
void spec_limits_done(struct spec_limits *limits);
int64_t spec_tmpfs_bytes(const struct spec_limits *limits); /* of all of them */

/* spec_services.c, spec_ready.c, spec_mounts.c, spec_retry.c: readers of whole members of a spec, and the
 * checks that need all of it. */
extern const struct spec_field spec_service_fields[], spec_ready_fields[], spec_mount_fields[],
    spec_retry_fields[], spec_concurrency_fields[];
void spec_read_services(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                        const struct spec_field *field);
void spec_check_services(struct spec_reader *r, const struct spec_at *top, bool network_named);
void spec_service_done(struct spec_service *service);
void spec_read_ready(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     const struct spec_field *field);
void spec_read_mounts(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field);
void spec_check_mounts(struct spec_reader *r, const struct spec_at *top);
void spec_mount_done(struct spec_mount *mount);
void spec_read_retry(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     const struct spec_field *field);
void spec_read_concurrency(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                           const struct spec_field *field);

enum { SPEC_DURATION_DAYS_MAX = 3650 }; /* ten years; in nanoseconds far inside int64 */
#define SPEC_DURATION_MS_MAX (INT64_C(86400) * 1000 * SPEC_DURATION_DAYS_MAX)

/* spec_image.c: NULL when this is an image reference, else what is wrong with it. */
const char *spec_image_fault(const char *reference);

/* spec_input.c: the value as one line of JSON without newline, numbers in their shortest form. Owned by the
 * caller. */
char *spec_input_line(const json_t *value);

/* spec_limits.c: the signal that this text means ("SIGTERM", "TERM", "15"); 0: none. */
int spec_signal_parse(const char *text);

#endif
