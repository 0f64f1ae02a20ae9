#include "runner/net/net.h"
#include "runner/net/subnet.h"

static const char allow_form[] =
    "entries are written ADDRESS[/BITS][:PORT] and separated by commas, as in 169.254.169.254:80,10.0.0.0/24";

int net_filter_check(const char *allow, struct err *err) {
    struct subnet_allow entry;
    struct err why = {0};
    int count = 0, got = 0;
    for (const char *at = allow ? allow : ""; (got = subnet_allow_next(&at, &entry, &why)) > 0;)
        if (++count > NET_ALLOW_MAX)
            return err_set(err, ERR_INVALID, 0, "more than %d entries", NET_ALLOW_MAX);
    return got < 0 ? err_set(err, ERR_INVALID, 0, "%s; %s", why.text, allow_form) : 0;
}

/* What can be given to a network: not "this" network, loopback, link-local, multicast, reserved (RFC 6890).
 */
static bool usable(struct subnet pool) {
    static const struct subnet closed[] = {{0, 8}, {0x7f000000, 8}, {0xa9fe0000, 16}, {0xe0000000, 3}};
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
        if (subnet_overlap(pool, closed[i]))
            return false;
    return true;
}

int net_pool_check(const char *pool, struct err *err) {
    struct subnet s;
    if (subnet_parse(pool ? pool : "", &s, err) < 0)
        return err_wrap(err, "not ADDRESS/BITS, as in 10.213.0.0/16");
    if (s.bits < NET_POOL_BITS_MIN || s.bits > NET_POOL_BITS_MAX)
        return err_set(err, ERR_INVALID, 0, "a pool is a /%d to /%d, as in 10.213.0.0/16", NET_POOL_BITS_MIN,
                       NET_POOL_BITS_MAX);
    if (!usable(s))
        return err_set(err, ERR_INVALID, 0,
                       "these addresses cannot be given to networks; take private ones, as in 10.213.0.0/16");
    return 0;
}
