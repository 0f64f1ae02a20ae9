#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "proto/spec.h"

static struct spec *parsed(const char *text, const struct spec_policy *policy) {
    struct spec *spec = NULL;
    AUTO_FAULTS struct spec_faults faults = {0};
    int result = spec_parse_text(text, strlen(text), policy, &spec, &faults);
    AUTO_FREE char *why = spec_faults_text(&faults, 1000);
    cr_assert_eq(result, 0, "%s: %s", text, why);
    return spec;
}

static struct spec *parsed_builtin(const char *text) {
    struct spec_policy policy = spec_policy_builtin();
    return parsed(text, &policy);
}

static const char everything[] =
    "{\"name\":\"unit tests "
    "\xc3\xa9\",\"image\":\"debian:bookworm-slim\",\"command\":[\"make\",\"test\",\"\"],"
    "\"entrypoint\":[\"/bin/sh\",\"-c\"],\"env\":{\"A\":\"b\",\"EMPTY\":\"\"},\"workdir\":\"/src/\","
    "\"user\":\"1000:1000\",\"input\":{\"any\":[1,0.1,-2.5e-7,1e300,true,null,\"a\\nb\\u0000\"]},"
    "\"limits\":{\"cpus\":1.5,\"memory\":\"512m\",\"pids\":256,\"shm\":\"64m\",\"nofile\":4096,\"log\":"
    "1048577,"
    "\"tmpfs\":{\"/tmp\":\"64m\",\"/run/x\":5000}},"
    "\"deadlines\":{\"queue\":\"1h\",\"pull\":300,\"start\":\"1m\",\"run\":0.25},"
    "\"stop\":{\"signal\":\"INT\",\"grace\":\"10s\"},\"pull\":\"always\",\"network\":\"none\","
    "\"hardening\":{\"read_only\":true,\"caps\":\"none\",\"cap_add\":[\"CHOWN\",\"cap_kill\",\"CHOWN\"]},"
    "\"priority\":-7,\"run_at\":\"2026-11-22T13:00:00.000001+01:00\",\"labels\":{\"pipeline\":\"123\"}}";

Test(spec, everything_finds_its_place) {
    AUTO_SPEC struct spec *s = parsed_builtin(everything);
    cr_expect_str_eq(s->name, "unit tests \xc3\xa9");
    cr_expect_str_eq(s->image, "debian:bookworm-slim");
    cr_expect(s->has_command && s->command.count == 3 && strcmp(s->command.items[1], "test") == 0);
    cr_expect(s->has_entrypoint && s->entrypoint.count == 2 &&
              strcmp(s->entrypoint.items[0], "/bin/sh") == 0);
    cr_expect_eq(s->env.count, 2);
    cr_expect_str_eq(s->env.items[0].key, "A");
    cr_expect_str_eq(s->env.items[0].value, "b");
    cr_expect_str_eq(s->workdir, "/src");
    cr_expect_str_eq(s->user, "1000:1000");
    cr_expect_str_eq(s->input, "{\"any\":[1,0.1,-2.5e-07,1e+300,true,null,\"a\\nb\\u0000\"]}");
    cr_expect_eq(s->limits.cpus_milli, 1500);
    cr_expect_eq(s->limits.memory_bytes, 512 << 20);
    cr_expect_eq(s->limits.pids, 256);
    cr_expect_eq(s->limits.shm_bytes, 64 << 20);
    cr_expect_eq(s->limits.nofile, 4096);
    cr_expect_eq(s->limits.log_bytes, 1048577);
    cr_expect_eq(s->limits.tmpfs_count, 2);
    cr_expect_str_eq(s->limits.tmpfs[1].path, "/run/x");
    cr_expect_eq(s->limits.tmpfs[1].bytes, 5000);
    cr_expect_eq(s->deadlines.queue_ms, 3600000);
    cr_expect_eq(s->deadlines.pull_ms, 300000);
    cr_expect_eq(s->deadlines.start_ms, 60000);
    cr_expect_eq(s->deadlines.run_ms, 250);
    cr_expect_eq(s->stop.signal, SIGINT);
    cr_expect_eq(s->stop.grace_ms, 10000);
    cr_expect_eq(s->pull, SPEC_PULL_ALWAYS);
    cr_expect_eq(s->network, SPEC_NETWORK_NONE);
    cr_expect(s->hardening.read_only && s->hardening.caps_none);
    cr_expect_eq(s->hardening.cap_add.count, 2);
    cr_expect_str_eq(s->hardening.cap_add.items[1], "KILL");
    cr_expect_eq(s->priority, -7);
    cr_expect_eq(s->run_at_us, INT64_C(1795348800000001));
    cr_expect_str_eq(s->labels.items[0].value, "123");
}

Test(spec, defaults_are_the_operators) {
    struct spec_policy policy = spec_policy_builtin();
    policy.default_memory_bytes = 123 << 20;
    policy.default_run_ms = 4321;
    policy.default_queue_ms = 8765;
    AUTO_SPEC struct spec *s = parsed("{\"image\":\"a\"}", &policy);
    cr_expect_null(s->name);
    cr_expect_null(s->input);
    cr_expect_null(s->workdir);
    cr_expect_null(s->user);
    cr_expect_not(s->has_command);
    cr_expect_not(s->has_entrypoint);
    cr_expect_eq(s->limits.memory_bytes, 123 << 20);
    cr_expect_eq(s->limits.pids, policy.default_pids);
    cr_expect_eq(s->limits.shm_bytes, policy.default_shm_bytes);
    cr_expect_eq(s->limits.nofile, policy.default_nofile);
    cr_expect_eq(s->limits.log_bytes, policy.default_log_bytes);
    cr_expect_eq(s->limits.cpus_milli, 0);
    cr_expect_eq(s->deadlines.queue_ms, policy.default_queue_ms);
    cr_expect_eq(s->deadlines.pull_ms, policy.default_pull_ms);
    cr_expect_eq(s->deadlines.start_ms, policy.default_start_ms);
    cr_expect_eq(s->deadlines.run_ms, 4321);
    cr_expect_eq(s->stop.signal, 0);
    cr_expect_eq(s->stop.grace_ms, policy.default_grace_ms);
    cr_expect_eq(s->pull, SPEC_PULL_MISSING);
    cr_expect_eq(s->network, SPEC_NETWORK_EGRESS);
    cr_expect_eq(s->run_at_us, 0);
}

Test(spec, a_default_never_passes_its_ceiling) {
    struct spec_policy policy = spec_policy_builtin();
    policy.max_memory_bytes = 64 << 20;
    policy.max_cpus_milli = 2000; /* no default: unlimited would be over the ceiling */
    policy.default_queue_ms = 0;
    policy.max_queue_ms = 5000;
    policy.max_grace_ms = 1000;
    AUTO_SPEC struct spec *s = parsed("{\"image\":\"a\"}", &policy);
    cr_expect_eq(s->limits.memory_bytes, 64 << 20);
    cr_expect_eq(s->limits.cpus_milli, 2000);
    cr_expect_eq(s->deadlines.queue_ms, 5000);
    cr_expect_eq(s->stop.grace_ms, 1000);
}

Test(spec, a_script_is_a_command_of_its_own) {
    AUTO_SPEC struct spec *s = parsed_builtin("{\"image\":\"a\",\"script\":\"make\\ntest\"}");
    cr_assert_eq(s->command.count, 4);
    cr_expect_str_eq(s->command.items[0], "/bin/sh");
    cr_expect_str_eq(s->command.items[1], "-e");
    cr_expect_str_eq(s->command.items[2], "-c");
    cr_expect_str_eq(s->command.items[3], "make\ntest");
    cr_expect(s->has_command && s->has_entrypoint);
    cr_expect_eq(s->entrypoint.count, 0, "the image's entrypoint is out of the way");
}

Test(spec, empty_is_told_from_absent) {
    AUTO_SPEC struct spec *s =
        parsed_builtin("{\"image\":\"a\",\"command\":[],\"entrypoint\":[],\"input\":null}");
    cr_expect(s->has_command && s->has_entrypoint);
    cr_expect_eq(s->command.count + s->entrypoint.count, 0);
    cr_expect_str_eq(s->input, "null");
}

Test(spec, values_that_are_just_right) {
    static const char *const docs[] = {
        "{\"image\":\"a\",\"limits\":{\"memory\":6291456,\"pids\":2,\"cpus\":0.01,\"shm\":\"4k\",\"nofile\":"
        "64,\"log\":\"1k\"}}",
        "{\"image\":\"a\",\"limits\":{\"memory\":1e9,\"pids\":256.0,\"tmpfs\":{\"/devices\":\"1m\",\"/"
        "proc2\":\"1m\"}}}",
        "{\"image\":\"a\",\"stop\":{\"signal\":64,\"grace\":0}}",
        "{\"image\":\"a\",\"stop\":{\"signal\":\"sigterm\"}}",
        "{\"image\":\"a\",\"stop\":{\"signal\":\"15\"}}",
        "{\"image\":\"a\",\"user\":\"postgres\"}",
        "{\"image\":\"a\",\"user\":\"2147483647:www-data\"}",
        "{\"image\":\"a\",\"workdir\":\"/\"}",
        "{\"image\":\"a\",\"workdir\":\"/a/..b/.c\"}",
        "{\"image\":\"a\",\"priority\":1000,\"labels\":{\"a\":\"\",\"ci.example.com/job-id_1\":\"x\"}}",
        "{\"image\":\"a\",\"run_at\":\"1970-01-01T00:00:00+23:59\"}",
        "{\"image\":\"a\",\"env\":{\"BERTHA\":\"x\",\"CI\":\"0\",\"a b\":\"line\\nline\"}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(docs); i++)
        spec_free(parsed_builtin(docs[i]));
}

static bool same_text(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_list(const struct spec_list *a, const struct spec_list *b) {
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = same_text(a->items[i], b->items[i]);
    return same;
}

static bool same_pairs(const struct spec_pairs *a, const struct spec_pairs *b) {
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = same_text(a->items[i].key, b->items[i].key) && same_text(a->items[i].value, b->items[i].value);
    return same;
}

static bool same_limits(const struct spec *a, const struct spec *b) {
    bool same = a->limits.tmpfs_count == b->limits.tmpfs_count;
    for (size_t i = 0; same && i < a->limits.tmpfs_count; i++)
        same = same_text(a->limits.tmpfs[i].path, b->limits.tmpfs[i].path) &&
               a->limits.tmpfs[i].bytes == b->limits.tmpfs[i].bytes;
    return same && a->limits.cpus_milli == b->limits.cpus_milli &&
           a->limits.memory_bytes == b->limits.memory_bytes && a->limits.pids == b->limits.pids &&
           a->limits.shm_bytes == b->limits.shm_bytes && a->limits.nofile == b->limits.nofile &&
           a->limits.log_bytes == b->limits.log_bytes;
}

static void expect_same(const struct spec *a, const struct spec *b, const char *text) {
    cr_expect(same_text(a->name, b->name) && same_text(a->image, b->image), "%s", text);
    cr_expect(same_list(&a->command, &b->command) && a->has_command == b->has_command, "%s", text);
    cr_expect(same_list(&a->entrypoint, &b->entrypoint) && a->has_entrypoint == b->has_entrypoint, "%s",
              text);
    cr_expect(same_text(a->script, b->script) && same_text(a->input, b->input), "%s", text);
    cr_expect(same_text(a->workdir, b->workdir) && same_text(a->user, b->user), "%s", text);
    cr_expect(same_pairs(&a->env, &b->env) && same_pairs(&a->labels, &b->labels), "%s", text);
    cr_expect(same_limits(a, b), "%s", text);
    cr_expect_eq(memcmp(&a->deadlines, &b->deadlines, sizeof a->deadlines), 0, "%s", text);
    cr_expect(a->stop.signal == b->stop.signal && a->stop.grace_ms == b->stop.grace_ms, "%s", text);
    cr_expect(a->pull == b->pull && a->network == b->network, "%s", text);
    cr_expect(a->hardening.read_only == b->hardening.read_only &&
                  a->hardening.caps_none == b->hardening.caps_none &&
                  same_list(&a->hardening.cap_add, &b->hardening.cap_add),
              "%s", text);
    cr_expect(a->priority == b->priority && a->run_at_us == b->run_at_us, "%s", text);
}

/* The spec, and the spec that was read from what it wrote: under the same policy, and when it is read back.
 */
static void expect_round_trip(const char *text, const struct spec_policy *policy) {
    struct spec_policy unlimited = spec_policy_unlimited();
    AUTO_SPEC struct spec *first = parsed(text, policy);
    AUTO_JSON json_t *doc = spec_to_json(first);
    AUTO_FREE char *written = json_dumps(doc, 0);
    cr_assert_not_null(written, "%s", text);
    AUTO_SPEC struct spec *second = parsed(written, policy);
    AUTO_SPEC struct spec *third = parsed(written, &unlimited);
    expect_same(first, second, written);
    expect_same(first, third, written);
}

Test(spec, what_is_written_parses_back) {
    static const char *const docs[] = {
        everything,
        "{\"image\":\"a\"}",
        "{\"image\":\"a\",\"command\":[],\"entrypoint\":[]}",
        "{\"image\":\"a\",\"script\":\"exit 3\"}",
        "{\"image\":\"a\",\"script\":\"exit 3\",\"entrypoint\":[\"/bin/wrap\"]}",
        "{\"image\":\"a\",\"input\":null}",
        "{\"image\":\"a\",\"input\":[1.0,0.30000000000000004,12345678901234567890.0,5e-324,1e22]}",
        "{\"image\":\"a\",\"stop\":{\"signal\":40,\"grace\":0}}",
        "{\"image\":\"a\",\"limits\":{\"cpus\":0.333,\"memory\":123456789},\"deadlines\":{\"run\":"
        "\"1h0m1s1ms\"}}",
    };
    struct spec_policy builtin = spec_policy_builtin();
    struct spec_policy tight = builtin;
    tight.max_cpus_milli = 2000;
    for (size_t i = 0; i < ARRAY_LEN(docs); i++) {
        expect_round_trip(docs[i], &builtin);
        expect_round_trip(docs[i], &tight);
    }
}

/* Each ceiling: what lies on it passes, one more is refused and the setting named. */
Test(spec, ceilings_name_their_setting) {
    static const struct {
        const char *before, *after, *pointer, *setting;
        size_t offset;
        int64_t ceiling;
        int divisor;
    } cases[] = {
        {"{\"image\":\"a\",\"limits\":{\"cpus\":", "}}", "/limits/cpus", "(BERTH_MAX_CPUS)",
         offsetof(struct spec_policy, max_cpus_milli), 2000, 1000},
        {"{\"image\":\"a\",\"limits\":{\"memory\":", "}}", "/limits/memory", "(BERTH_MAX_MEMORY)",
         offsetof(struct spec_policy, max_memory_bytes), 64 << 20, 1},
        {"{\"image\":\"a\",\"limits\":{\"pids\":", "}}", "/limits/pids", "(BERTH_MAX_PIDS)",
         offsetof(struct spec_policy, max_pids), 64, 1},
        {"{\"image\":\"a\",\"limits\":{\"shm\":", "}}", "/limits/shm", "(BERTH_MAX_SHM)",
         offsetof(struct spec_policy, max_shm_bytes), 65536, 1},
        {"{\"image\":\"a\",\"limits\":{\"nofile\":", "}}", "/limits/nofile", "(BERTH_MAX_NOFILE)",
         offsetof(struct spec_policy, max_nofile), 100, 1},
        {"{\"image\":\"a\",\"limits\":{\"log\":", "}}", "/limits/log", "(BERTH_MAX_LOG)",
         offsetof(struct spec_policy, max_log_bytes), 2048, 1},
        {"{\"image\":\"a\",\"limits\":{\"tmpfs\":{\"/t\":", "}}}", "/limits/tmpfs/~1t", "(BERTH_MAX_TMPFS)",
         offsetof(struct spec_policy, max_tmpfs_bytes), 8192, 1},
        {"{\"image\":\"a\",\"deadlines\":{\"queue\":", "}}", "/deadlines/queue", "(BERTH_MAX_QUEUE)",
         offsetof(struct spec_policy, max_queue_ms), 5000, 1000},
        {"{\"image\":\"a\",\"deadlines\":{\"pull\":", "}}", "/deadlines/pull", "(BERTH_MAX_PULL)",
         offsetof(struct spec_policy, max_pull_ms), 5000, 1000},
        {"{\"image\":\"a\",\"deadlines\":{\"start\":", "}}", "/deadlines/start", "(BERTH_MAX_START)",
         offsetof(struct spec_policy, max_start_ms), 5000, 1000},
        {"{\"image\":\"a\",\"deadlines\":{\"run\":", "}}", "/deadlines/run", "(BERTH_MAX_RUN)",
         offsetof(struct spec_policy, max_run_ms), 5000, 1000},
        {"{\"image\":\"a\",\"stop\":{\"grace\":", "}}", "/stop/grace", "(BERTH_MAX_GRACE)",
         offsetof(struct spec_policy, max_grace_ms), 5000, 1000},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct spec_policy policy = spec_policy_builtin();
        *(int64_t *)(void *)((char *)&policy + cases[i].offset) = cases[i].ceiling;
        char text[200];
        snprintf(text, sizeof text, "%s%.15g%s", cases[i].before, (double)cases[i].ceiling / cases[i].divisor,
                 cases[i].after);
        spec_free(parsed(text, &policy));
        snprintf(text, sizeof text, "%s%.15g%s", cases[i].before,
                 (double)(cases[i].ceiling + 1) / cases[i].divisor, cases[i].after);
        struct spec *spec = NULL;
        AUTO_FAULTS struct spec_faults faults = {0};
        cr_assert_eq(spec_parse_text(text, strlen(text), &policy, &spec, &faults), -1, "%s", text);
        cr_expect_str_eq(faults.items[0].pointer, cases[i].pointer);
        cr_expect(strstr(faults.items[0].detail, cases[i].setting), "%s", faults.items[0].detail);
    }
}

Test(spec, all_tmpfs_together_stay_under_their_ceiling) {
    static const char text[] = "{\"image\":\"a\",\"limits\":{\"tmpfs\":{\"/a\":\"6k\",\"/b\":\"6k\"}}}";
    struct spec_policy policy = spec_policy_builtin();
    policy.max_tmpfs_bytes = 8192;
    struct spec *spec = NULL;
    AUTO_FAULTS struct spec_faults faults = {0};
    cr_assert_eq(spec_parse_text(text, strlen(text), &policy, &spec, &faults), -1);
    cr_expect_str_eq(faults.items[0].pointer, "/limits/tmpfs");
    cr_expect(strstr(faults.items[0].detail, "BERTH_MAX_TMPFS"), "%s", faults.items[0].detail);
}

Test(spec, capabilities_that_the_operator_allows) {
    static const struct {
        const char *allowed;
        bool passes;
    } cases[] = {{NULL, false},
                 {"", false},
                 {"NET_RAW", false},
                 {"SYS_PTRACE", true},
                 {"cap_sys_ptrace", true},
                 {"NET_RAW, SYS_PTRACE", true},
                 {"ALL", true},
                 {"SYS_PTRACE2", false}};
    static const char text[] = "{\"image\":\"a\",\"hardening\":{\"cap_add\":[\"SYS_PTRACE\"]}}";
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct spec_policy policy = spec_policy_builtin();
        policy.allowed_caps = cases[i].allowed;
        AUTO_SPEC struct spec *spec = NULL;
        AUTO_FAULTS struct spec_faults faults = {0};
        int want = cases[i].passes ? 0 : -1;
        cr_expect_eq(spec_parse_text(text, strlen(text), &policy, &spec, &faults), want, "%zu", i);
    }
}
