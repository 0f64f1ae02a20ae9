/* pull_auth() alone: a docker config.json and the header that follows from it. Pure. */
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "runner/pull.h"

enum { BITS = 6, FILL = '=' };

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* RFC 4648, section 4, padding or not. NULL: it is none. Owned by the caller, NUL-terminated. */
static char *base64_decode(const char *text) {
    size_t len = strlen(text);
    while (len && text[len - 1] == FILL)
        len--;
    char *out = mem_alloc(len + 1);
    uint32_t bits = 0;
    unsigned have = 0;
    size_t put = 0;
    for (size_t i = 0; i < len; i++) {
        const char *at = strchr(digits, text[i]);
        if (!at) {
            free(out);
            return NULL;
        }
        bits = bits << BITS | (uint32_t)(at - digits);
        have += BITS;
        if (have >= 8) {
            have -= 8;
            out[put++] = (char)(bits >> have & 0xff);
        }
    }
    return out;
}

/* RFC 4648, section 5, with padding, as the engine reads it. */
static char *base64url_encode(const char *text) {
    size_t len = strlen(text);
    char *out = mem_alloc((len + 2) / 3 * 4 + 1);
    char *to = out;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (i + k < len ? (unsigned char)text[i + k] : 0);
        for (unsigned k = 0; k < 4; k++)
            *to++ = i + k > len ? FILL : url_digits[bits >> (3 - k) * BITS & 63];
    }
    return out;
}

static bool is_hub(const char *host, size_t len) {
    static const char *const names[] = {"docker.io", "index.docker.io", "registry-1.docker.io"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strlen(names[i]) == len && strncasecmp(host, names[i], len) == 0)
            return true;
    return len == 0;
}

/* The host, with its port, of "host", "https://host/v1/" and the like. */
static const char *host_of(const char *key, size_t *ret_len) {
    const char *scheme = strstr(key, "://");
    const char *host = scheme ? scheme + 3 : key;
    *ret_len = strcspn(host, "/");
    return host;
}

static bool same_registry(const char *key, const char *registry) {
    size_t len, wanted_len;
    const char *host = host_of(key, &len);
    const char *wanted = host_of(registry, &wanted_len);
    if (is_hub(wanted, wanted_len))
        return len && is_hub(host, len);
    return len == wanted_len && strncasecmp(host, wanted, len) == 0;
}

/* An entry that is spelled as the registry is goes before one that means the same. */
static const json_t *entry_find(json_t *auths, const char *registry, const char **ret_key) {
    const char *key;
    json_t *entry;
    *ret_key = registry;
    const json_t *found = json_object_get(auths, registry);
    json_object_foreach(auths, key, entry) {
        if (found)
            break;
        if (!same_registry(key, registry))
            continue;
        found = entry;
        *ret_key = key;
    }
    return found;
}

/* A text that is not UTF-8 becomes null, for which header_build() looks. */
static void put_text(json_t *out, const char *key, const char *text) {
    json_t *value = text ? json_string(text) : NULL;
    if (text && *text)
        json_object_set_new(out, key, value ? value : json_null());
    else
        json_decref(value);
}

static bool has_null(json_t *object) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) if (json_is_null(value)) return true;
    return false;
}

/* "user:password" goes before a username and a password that stand beside it, as for the docker CLI. */
static int put_login(json_t *out, const json_t *entry, const char *key, struct err *err) {
    const char *both = json_get_string(entry, "auth");
    put_text(out, "username", json_get_string(entry, "username"));
    put_text(out, "password", json_get_string(entry, "password"));
    if (!both || !*both)
        return 0;
    AUTO_FREE char *login = base64_decode(both);
    char *colon = login ? strchr(login, ':') : NULL;
    if (!colon)
        return err_set(err, ERR_INVALID, 0, "\"auth\" of %.200s is not \"user:password\" in base64", key);
    *colon = '\0';
    put_text(out, "username", login);
    put_text(out, "password", colon + 1);
    return 0;
}

/* https://docs.docker.com/reference/api/engine/#section/Authentication */
static int header_build(const json_t *entry, const char *key, char **ret_auth, struct err *err) {
    AUTO_JSON json_t *out = json_object();
    if (!json_is_object(entry))
        return err_set(err, ERR_INVALID, 0, "\"auths\" has no object for %.200s", key);
    if (put_login(out, entry, key, err) < 0)
        return -1;
    put_text(out, "identitytoken", json_get_string(entry, "identitytoken"));
    put_text(out, "registrytoken", json_get_string(entry, "registrytoken"));
    if (json_object_size(out) == 0)
        return 0; /* it is with a credential helper */
    put_text(out, "serveraddress", key);
    AUTO_FREE char *text = has_null(out) ? NULL : json_dumps(out, JSON_COMPACT);
    if (!text)
        return err_set(err, ERR_INVALID, 0, "the credentials of %.200s are not UTF-8", key);
    *ret_auth = base64url_encode(text);
    return 0;
}

int pull_auth(const char *config, size_t len, const char *image, char **ret_auth, struct err *err) {
    struct image_ref ref;
    json_error_t why;
    char *auth = NULL;
    const char *key;
    if (image_ref_parse(image, &ref, err) < 0)
        return -1;
    AUTO_JSON json_t *doc = json_loadb(config, len, JSON_REJECT_DUPLICATES, &why);
    if (!doc)
        return err_set(err, ERR_INVALID, 0, "not JSON: line %d: %s", why.line, why.text);
    json_t *auths = json_object_get(doc, "auths");
    if (!json_is_object(doc) || (auths && !json_is_object(auths)))
        return err_set(err, ERR_INVALID, 0, "it is not an object with an object \"auths\"");
    const json_t *entry = entry_find(
        auths, is_hub(ref.registry, strlen(ref.registry)) ? "https://index.docker.io/v1/" : ref.registry,
        &key);
    if (entry && header_build(entry, key, &auth, err) < 0)
        return -1;
    *ret_auth = auth;
    return 0;
}
