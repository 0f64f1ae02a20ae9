#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/nearest.h"
#include "base/units.h"
#include "proto/spec_private.h"
#include "proto/status.h"

enum {
    DELAY_DEFAULT_MS = 5000,
    MAX_DELAY_DEFAULT_MS = 300000,
    FACTOR_DEFAULT_MILLI = 2000,
    FACTOR_MIN_MILLI = 1000,
    FACTOR_MAX_MILLI = 100000,
    EXIT_CODE_MAX = 255,
    NEAR_MAX = 4, /* letters that may be wrong in a word that is meant */
};

/* What may end in another attempt. */
static const enum status repeatable[] = {STATUS_FAILED, STATUS_ERRORED, STATUS_TIMED_OUT};

static bool is_repeatable(enum status status) {
    for (size_t i = 0; i < ARRAY_LEN(repeatable); i++)
        if (repeatable[i] == status)
            return true;
    return false;
}

/* The word of the contract that comes closest, and whether it is that word. */
static struct nearest nearest_word(const char *text) {
    struct nearest nearest = {0};
    nearest_take(&nearest, text, SPEC_RETRY_INFRASTRUCTURE, NEAREST_FAR);
    for (size_t i = 0; i < ARRAY_LEN(repeatable); i++)
        nearest_take(&nearest, text, status_name(repeatable[i]), NEAREST_FAR);
    for (enum reason reason = REASON_NONE + 1; reason < REASON_COUNT; reason++)
        if (is_repeatable(reason_status(reason)))
            nearest_take(&nearest, text, reason_name(reason), NEAREST_FAR);
    return nearest;
}

static bool ends_for_good(const char *text) {
    enum status status;
    enum reason reason;
    return (status_parse(text, &status) && (status == STATUS_CANCELED || status == STATUS_SUCCEEDED)) ||
           (reason_parse(text, &reason) && reason_status(reason) == STATUS_CANCELED);
}

static bool has_word(const struct spec_list *list, const char *word) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], word) == 0)
            return true;
    return false;
}

static void read_on_word(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                         struct spec_list *list) {
    char quote[SPEC_QUOTE_MAX];
    const char *text = spec_text(r, at, value, SPEC_STRING_MAX);
    struct nearest nearest = text ? nearest_word(text) : (struct nearest){0};
    if (!text)
        return;
    if (nearest.word && strcmp(nearest.word, text) == 0) {
        if (!has_word(list, text))
            spec_list_add(list, text);
    } else if (ends_for_good(text)) {
        spec_fault(r->faults, at, "\"%s\": what was canceled or succeeded is never repeated; leave it out",
                   text);
    } else if (nearest.word && nearest.distance <= NEAR_MAX && nearest.distance < strlen(text)) {
        spec_fault(r->faults, at, "\"%s\" is not known; did you mean \"%s\"?", spec_quote(text, quote),
                   nearest.word);
    } else {
        spec_fault(r->faults, at,
                   "\"%s\" is not known; write a reason such as \"oom\", a status (\"failed\", \"errored\", "
                   "\"timed_out\") or \"" SPEC_RETRY_INFRASTRUCTURE "\"",
                   spec_quote(text, quote));
    }
}

static void read_on(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                    const struct spec_field *field) {
    size_t i;
    json_t *item;
    if (!spec_is_array(r, at, value, SPEC_RETRY_WORDS_MAX,
                       "reasons and statuses such as [\"oom\", \"" SPEC_RETRY_INFRASTRUCTURE "\"]"))
        return;
    json_array_foreach(value, i, item) {
        struct spec_at here = {.parent = at, .index = i};
        read_on_word(r, &here, item, spec_place(r, field));
    }
}

static void add_exit_code(struct spec *s, int code) {
    for (size_t i = 0; i < s->retry.exit_codes_count; i++)
        if (s->retry.exit_codes[i] == code)
            return;
    s->retry.exit_codes[s->retry.exit_codes_count++] = code;
}

static void read_exit_codes(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                            const struct spec_field *field) {
    static const struct spec_range range = {.min = 1, .max = EXIT_CODE_MAX, .format = spec_format_count};
    size_t i;
    json_t *item;
    (void)field;
    if (!spec_is_array(r, at, value, SPEC_EXIT_CODES_MAX, "exit codes such as [75]"))
        return;
    json_array_foreach(value, i, item) {
        struct spec_at here = {.parent = at, .index = i};
        int64_t code = spec_count(r, &here, item, &range);
        if (code >= 0)
            add_exit_code(r->spec, (int)code);
    }
}

static const struct spec_range max_range = {.min = 0, .max = SPEC_RETRY_MAX, .format = spec_format_count};
static const struct spec_range delay_range = {
    .min = 0, .max = SPEC_DURATION_MS_MAX, .format = units_format_duration};
static const struct spec_range factor_range = {
    .min = FACTOR_MIN_MILLI, .max = FACTOR_MAX_MILLI, .format = units_format_milli};

#define NUMBER(name_, read_, member_, range_)                                                                \
    { .name = (name_), .read = (read_), .offset = offsetof(struct spec, member_), .range = &(range_) }

const struct spec_field spec_retry_fields[] = {
    NUMBER("max", spec_read_count, retry.max, max_range),
    NUMBER("delay", spec_read_duration, retry.delay_ms, delay_range),
    NUMBER("factor", spec_read_milli, retry.factor_milli, factor_range),
    NUMBER("max_delay", spec_read_duration, retry.max_delay_ms, delay_range),
    {.name = "on", .read = read_on, .offset = offsetof(struct spec, retry.on)},
    {.name = "exit_codes", .read = read_exit_codes},
    {0},
};

/* What was not given, and what no single field can see. */
static void complete_retry(struct spec_reader *r, const struct spec_at *at, const json_t *value) {
    struct spec_at max_delay = {.parent = at, .key = "max_delay"};
    struct spec *s = r->spec;
    const char *empty = json_object_get(value, "on") ? "on" : "exit_codes";
    struct spec_at nothing = {.parent = at, .key = empty};
    if (!json_object_get(value, "max_delay") && s->retry.max_delay_ms < s->retry.delay_ms)
        s->retry.max_delay_ms = s->retry.delay_ms;
    if (s->retry.max_delay_ms < s->retry.delay_ms)
        spec_fault(r->faults, &max_delay, "is less than delay; no delay can be as short as that");
    if (s->retry.on.count || s->retry.exit_codes_count)
        return;
    if (json_object_get(value, empty))
        spec_fault(r->faults, &nothing,
                   "names nothing, and nothing would ever be repeated; name something, or leave it out");
    for (size_t i = 0; i < ARRAY_LEN(repeatable); i++)
        spec_list_add(&s->retry.on, status_name(repeatable[i]));
}

void spec_read_retry(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     const struct spec_field *field) {
    struct spec_at max = {.parent = at, .key = "max"};
    struct spec *s = r->spec;
    size_t before = r->faults->count;
    s->retry.delay_ms = DELAY_DEFAULT_MS;
    s->retry.max_delay_ms = MAX_DELAY_DEFAULT_MS;
    s->retry.factor_milli = FACTOR_DEFAULT_MILLI;
    spec_read_members(r, at, value, field->members, s);
    if (r->faults->count == before)
        complete_retry(r, at, value);
    if (json_is_object(value) && !json_object_get(value, "max"))
        spec_fault(r->faults, &max, "is missing; say how many attempts may follow the first");
    if (s->retry.max)
        return;
    spec_list_done(&s->retry.on); /* no retry at all has one form only */
    memset(&s->retry, 0, sizeof s->retry);
}

static void read_key(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     const struct spec_field *field) {
    const char *text = spec_text(r, at, value, SPEC_KEY_MAX);
    if (!text)
        return;
    if (!*text)
        spec_fault(r->faults, at, "is empty; jobs with the same key count together");
    else if (spec_has_control(text))
        spec_fault(r->faults, at, "contains a control character; use printable characters only");
    else
        *(char **)spec_place(r, field) = mem_strdup(text);
}

static const struct spec_range concurrency_range = {
    .min = 1, .max = SPEC_CONCURRENCY_MAX, .format = spec_format_count};

const struct spec_field spec_concurrency_fields[] = {
    {.name = "key", .read = read_key, .offset = offsetof(struct spec, concurrency.key)},
    NUMBER("max", spec_read_count, concurrency.max, concurrency_range),
    {.name = "on_conflict",
     .read = spec_read_word,
     .offset = offsetof(struct spec, concurrency.on_conflict),
     .words = spec_conflict_words},
    {0},
};

void spec_read_concurrency(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                           const struct spec_field *field) {
    struct spec_at key = {.parent = at, .key = "key"};
    r->spec->concurrency.max = 1;
    spec_read_members(r, at, value, field->members, r->spec);
    if (json_is_object(value) && !json_object_get(value, "key"))
        spec_fault(r->faults, &key, "is missing; jobs with the same key count together");
}
