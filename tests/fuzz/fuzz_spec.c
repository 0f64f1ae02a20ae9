/* Any bytes are a spec that can be written and read again, or faults that can be told as JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "proto/spec.h"

enum { TELL_MAX = 300 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_comes_back(const struct spec *spec) {
    struct spec_policy unlimited = spec_policy_unlimited();
    AUTO_FAULTS struct spec_faults faults = {0};
    AUTO_SPEC struct spec *again = NULL;
    AUTO_JSON json_t *doc = spec_to_json(spec);
    AUTO_FREE char *text = json_dumps(doc, JSON_COMPACT);
    if (!text || spec_parse(doc, &unlimited, &again, &faults) < 0)
        abort();
    AUTO_JSON json_t *same = spec_to_json(again);
    if (!json_equal(doc, same))
        abort();
}

static void check_told(const struct spec_faults *faults) {
    if (faults->count == 0)
        abort();
    AUTO_FREE char *cut = spec_faults_text(faults, TELL_MAX);
    AUTO_JSON json_t *text = json_string(cut);
    if (!text || strlen(cut) > TELL_MAX)
        abort();
    for (size_t i = 0; i < faults->count; i++) {
        AUTO_JSON json_t *pair = json_pack("[s, s]", faults->items[i].pointer, faults->items[i].detail);
        if (!pair)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct spec_policy policy = spec_policy_builtin();
    policy.bind_roots = "/srv:/data/ci/";
    AUTO_FAULTS struct spec_faults faults = {0};
    AUTO_SPEC struct spec *spec = NULL;
    if (spec_parse_text((const char *)data, size, &policy, &spec, &faults) == 0)
        check_comes_back(spec);
    else
        check_told(&faults);
    return 0;
}
