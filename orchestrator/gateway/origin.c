#include "orchestrator/gateway/origin.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "orchestrator/gateway/http.h"

/* "localhost", "127.0.0.1:80", "[::1]:80". */
static bool host_is_loopback(const char *host) {
    char name[ADDRESS_HOST_MAX];
    bool v6 = *host == '[';
    size_t len = strcspn(host + v6, v6 ? "]" : ":");
    const char *behind = host + v6 + len;
    if (v6 && *behind++ != ']')
        return false;
    if (len >= sizeof name || (*behind && *behind != ':') || (*behind && strchr(behind + 1, ':')))
        return false;
    for (size_t i = 0; i < len; i++)
        name[i] = (char)tolower((unsigned char)host[v6 + i]);
    name[len] = '\0';
    return address_host_is_loopback(name);
}

bool origin_ok(const char *origin, const char *host, const char *listen) {
    const char *at = strstr(origin, "://");
    if (*origin && (!at || strcasecmp(at + 3, host) != 0))
        return false;
    return !*host || strcasecmp(host, listen) == 0 || host_is_loopback(host);
}

bool origin_refuses(const struct gateway *gateway, struct lws *wsi) {
    char origin[ORIGIN_MAX], host[ORIGIN_MAX];
    if (gateway->auth.on)
        return false;
    return !http_header(wsi, WSI_TOKEN_ORIGIN, origin, sizeof origin) ||
           !http_header(wsi, WSI_TOKEN_HOST, host, sizeof host) ||
           !origin_ok(origin, host, gateway->settings.listen);
}
