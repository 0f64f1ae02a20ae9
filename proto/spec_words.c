#include <string.h>

#include "base/buf.h"
#include "proto/spec_private.h"

enum { ALL_WORDS_MAX = 256 };

const char *const spec_pull_words[] = {
    [SPEC_PULL_MISSING] = "missing", [SPEC_PULL_ALWAYS] = "always", [SPEC_PULL_NEVER] = "never", NULL};
const char *const spec_network_words[] = {
    [SPEC_NETWORK_EGRESS] = "egress", [SPEC_NETWORK_NONE] = "none", [SPEC_NETWORK_PRIVATE] = "private", NULL};
const char *const spec_mount_words[] = {
    [SPEC_MOUNT_VOLUME] = "volume", [SPEC_MOUNT_BIND] = "bind", [SPEC_MOUNT_TMPFS] = "tmpfs", NULL};
const char *const spec_conflict_words[] = {[SPEC_CONFLICT_QUEUE] = "queue",
                                           [SPEC_CONFLICT_REJECT] = "reject",
                                           [SPEC_CONFLICT_CANCEL_RUNNING] = "cancel_running",
                                           NULL};

void spec_read_word(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                    const struct spec_field *field) {
    AUTO_BUF struct buf all = BUF(ALL_WORDS_MAX);
    char quote[SPEC_QUOTE_MAX];
    const char *text = json_string_value(value);
    for (unsigned i = 0; field->words[i]; i++) {
        if (text && strcmp(text, field->words[i]) == 0) {
            *(unsigned *)spec_place(r, field) = i;
            return;
        }
        buf_addf(&all, "%s\"%s\"", i ? ", " : "", field->words[i]);
    }
    if (text)
        spec_fault(r->faults, at, "\"%s\" is none of %s", spec_quote(text, quote), buf_str(&all));
    else
        spec_fault(r->faults, at, "must be one of %s, not %s", buf_str(&all), spec_type_name(value));
}

void spec_read_bool(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                    const struct spec_field *field) {
    if (json_is_boolean(value))
        *(bool *)spec_place(r, field) = json_is_true(value);
    else
        spec_fault(r->faults, at, "must be true or false, not %s", spec_type_name(value));
}
