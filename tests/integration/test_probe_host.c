/* What the start-up probe sets up on the host, on a real engine. Needs to be root. */
#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/json.h"
#include "runner/net/net.h"
#include "runner/probe.h"
#include "runner_rig.h"

static char group[LIMITS_GROUP_MAX], warning[PROBE_WARNING_MAX], instance[64];
static struct probe probe;

static void begin(void) {
    rig_begin();
    snprintf(instance, sizeof instance, "probe-%s", rig.cluster);
    probe = (struct probe){.instance = instance, .cluster = rig.cluster};
}

static void end(void) {
    struct err err = {0};
    net_filter_set(rig.cluster, false, NULL, NULL);
    cr_expect_eq(limits_remove(group, &err), 0, "%s", err.text);
    rig_end();
}

TestSuite(probe_host, .init = begin, .fini = end, .timeout = 60);

Test(probe_host, nothing_is_done_unasked) {
    cr_assert_eq(net_filter_set(rig.cluster, true, NULL, NULL), 0);
    probe_host(&probe, rig.engine, &rig.ctx, group, warning);
    cr_expect(group[0] == '\0' && warning[0] == '\0', "%s", warning);
    cr_expect(net_filter_is_set(rig.cluster));
}

Test(probe_host, all_is_set_up_as_the_settings_say) {
    AUTO_JSON json_t *on = json_pack("{s:s, s:s, s:s, s:s, s:s}", "cgroups", "on", "egress_filter", "on",
                                     "memory", "96m", "jobs_cpus", "1.5", "egress_allow", "10.0.0.1:80");
    AUTO_JSON json_t *off = json_pack("{s:s, s:s}", "cgroups", "off", "egress_filter", "off");
    AUTO_BUF struct buf bounds = BUF(RIG_OUTPUT_MAX);
    probe_take_settings(&probe, on);
    cr_expect_eq(probe.memory_bytes, 96 * 1024 * 1024);
    cr_expect_eq(probe.jobs_cpus_milli, 1500);
    probe_host(&probe, rig.engine, &rig.ctx, group, warning);
    cr_expect_str_eq(warning, "");
    cr_expect(strstr(group, instance), "%s", group);
    cr_expect(net_filter_is_set(rig.cluster));
    cr_expect_eq(rig_shell("nft list ruleset | grep -q 10.0.0.1", &bounds), 0);

    struct probe without = {.instance = instance, .cluster = rig.cluster};
    char none[LIMITS_GROUP_MAX] = "unset";
    probe_take_settings(&without, off);
    probe_host(&without, rig.engine, &rig.ctx, none, warning);
    cr_expect(none[0] == '\0' && warning[0] == '\0', "%s", warning);
    cr_expect_not(net_filter_is_set(rig.cluster));
}

Test(probe_host, what_is_not_allowed_is_said_in_one_sentence_each) {
    cr_assert_eq(unshare(CLONE_NEWNS | CLONE_NEWNET), 0);
    cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    cr_assert_eq(mount(NULL, "/sys/fs/cgroup/memory", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
    probe.cgroups = probe.egress_filter = true;
    probe_host(&probe, rig.engine, &rig.ctx, group, warning);
    cr_expect_str_eq(group, "");
    cr_expect(strstr(warning, "Nothing bounds all jobs together") && strstr(warning, "BERTH_CGROUPS=off") &&
                  strstr(warning, "Jobs can reach the ports") && strstr(warning, "--network=host") &&
                  strstr(warning, "BERTH_EGRESS_FILTER=off"),
              "%s", warning);
    cr_expect_not(net_filter_is_set(rig.cluster), "rules where they are of no use");
}
