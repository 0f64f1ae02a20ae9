/*
 * subnet - IPv4 address ranges: read, compared, and the choice of one that is free. Pure.
 */
#ifndef BERTH_RUNNER_NET_SUBNET_H
#define BERTH_RUNNER_NET_SUBNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { SUBNET_TEXT_MAX = 20 }; /* "255.255.255.255/32" with the NUL */

struct subnet {
    uint32_t address; /* host byte order; no bits behind the mask */
    int bits;
};

/* "10.0.0.0/8", and "10.0.0.1" as /32. ERR_INVALID says what is wrong. */
int subnet_parse(const char *text, struct subnet *ret, struct err *err);
const char *subnet_format(struct subnet s, char out[SUBNET_TEXT_MAX]);
const char *subnet_first_address(struct subnet s, char out[SUBNET_TEXT_MAX]); /* behind the network's own */
bool subnet_overlap(struct subnet a, struct subnet b);
bool subnet_within(struct subnet inner, struct subnet outer); /* or the same */
uint64_t subnet_count(struct subnet pool, int bits);          /* how many of this size it has */

struct subnet_list {
    struct subnet *items;
    size_t count, cap;
};
void subnet_list_add(struct subnet_list *list, struct subnet s);
void subnet_list_done(struct subnet_list *list);
#define AUTO_SUBNET_LIST CLEANUP(subnet_list_done)

/* The first range of so many bits of the pool, from the one that follows from `start` on and around, that
 * overlaps with none of the list. false: there is none. */
bool subnet_choose(struct subnet pool, int bits, uint64_t start, const struct subnet_list *taken,
                   struct subnet *ret);

/* A line of /proc/net/route (proc_net_route in the kernel's fib_trie.c); false: none that takes up addresses
 * of the pool. A route over a router that is wider than the pool is none: it says nothing about the pool
 * being in use. */
bool subnet_from_route(const char *line, struct subnet pool, struct subnet *ret);

/* One entry of BERTH_EGRESS_ALLOW, "ADDRESS[/BITS][:PORT]". */
struct subnet_allow {
    struct subnet to;
    int port; /* 0: all */
};
/* Reads the entry at *at, and moves it behind the comma. 1: there it is; 0: the end. ERR_INVALID names the
 * entry. */
int subnet_allow_next(const char **at, struct subnet_allow *ret, struct err *err);

#endif
