#include <criterion/criterion.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "proto/spec.h"

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

/* {"/limits/memory": true, …}: whether each property can be used. */
static void collect_properties(const json_t *object, const char *around, json_t *all) {
    const char *name;
    json_t *property;
    json_object_foreach(json_object_get(object, "properties"), name, property) {
        AUTO_FREE char *pointer = mem_printf("%s/%s", around, name);
        json_object_set_new(all, pointer, json_boolean(!json_object_get(property, "not")));
        collect_properties(property, pointer, all);
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
    cr_expect_geq(json_object_size(in_parser), 38);
    expect_within(in_schema, in_parser, "is in the schema, but the parser does not know it so");
    expect_within(in_parser, in_schema, "is known to the parser, but the schema does not have it so");
}

static void expect_closed(const json_t *object, const char *name) {
    const char *key;
    json_t *property;
    cr_expect(json_is_false(json_object_get(object, "additionalProperties")), "%s takes unknown fields",
              name);
    json_object_foreach(json_object_get(object, "properties"), key,
                        property) if (json_object_get(property, "properties")) expect_closed(property, key);
}

Test(spec_schema, unknown_fields_are_refused) {
    expect_closed(schema, "the document");
}

static json_int_t number(const char *section, const char *name, const char *key) {
    const json_t *object = json_object_get(json_object_get(schema, section), name);
    return json_integer_value(json_object_get(object, key));
}

Test(spec_schema, bounds_are_the_same) {
    const json_t *labels = json_object_get(json_object_get(schema, "properties"), "labels");
    cr_expect_eq(number("properties", "name", "maxLength"), SPEC_NAME_MAX);
    cr_expect_eq(number("properties", "image", "maxLength"), SPEC_IMAGE_MAX);
    cr_expect_eq(number("properties", "env", "maxProperties"), SPEC_ENV_MAX);
    cr_expect_eq(number("properties", "labels", "maxProperties"), SPEC_LABELS_MAX);
    cr_expect_eq(number("properties", "priority", "maximum"), SPEC_PRIORITY_MAX);
    cr_expect_eq(number("properties", "priority", "minimum"), -SPEC_PRIORITY_MAX);
    cr_expect_eq(number("$defs", "words", "maxItems"), SPEC_ARGS_MAX);
    cr_expect_eq(json_get_int(json_object_get(labels, "propertyNames"), "maxLength", 0), SPEC_LABEL_KEY_MAX);
    cr_expect_eq(json_get_int(json_object_get(labels, "additionalProperties"), "maxLength", 0),
                 SPEC_LABEL_VALUE_MAX);
}
