#include "runner/net/subnet.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"

enum { ADDRESS_BITS = 32, PORT_MAX = 65535, ALLOW_ENTRY_MAX = 48 };

static uint64_t size_of(int bits) {
    return UINT64_C(1) << (ADDRESS_BITS - bits);
}

/* Decimal digits only, without a sign or blanks; -1 otherwise. */
static int number(const char *text, int max) {
    if (!*text || strlen(text) > 5 || strspn(text, "0123456789") != strlen(text))
        return -1;
    long n = strtol(text, NULL, 10);
    return n <= max ? (int)n : -1;
}

int subnet_parse(const char *text, struct subnet *ret, struct err *err) {
    char address[INET_ADDRSTRLEN];
    struct in_addr in;
    size_t len = strcspn(text, "/");
    int bits = text[len] ? number(text + len + 1, ADDRESS_BITS) : ADDRESS_BITS;
    snprintf(address, sizeof address, "%.*s", len < sizeof address ? (int)len : 0, text);
    if (inet_pton(AF_INET, address, &in) != 1)
        return err_set(err, ERR_INVALID, 0, "\"%.40s\" has no IPv4 address like 10.213.0.0", text);
    if (bits < 0)
        return err_set(err, ERR_INVALID, 0, "\"%.40s\": behind / stands a number from 0 to 32", text);
    struct subnet s = {.address = ntohl(in.s_addr), .bits = bits};
    s.address = (uint32_t)(s.address & ~(size_of(bits) - 1));
    if (s.address != ntohl(in.s_addr)) {
        char right[SUBNET_TEXT_MAX];
        return err_set(err, ERR_INVALID, 0, "\"%.40s\" has bits behind its /%d; %s is the range around it",
                       text, bits, subnet_format(s, right));
    }
    *ret = s;
    return 0;
}

static void format_address(uint32_t address, char out[INET_ADDRSTRLEN]) {
    struct in_addr in = {.s_addr = htonl(address)};
    out[0] = '\0';
    inet_ntop(AF_INET, &in, out, INET_ADDRSTRLEN);
}

const char *subnet_format(struct subnet s, char out[SUBNET_TEXT_MAX]) {
    char address[INET_ADDRSTRLEN];
    format_address(s.address, address);
    snprintf(out, SUBNET_TEXT_MAX, "%.15s/%d", address, s.bits % (ADDRESS_BITS + 1));
    return out;
}

const char *subnet_first_address(struct subnet s, char out[SUBNET_TEXT_MAX]) {
    format_address(s.address + 1, out);
    return out;
}

static uint64_t end_of(struct subnet s) {
    return s.address + size_of(s.bits);
}

bool subnet_overlap(struct subnet a, struct subnet b) {
    return a.address < end_of(b) && b.address < end_of(a);
}

bool subnet_within(struct subnet inner, struct subnet outer) {
    return inner.address >= outer.address && end_of(inner) <= end_of(outer);
}

uint64_t subnet_count(struct subnet pool, int bits) {
    return bits < pool.bits ? 0 : size_of(pool.bits) / size_of(bits);
}

void subnet_list_add(struct subnet_list *list, struct subnet s) {
    if (list->count == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 64;
        list->items = mem_realloc(list->items, list->cap * sizeof *list->items);
    }
    list->items[list->count++] = s;
}

void subnet_list_done(struct subnet_list *list) {
    free(list->items);
    *list = (struct subnet_list){0};
}

/* What of the list is in the way of s; NULL: nothing. */
static const struct subnet *obstacle(struct subnet s, const struct subnet_list *taken) {
    for (size_t i = 0; i < taken->count; i++)
        if (subnet_overlap(s, taken->items[i]))
            return &taken->items[i];
    return NULL;
}

bool subnet_choose(struct subnet pool, int bits, uint64_t start, const struct subnet_list *taken,
                   struct subnet *ret) {
    uint64_t count = subnet_count(pool, bits), size = size_of(bits);
    uint64_t index = count ? start % count : 0;
    for (uint64_t seen = 0; seen < count;) {
        struct subnet s = {.address = (uint32_t)(pool.address + index * size), .bits = bits};
        const struct subnet *in_the_way = obstacle(s, taken);
        if (!in_the_way) {
            *ret = s;
            return true;
        }
        /* On behind what is in the way, so that a wide range costs one step. It lies in the pool or holds all
         * of it. */
        uint64_t next = (end_of(*in_the_way) - pool.address + size - 1) / size;
        seen += next - index;
        index = next % count;
    }
    return false;
}

/* The n-th column of a line, in hexadecimal. */
static bool column(const char *line, int n, uint32_t *ret) {
    const char *at = line + strspn(line, " \t");
    for (; n > 0; n--) {
        at += strcspn(at, " \t");
        at += strspn(at, " \t");
    }
    char *end = NULL;
    unsigned long value = strtoul(at, &end, 16);
    if (end == at || !strchr(" \t\n", *end) || value > UINT32_MAX)
        return false;
    *ret = (uint32_t)value;
    return true;
}

bool subnet_from_route(const char *line, struct subnet pool, struct subnet *ret) {
    enum { DESTINATION = 1, GATEWAY = 2, MASK = 7 };
    uint32_t destination, gateway, mask;
    if (!column(line, DESTINATION, &destination) || !column(line, GATEWAY, &gateway) ||
        !column(line, MASK, &mask))
        return false;
    struct subnet s = {.address = ntohl(destination), .bits = __builtin_popcount(mask)};
    if (s.bits == 0 || !subnet_overlap(s, pool))
        return false;
    if (gateway && s.bits < pool.bits)
        return false;
    *ret = s;
    return true;
}

static int allow_entry(char *text, struct subnet_allow *ret, struct err *err) {
    char *colon = strchr(text, ':');
    if (colon) {
        *colon = '\0';
        ret->port = number(colon + 1, PORT_MAX);
        if (ret->port < 1)
            return err_set(err, ERR_INVALID, 0, "\"%.40s\": \"%.10s\" is no port from 1 to 65535", text,
                           colon + 1);
    }
    return subnet_parse(text, &ret->to, err);
}

int subnet_allow_next(const char **at, struct subnet_allow *ret, struct err *err) {
    const char *text = *at + strspn(*at, " \t");
    size_t len = strcspn(text, ",");
    char entry[ALLOW_ENTRY_MAX];
    struct subnet_allow allow = {0};
    if (!*text)
        return 0;
    const char *next = text + len + (text[len] == ',');
    while (len && strchr(" \t", text[len - 1]))
        len--;
    if (len == 0 || len >= sizeof entry)
        return err_set(err, ERR_INVALID, 0, "\"%.40s\" is no entry of the form ADDRESS[/BITS][:PORT]", text);
    snprintf(entry, sizeof entry, "%.*s", (int)len, text);
    if (allow_entry(entry, &allow, err) < 0)
        return -1;
    *at = next;
    *ret = allow;
    return 1;
}
