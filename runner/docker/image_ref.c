#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "runner/docker/image.h"

/* The grammar is that of https://pkg.go.dev/github.com/distribution/reference, checked by hand. */

enum { NAME_MAX_BYTES = 255, DIGEST_HEX_MIN = 32 };

static bool all_of(const char *text, size_t len, const char *more) {
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr(more, text[i]))
            return false;
    return len > 0;
}

/* [a-z0-9]+ joined by one of . _ __ or any number of -. */
static bool component_ok(const char *text, size_t len) {
    static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i < len;) {
        size_t letters = strspn(text + i, lower);
        if (letters == 0 || i + letters > len)
            return false;
        i += letters;
        if (i == len)
            return true;
        size_t gap = strspn(text + i, text[i] == '-' ? "-" : text[i] == '_' ? "_" : ".");
        if (gap == 0 || (text[i] != '-' && gap > (text[i] == '_' ? 2U : 1U)))
            return false;
        i += gap;
    }
    return false;
}

/* host, host:port, [v6]:port */
static bool registry_ok(const char *text, size_t len) {
    const char *host_end = text[0] == '[' ? memchr(text, ']', len) : NULL;
    if (text[0] == '[' && (!host_end || !all_of(text + 1, (size_t)(host_end - text - 1), ":")))
        return false;
    size_t host = text[0] == '[' ? (size_t)(host_end + 1 - text) : strcspn(text, ":/");
    if (host > len || (text[0] != '[' &&
                       (!all_of(text, host, ".-") || strchr("-.", text[0]) || strchr("-.", text[host - 1]))))
        return false;
    if (host == len)
        return true;
    size_t digits = strspn(text + host + 1, "0123456789");
    return text[host] == ':' && digits > 0 && digits <= 5 && host + 1 + digits == len;
}

/* The first component is a registry when it cannot be anything else. */
static size_t registry_len(const char *name) {
    size_t len = strcspn(name, "/");
    if (!name[len])
        return 0;
    for (size_t i = 0; i < len; i++)
        if (strchr(".:[", name[i]) || isupper((unsigned char)name[i]))
            return len;
    return len == 9 && strncmp(name, "localhost", len) == 0 ? len : 0;
}

static bool tag_ok(const char *tag) {
    size_t len = strlen(tag);
    return len <= 128 && all_of(tag, len, "_.-") && !strchr(".-", tag[0]);
}

static bool digest_ok(const char *digest) {
    size_t algorithm = strcspn(digest, ":");
    if (!digest[algorithm] || !isalpha((unsigned char)digest[0]) || !all_of(digest, algorithm, "-_+."))
        return false;
    const char *hex = digest + algorithm + 1;
    size_t len = strlen(hex);
    return len >= DIGEST_HEX_MIN && strspn(hex, "0123456789abcdefABCDEF") == len &&
           (strncmp(digest, "sha256:", 7) != 0 || len == 64);
}

static bool name_ok(struct image_ref *ref) {
    size_t registry = registry_len(ref->name), len = strlen(ref->name);
    if (len == 0 || len > NAME_MAX_BYTES || (registry && !registry_ok(ref->name, registry)))
        return false;
    memcpy(ref->registry, ref->name, registry);
    const char *p = ref->name + (registry ? registry + 1 : 0);
    for (;;) {
        size_t component = strcspn(p, "/");
        if (!component_ok(p, component))
            return false;
        if (!p[component])
            return true;
        p += component + 1;
    }
}

int image_ref_parse(const char *text, struct image_ref *ret_ref, struct err *err) {
    struct image_ref ref = {0};
    size_t len = strlen(text);
    if (len >= sizeof ref.name)
        return err_set(err, ERR_INVALID, 0, "image reference: longer than %d bytes", IMAGE_REF_MAX - 1);
    memcpy(ref.name, text, len);
    char *at = strchr(ref.name, '@');
    if (at) {
        memcpy(ref.digest, at + 1, strlen(at + 1));
        *at = '\0';
        if (!digest_ok(ref.digest))
            return err_set(err, ERR_INVALID, 0, "image reference \"%s\": the digest behind @ is malformed",
                           text);
    }
    char *slash = strrchr(ref.name, '/'), *colon = strchr(slash ? slash : ref.name, ':');
    if (colon) {
        if (!tag_ok(colon + 1))
            return err_set(err, ERR_INVALID, 0, "image reference \"%s\": the tag is malformed", text);
        memcpy(ref.tag, colon + 1, strlen(colon + 1));
        *colon = '\0';
    } else if (!at) {
        memcpy(ref.tag, "latest", sizeof "latest");
    }
    if (!name_ok(&ref))
        return err_set(
            err, ERR_INVALID, 0,
            "image reference \"%s\": the name is malformed (lower-case words joined by / . _ or -)", text);
    *ret_ref = ref;
    return 0;
}

const char *image_ref_familiar(const struct image_ref *ref, char out[IMAGE_REF_MAX]) {
    static const char *const implied[] = {"docker.io/library/", "index.docker.io/library/", "docker.io/",
                                          "index.docker.io/"};
    const char *name = ref->name;
    out[0] = '\0';
    if (ref->digest[0] || !ref->tag[0])
        return out;
    for (size_t i = 0; i < ARRAY_LEN(implied); i++)
        if (strncmp(name, implied[i], strlen(implied[i])) == 0) {
            name += strlen(implied[i]);
            break;
        }
    int len = snprintf(out, IMAGE_REF_MAX, "%s:%s", name, ref->tag);
    if (len < 0 || len >= IMAGE_REF_MAX)
        out[0] = '\0';
    return out;
}
