/*
 * auth - whether a request may be answered. One bearer token with all rights so far; tenants and roles
 * follow.
 *
 * Only hashes are kept and compared, in constant time, so neither the token's length nor its bytes can be
 * measured.
 */
#ifndef BERTH_GATEWAY_AUTH_H
#define BERTH_GATEWAY_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#define AUTH_TENANT "default"
#define AUTH_SUBPROTOCOL_PREFIX "bearer."

enum { AUTH_HASH_BYTES = 32, AUTH_TOKEN_MAX = 4096 };

struct auth {
    bool on;
    unsigned char hash[AUTH_HASH_BYTES];
};

struct auth auth_new(bool on, const char *admin_token);
bool auth_token_ok(const struct auth *auth, const char *token, size_t len);
/* The token of "Bearer <token>" (RFC 6750, section 2.1); NULL when the header says something else. */
const char *auth_bearer(const char *header, size_t *ret_len);
/* The token of "berth.v1, bearer.<token>"; NULL when there is none. */
const char *auth_subprotocol(const char *header, size_t *ret_len);
/* Whether the first subprotocol that is offered is `name`. */
bool auth_offers_first(const char *header, const char *name);

#endif
