/* Address ranges, what is free of them, and the two settings made of them. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/cleanup.h"
#include "runner/net/net.h"
#include "runner/net/subnet.h"

static struct subnet subnet(const char *text) {
    struct subnet s = {0};
    struct err err = {0};
    cr_assert_eq(subnet_parse(text, &s, &err), 0, "%s", err.text);
    return s;
}

static const char *text_of(struct subnet s) {
    static char text[SUBNET_TEXT_MAX];
    return subnet_format(s, text);
}

static struct subnet_list list_of(const char *const *texts) {
    struct subnet_list list = {0};
    for (size_t i = 0; texts[i]; i++)
        subnet_list_add(&list, subnet(texts[i]));
    return list;
}

#define TAKEN(...) list_of((const char *const[]){__VA_ARGS__, NULL})

Test(subnet, is_read_and_written) {
    cr_expect_eq(subnet("10.213.0.16/28").address, 0x0ad50010);
    cr_expect_str_eq(text_of(subnet("10.213.0.16/28")), "10.213.0.16/28");
    cr_expect_str_eq(text_of(subnet("255.255.255.255")), "255.255.255.255/32");
    cr_expect_str_eq(text_of(subnet("0.0.0.0/0")), "0.0.0.0/0");
    char first[SUBNET_TEXT_MAX];
    cr_expect_str_eq(subnet_first_address(subnet("10.213.0.16/28"), first), "10.213.0.17");
    static const char *const wrong[] = {"",           "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8",
                                        "10.0.0.1/8", "fe80::/64",   "10.0.0.0/8 ", " 10.0.0.0",
                                        "10.0.0.0/",  "10.0.0.0/+8", "1.2.3.4.5",   "10.0.0.0/8/8"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct subnet s = {.bits = 77};
        struct err err = {0};
        cr_expect(subnet_parse(wrong[i], &s, &err) < 0 && err.kind == ERR_INVALID && s.bits == 77, "\"%s\"",
                  wrong[i]);
    }
}

Test(subnet, overlaps_where_one_holds_the_other) {
    cr_expect(subnet_overlap(subnet("10.0.0.0/8"), subnet("10.213.0.16/28")));
    cr_expect(subnet_overlap(subnet("10.213.0.16/28"), subnet("10.0.0.0/8")));
    cr_expect_not(subnet_overlap(subnet("10.213.0.0/28"), subnet("10.213.0.16/28")));
    cr_expect(subnet_overlap(subnet("255.255.255.255/32"), subnet("0.0.0.0/0")));
    cr_expect(subnet_within(subnet("10.0.0.0/8"), subnet("10.0.0.0/8")));
    cr_expect_not(subnet_within(subnet("10.0.0.0/8"), subnet("10.0.0.0/9")));
}

static const char *chosen(const char *pool, uint64_t start, struct subnet_list taken) {
    struct subnet s;
    bool found = subnet_choose(subnet(pool), NET_SUBNET_BITS, start, &taken, &s);
    subnet_list_done(&taken);
    return found ? text_of(s) : "none";
}

Test(subnet, the_choice_begins_where_it_is_told) {
    cr_expect_str_eq(chosen("10.213.0.0/16", 0, (struct subnet_list){0}), "10.213.0.0/28");
    cr_expect_str_eq(chosen("10.213.0.0/16", 5, (struct subnet_list){0}), "10.213.0.80/28");
    cr_expect_str_eq(chosen("10.213.0.0/16", 4096 + 5, (struct subnet_list){0}), "10.213.0.80/28");
    cr_expect_str_eq(chosen("10.213.0.0/16", UINT64_MAX, (struct subnet_list){0}), "10.213.255.240/28");
}

Test(subnet, the_choice_goes_around_what_is_taken) {
    cr_expect_str_eq(chosen("10.213.0.0/24", 1, TAKEN("10.213.0.16/28")), "10.213.0.32/28");
    cr_expect_str_eq(chosen("10.213.0.0/24", 1, TAKEN("10.213.0.17/32", "10.213.0.32/27")), "10.213.0.64/28");
    cr_expect_str_eq(chosen("10.213.0.0/24", 15, TAKEN("10.213.0.240/28")), "10.213.0.0/28");
    cr_expect_str_eq(chosen("10.213.0.0/24", 9, TAKEN("10.213.0.128/25", "10.213.0.0/26")), "10.213.0.64/28");
    cr_expect_str_eq(chosen("10.213.0.0/24", 9, TAKEN("172.17.0.0/16")), "10.213.0.144/28");
    cr_expect_str_eq(chosen("255.255.255.0/24", 15, TAKEN("255.255.255.240/28")), "255.255.255.0/28");
}

Test(subnet, a_pool_can_be_exhausted) {
    cr_expect_str_eq(chosen("10.213.0.0/24", 3, TAKEN("10.0.0.0/8")), "none");
    cr_expect_str_eq(chosen("10.213.0.0/24", 3, TAKEN("10.213.0.128/25", "10.213.0.0/25")), "none");
    struct subnet_list taken = {0};
    struct subnet s;
    for (int i = 0; i < 16; i++) {
        cr_assert(subnet_choose(subnet("10.213.0.0/24"), NET_SUBNET_BITS, 7, &taken, &s), "%d", i);
        subnet_list_add(&taken, s);
    }
    cr_expect_not(subnet_choose(subnet("10.213.0.0/24"), NET_SUBNET_BITS, 7, &taken, &s));
    cr_expect_eq(subnet_count(subnet("10.213.0.0/24"), NET_SUBNET_BITS), 16);
    subnet_list_done(&taken);
}

/* The widest pool, all of it in the way of one range behind the other: nothing that takes long. */
Test(subnet, a_wide_pool_is_gone_through_in_strides) {
    struct subnet_list taken = {0};
    for (unsigned i = 0; i < 255; i++)
        subnet_list_add(&taken, (struct subnet){0x0a000000 + (i << 16), 16});
    cr_expect_str_eq(chosen("10.0.0.0/8", 12345, taken), "10.255.0.0/28");
}

Test(subnet, routes_count_when_they_are_in_the_pool) {
    struct subnet pool = subnet("10.213.0.0/16"), s;
#define ROUTE(destination, gateway, mask)                                                                    \
    "eth0\t" destination "\t" gateway "\t0001\t0\t0\t0\t" mask "\t0\t0\t0\n"
    cr_expect(subnet_from_route(ROUTE("1000D50A", "00000000", "F0FFFFFF"), pool, &s));
    cr_expect_str_eq(text_of(s), "10.213.0.16/28");
    cr_expect(subnet_from_route(ROUTE("0000000A", "00000000", "000000FF"), pool, &s), "a neighbourhood");
    cr_expect(subnet_from_route(ROUTE("0000D50A", "0100A8C0", "0000FFFF"), pool, &s), "as wide as the pool");
    cr_expect_not(subnet_from_route(ROUTE("0000000A", "0100A8C0", "000000FF"), pool, &s),
                  "over a router, wider");
    cr_expect_not(subnet_from_route(ROUTE("00000000", "00000000", "00000000"), pool, &s), "default");
    cr_expect_not(subnet_from_route(ROUTE("0000A8C0", "00000000", "0000FFFF"), pool, &s), "elsewhere");
    cr_expect_not(
        subnet_from_route("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n", pool, &s));
    cr_expect_not(subnet_from_route("", pool, &s));
}

static const char *fault(int (*check)(const char *, struct err *), const char *text) {
    static struct err err;
    err = (struct err){0};
    int rc = check(text, &err);
    cr_assert_eq(rc < 0, err.kind == ERR_INVALID);
    return err.text;
}

Test(net_check, pools) {
    cr_expect_str_eq(fault(net_pool_check, "10.213.0.0/16"), "");
    cr_expect_str_eq(fault(net_pool_check, "10.0.0.0/8"), "");
    cr_expect_str_eq(fault(net_pool_check, "192.168.7.0/24"), "");
    cr_expect(strstr(fault(net_pool_check, "10.213.0.0/25"), "/8 to /24"));
    cr_expect(strstr(fault(net_pool_check, "8.0.0.0/7"), "/8 to /24"));
    cr_expect(strstr(fault(net_pool_check, "10.213.7.0/16"), "10.213.0.0/16 is the range around it"));
    cr_expect(strstr(fault(net_pool_check, "fd00::/64"), "IPv4"));
    cr_expect(strstr(fault(net_pool_check, NULL), "IPv4"));
    cr_expect(strstr(fault(net_pool_check, "169.254.0.0/16"), "cannot be given"));
    cr_expect(strstr(fault(net_pool_check, "127.0.0.0/8"), "cannot be given"));
    cr_expect(strstr(fault(net_pool_check, "240.0.0.0/8"), "cannot be given"));
}

Test(net_check, what_is_allowed) {
    cr_expect_str_eq(fault(net_filter_check, NULL), "");
    cr_expect_str_eq(fault(net_filter_check, ""), "");
    cr_expect_str_eq(fault(net_filter_check, "169.254.169.254:80"), "");
    cr_expect_str_eq(fault(net_filter_check, " 169.254.169.254/32:80 , 10.0.0.0/24 "), "");
    static const char *const wrong[] = {"x",
                                        "10.0.0.1:0",
                                        "10.0.0.1:65536",
                                        "10.0.0.1:http",
                                        "10.0.0.1:80:80",
                                        ",10.0.0.1",
                                        "10.0.0.1,,10.0.0.2",
                                        "10.0.0.1/24",
                                        "10.0.0.1; drop",
                                        "10.0.0.1 accept",
                                        "00000000000000000000000000000000000000000010.0.0.1"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        cr_expect(strstr(fault(net_filter_check, wrong[i]), "ADDRESS[/BITS][:PORT]"), "%s", wrong[i]);
    char many[16 * (NET_ALLOW_MAX + 1)] = "";
    for (int i = 0; i <= NET_ALLOW_MAX; i++)
        memcpy(many + i * strlen("10.0.0.1,"), "10.0.0.1,", sizeof "10.0.0.1,");
    cr_expect(strstr(fault(net_filter_check, many), "more than"));
    struct subnet_allow allow;
    const char *at = "10.0.0.0/24:443,";
    cr_expect_eq(subnet_allow_next(&at, &allow, NULL), 1);
    cr_expect(allow.port == 443 && allow.to.address == 0x0a000000 && allow.to.bits == 24);
    cr_expect_eq(subnet_allow_next(&at, &allow, NULL), 0);
}
