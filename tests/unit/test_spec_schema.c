#include <criterion/criterion.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "proto/spec.h"
#include "proto/status.h"

/* proto/job.schema.json says the same as the parser: the fields, which of them are available, and the bounds.
 */

static json_t *schema;

static void load(void) {
    json_error_t error;
    schema = json_load_file(BERTH_SOURCE_DIR "/proto/job.schema.json", 0, &error);
    cr_assert_not_null(schema, "line %d: %s", error.line, error.text);
}

static void unload(void) {
    json_decref(schema);
}

TestSuite(spec_schema, .init = load, .fini = unload);

/* A property that nothing can be: {"not": {}}. */
static bool is_available(const json_t *property) {
    const json_t *none = json_object_get(property, "not");
    return !none || json_object_size(none) > 0;
}

/* {"/limits/memory": true, "/services/0/name": true, …}: whether each property can be used. */
static void collect_properties(const json_t *object, const char *around, json_t *all) {
    const char *name;
    json_t *property;
    json_object_foreach(json_object_get(object, "properties"), name, property) {
        AUTO_FREE char *pointer = mem_printf("%s/%s", around, name);
        AUTO_FREE char *element = mem_printf("%s/0", pointer);
        json_object_set_new(all, pointer, json_boolean(is_available(property)));
        collect_properties(property, pointer, all);
        collect_properties(json_object_get(property, "items"), element, all);
    }
}

static void collect_field(const char *pointer, bool available, void *all) {
    json_object_set_new(all, pointer, json_boolean(available));
}

static void expect_within(const json_t *some, const json_t *all, const char *complaint) {
    const char *pointer;
    json_t *available;
    json_object_foreach((json_t *)some, pointer, available)
        cr_expect(json_equal(available, json_object_get(all, pointer)), "%s %s", pointer, complaint);
}

Test(spec_schema, fields_are_the_same_set) {
    AUTO_JSON json_t *in_schema = json_object();
    AUTO_JSON json_t *in_parser = json_object();
    collect_properties(schema, "", in_schema);
    spec_each_field(collect_field, in_parser);
    cr_expect_geq(json_object_size(in_parser), 75);
    expect_within(in_schema, in_parser, "is in the schema, but the parser does not know it so");
    expect_within(in_parser, in_schema, "is known to the parser, but the schema does not have it so");
}

static void expect_closed(const json_t *object, const char *name) {
    const char *key;
    json_t *property;
    cr_expect(json_is_false(json_object_get(object, "additionalProperties")), "%s takes unknown fields",
              name);
    json_object_foreach(json_object_get(object, "properties"), key, property) {
        const json_t *items = json_object_get(property, "items");
        if (json_object_get(property, "properties"))
            expect_closed(property, key);
        if (json_object_get(items, "properties"))
            expect_closed(items, key);
    }
}

Test(spec_schema, unknown_fields_are_refused) {
    expect_closed(schema, "the document");
}

static json_int_t number(const char *section, const char *name, const char *key) {
    const json_t *object = json_object_get(json_object_get(schema, section), name);
    return json_integer_value(json_object_get(object, key));
}

/* What stands at a path of member names with "/" between, from `node` on. */
static json_int_t bound(const json_t *node, const char *path) {
    while (*path) {
        char name[64] = "";
        size_t len = strcspn(path, "/");
        memcpy(name, path, len < sizeof name ? len : sizeof name - 1);
        node = json_object_get(node, name);
        path += len + (path[len] == '/');
    }
    return json_integer_value(node);
}

Test(spec_schema, bounds_of_nested_fields_are_the_same) {
    static const struct {
        const char *path;
        json_int_t bound;
    } cases[] = {
        {"services/maxItems", SPEC_SERVICES_MAX},
        {"services/items/properties/name/maxLength", SPEC_SERVICE_NAME_MAX},
        {"services/items/properties/image/maxLength", SPEC_IMAGE_MAX},
        {"services/items/properties/ready/properties/log/maxLength", SPEC_READY_LOG_MAX},
        {"services/items/properties/ready/properties/http/maxLength", SPEC_READY_URL_MAX},
        {"services/items/properties/ready/properties/command/maxItems", SPEC_ARGS_MAX},
        {"services/items/properties/limits/properties/tmpfs/maxProperties", SPEC_TMPFS_MAX},
        {"limits/properties/tmpfs/maxProperties", SPEC_TMPFS_MAX},
        {"mounts/maxItems", SPEC_MOUNTS_MAX},
        {"retry/properties/max/maximum", SPEC_RETRY_MAX},
        {"retry/properties/on/maxItems", SPEC_RETRY_WORDS_MAX},
        {"retry/properties/exit_codes/maxItems", SPEC_EXIT_CODES_MAX},
        {"concurrency/properties/key/maxLength", SPEC_KEY_MAX},
        {"concurrency/properties/max/maximum", SPEC_CONCURRENCY_MAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        cr_expect_eq(bound(json_object_get(schema, "properties"), cases[i].path), cases[i].bound, "%s",
                     cases[i].path);
}

/* Each word by itself is taken, and there are as many as the parser knows. */
Test(spec_schema, words_of_retry_are_the_same) {
    const json_t *retry = json_object_get(json_object_get(schema, "properties"), "retry");
    const json_t *on = json_object_get(json_object_get(retry, "properties"), "on");
    const json_t *words = json_object_get(json_object_get(on, "items"), "enum");
    struct spec_policy policy = spec_policy_builtin();
    size_t known = 4; /* infrastructure, failed, errored, timed_out */
    size_t i;
    json_t *word;
    for (enum reason reason = REASON_NONE + 1; reason < REASON_COUNT; reason++)
        known += reason_status(reason) != STATUS_CANCELED;
    cr_expect_eq(json_array_size(words), known);
    json_array_foreach(words, i, word) {
        AUTO_JSON json_t *doc =
            json_pack("{s:s, s:{s:i, s:[O]}}", "image", "a", "retry", "max", 1, "on", word);
        AUTO_FAULTS struct spec_faults faults = {0};
        AUTO_SPEC struct spec *spec = NULL;
        cr_expect_eq(spec_parse(doc, &policy, &spec, &faults), 0, "%s", json_string_value(word));
    }
}

Test(spec_schema, bounds_are_the_same) {
    const json_t *labels = json_object_get(json_object_get(schema, "properties"), "labels");
    cr_expect_eq(number("properties", "name", "maxLength"), SPEC_NAME_MAX);
    cr_expect_eq(number("properties", "image", "maxLength"), SPEC_IMAGE_MAX);
    cr_expect_eq(number("$defs", "env", "maxProperties"), SPEC_ENV_MAX);
    cr_expect_eq(number("properties", "labels", "maxProperties"), SPEC_LABELS_MAX);
    cr_expect_eq(number("properties", "priority", "maximum"), SPEC_PRIORITY_MAX);
    cr_expect_eq(number("properties", "priority", "minimum"), -SPEC_PRIORITY_MAX);
    cr_expect_eq(number("$defs", "words", "maxItems"), SPEC_ARGS_MAX);
    cr_expect_eq(json_get_int(json_object_get(labels, "propertyNames"), "maxLength", 0), SPEC_LABEL_KEY_MAX);
    cr_expect_eq(json_get_int(json_object_get(labels, "additionalProperties"), "maxLength", 0),
                 SPEC_LABEL_VALUE_MAX);
}
