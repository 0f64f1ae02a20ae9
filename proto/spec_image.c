#include <string.h>

#include "proto/spec_private.h"

/*
 * The grammar of github.com/distribution/reference:
 *   reference = name [":" tag] ["@" digest]     name = [domain "/"] component *["/" component]
 * The first part is a domain when it has a "." or ":", an upper-case letter, or is "localhost".
 */
enum { IMAGE_NAME_MAX = 255, TAG_MAX = 128, DIGEST_HEX_MIN = 32, PORT_DIGITS_MAX = 5 };

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"

static const char *domain_fault(const char *p, size_t len) {
    static const char fault[] = "the registry's address before the first / is malformed";
    if (*p == '[') { /* an IPv6 address */
        size_t inside = strspn(p + 1, DIGIT "abcdefABCDEF:");
        if (inside == 0 || p[1 + inside] != ']')
            return fault;
        p += inside + 2;
        len -= inside + 2;
    } else {
        size_t host = strspn(p, LOWER UPPER DIGIT ".-");
        if (host == 0 || host > len || strchr(".-", p[0]) || strchr(".-", p[host - 1]))
            return fault;
        p += host;
        len -= host;
    }
    if (len == 0)
        return NULL;
    size_t digits = strspn(p + 1, DIGIT);
    return *p != ':' || digits == 0 || digits > PORT_DIGITS_MAX || digits + 1 != len ? fault : NULL;
}

/* Letters and digits, joined by ".", "_", "__" or any number of "-". */
static const char *component_fault(const char *p, size_t len) {
    const char *end = p + len;
    if (len == 0)
        return "a part of its name is empty";
    if (strcspn(p, UPPER) < len)
        return "its name must be in lower case";
    for (;;) {
        size_t word = strspn(p, LOWER DIGIT);
        p += word;
        if (word == 0)
            return "each part of its name must begin and end with a letter or digit, joined by . _ __ or -";
        if (p >= end)
            return NULL;
        size_t dashes = strspn(p, "-");
        size_t underscores = strspn(p, "_");
        p += dashes ? dashes : underscores == 2 ? 2 : strchr("._", *p) != NULL;
    }
}

static const char *tag_fault(const char *p, size_t len) {
    if (len == 0 || len > TAG_MAX || strchr(".-", *p) || strspn(p, LOWER UPPER DIGIT "_.-") < len)
        return "the tag behind : must be 1 to 128 letters, digits, _ . - and not begin with . or -";
    return NULL;
}

static const char *digest_fault(const char *p) {
    size_t algorithm = strspn(p, LOWER UPPER DIGIT "+._-");
    size_t hex = p[algorithm] == ':' ? strspn(p + algorithm + 1, DIGIT "abcdef") : 0;
    if (algorithm == 0 || hex < DIGEST_HEX_MIN || p[algorithm + 1 + hex] ||
        (strncmp(p, "sha256:", 7) == 0 && hex != 64))
        return "the digest behind @ must look like sha256: and 64 hexadecimal digits";
    return NULL;
}

static bool is_domain(const char *p, size_t len) {
    return strcspn(p, ".:[" UPPER) < len || (len == strlen("localhost") && strncmp(p, "localhost", len) == 0);
}

static const char *name_fault(const char *p, size_t len) {
    const char *end = p + len;
    if (len > IMAGE_NAME_MAX)
        return "its name is longer than 255 characters";
    size_t first = strcspn(p, "/");
    if (first < len && is_domain(p, first)) {
        const char *fault = domain_fault(p, first);
        if (fault)
            return fault;
        p += first + 1;
    }
    for (;; p++) {
        size_t part = strcspn(p, "/");
        if (p + part > end)
            part = (size_t)(end - p);
        const char *fault = component_fault(p, part);
        p += part;
        if (fault || p >= end)
            return fault;
    }
}

const char *spec_image_fault(const char *reference) {
    if (!*reference)
        return "it is empty";
    if (strcspn(reference, " \t\r\n") < strlen(reference))
        return "it contains a blank";
    size_t before_digest = strcspn(reference, "@");
    size_t name = before_digest;
    for (size_t i = before_digest; i > 0 && reference[i - 1] != '/'; i--)
        if (reference[i - 1] == ':')
            name = i - 1;
    const char *fault = name ? name_fault(reference, name) : "its name is missing";
    if (!fault && name < before_digest)
        fault = tag_fault(reference + name + 1, before_digest - name - 1);
    if (!fault && reference[before_digest])
        fault = digest_fault(reference + before_digest + 1);
    return fault;
}
