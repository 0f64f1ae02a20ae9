#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "proto/spec.h"

static bool accepted(const char *image) {
    struct spec_policy policy = spec_policy_builtin();
    AUTO_SPEC struct spec *spec = NULL;
    AUTO_FAULTS struct spec_faults faults = {0};
    json_t *doc = json_pack("{s:s}", "image", image);
    int result = spec_parse(doc, &policy, &spec, &faults);
    json_decref(doc);
    if (result == 0)
        cr_expect_str_eq(spec->image, image);
    else
        cr_expect(faults.count == 1 && strcmp(faults.items[0].pointer, "/image") == 0, "%s", image);
    return result == 0;
}

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

Test(spec_image, references_that_docker_takes) {
    static const char *const cases[] = {
        "alpine",
        "debian:bookworm-slim",
        "library/alpine:3.20",
        "docker.io/library/alpine",
        "localhost/x",
        "localhost:5000/team/tool_a.b__c--d:V1.0_x",
        "registry.example.com:443/a/b/c:latest",
        "Registry/tool",
        "[::1]:5000/tool:1",
        "[2001:db8::1]/tool",
        "alpine@sha256:" HEX64,
        "alpine:3.20@sha256:" HEX64,
        "sha256:" HEX64,
        HEX64,
        "a",
        "9",
        "berth-probe:0.1.0",
        "localhost:5000",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        cr_expect(accepted(cases[i]), "%s", cases[i]);
}

Test(spec_image, what_is_no_reference) {
    static const char *const cases[] = {
        "",
        " ",
        "al pine",
        "alpine ",
        "alpine\n",
        "Alpine",
        "a/B",
        "alpine:",
        "alpine::1",
        ":latest",
        "@sha256:" HEX64,
        "alpine@",
        "alpine@sha256:abc",
        "alpine@sha256:" HEX64 "00",
        "alpine@SHA256",
        "alpine@sha256:" HEX64 "@sha256:" HEX64,
        "/alpine",
        "alpine/",
        "a//b",
        "-a",
        "a-",
        "a..b",
        "a___b",
        "a._b",
        "_a",
        "a:.b",
        "a:-b",
        "a:b:c",
        "a:b/c",
        "http://a/b",
        "example.com:port/a",
        "example.com:123456/a",
        ".example.com/a",
        "example.com-/a",
        "[::1/a",
        "[]/a",
        "[::1]x/a",
        "a\xc3\xa9",
        "../a",
        "$(id)",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        cr_expect_not(accepted(cases[i]), "%s", cases[i]);
}

Test(spec_image, lengths) {
    char name[300];
    memset(name, 'a', sizeof name);
    name[255] = '\0';
    cr_expect(accepted(name));
    name[255] = 'a';
    name[256] = '\0';
    cr_expect_not(accepted(name));
    char tag[200];
    snprintf(tag, sizeof tag, "a:%0128d", 7);
    cr_expect(accepted(tag));
    snprintf(tag, sizeof tag, "a:%0129d", 7);
    cr_expect_not(accepted(tag));
}
