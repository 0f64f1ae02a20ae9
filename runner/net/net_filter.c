#include <net/if.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "runner/docker/container.h"
#include "runner/docker/network.h"
#include "runner/net/net.h"
#include "runner/net/net_parts.h"
#include "runner/net/subnet.h"

/*
 * One table for the host; its rules go by the prefix of our bridges, so they hold for networks that are made
 * later, too. Verdicts of a table only count within it: what is let through here still has to pass those of
 * the engine and of the operator (nft(8), "Verdict statement"), and a reject here is final.
 *
 * input: whatever a job sends to an address of the host. forward: what it sends elsewhere; there only
 * 169.254.0.0/16 is closed (metadata services of clouds), and what the engine has led on from a published
 * port of the host. Traffic between containers of one bridge comes by forward, too, and neither rule is about
 * it. The engine's own name service (127.0.0.11) is inside the container's network namespace and not seen
 * here; what it asks further is.
 */
#define TABLE "berth_"
#define PRIORITY "filter - 10" /* before the rules of the engine */

enum { RULES_MAX_BYTES = 64 * 1024 };

static void nft_done(struct nft_ctx **nft) {
    if (*nft)
        nft_ctx_free(*nft);
}
#define AUTO_NFT CLEANUP(nft_done)

static int add_allowed(struct buf *rules, const char *allow, struct err *err) {
    struct subnet_allow entry;
    int got;
    for (const char *at = allow ? allow : ""; (got = subnet_allow_next(&at, &entry, err)) > 0;) {
        char to[SUBNET_TEXT_MAX];
        subnet_format(entry.to, to);
        /* "original": before the engine has led it on from a published port */
        if (entry.port)
            buf_addf(
                rules,
                "    meta l4proto { tcp, udp } ct original ip daddr %s ct original proto-dst %d accept\n", to,
                entry.port);
        else
            buf_addf(rules, "    ct original ip daddr %s accept\n", to);
    }
    return got;
}

/* With the first two lines the table is there, and then gone, whatever was before: all of it is one
 * transaction. */
int net_filter_rules(const char *cluster, bool on, const char *allow, struct buf *rules, struct err *err) {
    char bridge[NET_BRIDGE_MAX];
    const char *own = net_bridge_prefix(cluster, bridge) + strlen(NET_BRIDGE_PREFIX);
    buf_addf(rules, "table inet " TABLE "%s\ndelete table inet " TABLE "%s\n", own, own);
    if (!on)
        return 0;
    buf_addf(rules,
             "table inet " TABLE "%s {\n"
             "  chain closed {\n"
             "    ct state established,related accept\n"
             "    meta l4proto { tcp, udp } th dport 53 accept\n"
             "    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept\n",
             own);
    if (add_allowed(rules, allow, err) < 0)
        return -1;
    if (buf_addf(rules,
                 "    reject with icmpx admin-prohibited\n"
                 "  }\n"
                 "  chain input {\n"
                 "    type filter hook input priority " PRIORITY "; policy accept;\n"
                 "    iifname \"%s*\" goto closed\n"
                 "  }\n"
                 "  chain forward {\n"
                 "    type filter hook forward priority " PRIORITY "; policy accept;\n"
                 "    iifname \"%s*\" ip daddr 169.254.0.0/16 goto closed\n"
                 "    iifname \"%s*\" ct status dnat goto closed\n"
                 "  }\n"
                 "}\n",
                 bridge, bridge, bridge) < 0)
        return err_set(err, ERR_LIMIT, 0, "the rules are longer than %d bytes", RULES_MAX_BYTES);
    return 0;
}

static int run(const char *commands, struct err *err) {
    AUTO_NFT struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!nft || nft_ctx_buffer_output(nft) != 0 || nft_ctx_buffer_error(nft) != 0)
        return err_set(err, ERR_AWAY, 0, "libnftables cannot be used");
    if (nft_run_cmd_from_buffer(nft, commands) == 0)
        return 0;
    const char *said = nft_ctx_get_error_buffer(nft);
    return err_set(err, ERR_AWAY, 0, "the kernel's packet filter refuses: %.*s", (int)strcspn(said, "\n"),
                   said);
}

int net_filter_set(const char *cluster, bool on, const char *allow, struct err *err) {
    AUTO_BUF struct buf rules = BUF(RULES_MAX_BYTES);
    return net_filter_rules(cluster, on, allow, &rules, err) < 0 ? -1 : run(buf_str(&rules), err);
}

bool net_filter_is_set(const char *cluster) {
    AUTO_BUF struct buf command = BUF(RULES_MAX_BYTES);
    char bridge[NET_BRIDGE_MAX];
    buf_addf(&command, "list chain inet " TABLE "%s closed\n",
             net_bridge_prefix(cluster, bridge) + strlen(NET_BRIDGE_PREFIX));
    return run(buf_str(&command), NULL) == 0;
}

bool net_filter_reaches(struct engine *engine, const struct ctx *ctx) {
    AUTO_NETWORK_INFO struct network_info bridge = {0};
    if (network_inspect(engine, ctx, "bridge", &bridge, NULL) < 0)
        return true; /* an engine without one: nothing tells */
    const char *name = container_label(bridge.options, NET_OPTION_BRIDGE);
    return !name || if_nametoindex(name) != 0;
}
