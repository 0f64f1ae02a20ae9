#include "orchestrator/gateway/auth.h"

#include <sodium.h>
#include <string.h>
#include <strings.h>

struct auth auth_new(bool on, const char *admin_token) {
    struct auth auth = {.on = on};
    const char *token = admin_token ? admin_token : "";
    crypto_hash_sha256(auth.hash, (const unsigned char *)token, strlen(token));
    return auth;
}

bool auth_token_ok(const struct auth *auth, const char *token, size_t len) {
    if (!auth->on)
        return true;
    if (!token || len == 0 || len > AUTH_TOKEN_MAX)
        return false;
    unsigned char hash[AUTH_HASH_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)token, len);
    return sodium_memcmp(hash, auth->hash, sizeof hash) == 0;
}

const char *auth_bearer(const char *header, size_t *ret_len) {
    if (strncasecmp(header, "Bearer ", 7) != 0)
        return NULL;
    const char *token = header + 7 + strspn(header + 7, " ");
    *ret_len = strcspn(token, " \t");
    return *ret_len ? token : NULL;
}

const char *auth_subprotocol(const char *header, size_t *ret_len) {
    while (*header) {
        header += strspn(header, " \t,");
        size_t len = strcspn(header, " \t,"), prefix = strlen(AUTH_SUBPROTOCOL_PREFIX);
        if (len > prefix && strncmp(header, AUTH_SUBPROTOCOL_PREFIX, prefix) == 0) {
            *ret_len = len - prefix;
            return header + prefix;
        }
        header += len;
    }
    return NULL;
}

bool auth_offers_first(const char *header, const char *name) {
    header += strspn(header, " \t,");
    size_t len = strcspn(header, " \t,");
    return len == strlen(name) && strncmp(header, name, len) == 0;
}
