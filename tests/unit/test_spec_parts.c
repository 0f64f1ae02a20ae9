#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "proto/spec.h"

/* Services, mounts, retry, concurrency and the idle deadline: where they find their place, and that they come
 * back. */

static struct spec_policy policy;

static void begin(void) {
    policy = spec_policy_builtin();
    policy.bind_roots = "/srv/ci:/data/";
}

TestSuite(spec_parts, .init = begin);

static struct spec *parsed(const char *text) {
    struct spec *spec = NULL;
    AUTO_FAULTS struct spec_faults faults = {0};
    int result = spec_parse_text(text, strlen(text), &policy, &spec, &faults);
    AUTO_FREE char *why = spec_faults_text(&faults, 1000);
    cr_assert_eq(result, 0, "%s: %s", text, why);
    return spec;
}

#define SERVICES(text) parsed("{\"image\":\"a\",\"services\":[" text "]}")
#define WITH(text) parsed("{\"image\":\"a\"," text "}")

static const char services[] =
    "{\"image\":\"a\",\"services\":["
    "{\"name\":\"db\",\"image\":\"postgres:17\",\"env\":{\"A\":\"b\"},\"command\":[\"x\",\"\"],"
    "\"limits\":{\"cpus\":0.5,\"memory\":\"64m\",\"pids\":99,\"shm\":\"1m\",\"nofile\":128,\"tmpfs\":{\"/t/"
    "\":\"2m\"}},"
    "\"ready\":{\"tcp\":5432},\"deadline\":\"30s\","
    "\"hardening\":{\"read_only\":true,\"caps\":\"none\",\"cap_add\":[\"CHOWN\"]}},"
    "{\"name\":\"7z\",\"image\":\"b\"}],"
    "\"limits\":{\"memory\":\"128m\",\"cpus\":1}}";

Test(spec_parts, a_service_finds_its_place) {
    AUTO_SPEC struct spec *s = parsed(services);
    cr_assert_eq(s->services_count, 2);
    const struct spec_service *db = &s->services[0];
    cr_expect_str_eq(db->name, "db");
    cr_expect_str_eq(db->image, "postgres:17");
    cr_expect(db->env.count == 1 && strcmp(db->env.items[0].value, "b") == 0);
    cr_expect(db->has_command && db->command.count == 2 && strcmp(db->command.items[0], "x") == 0);
    cr_expect_eq(db->limits.cpus_milli, 500);
    cr_expect_eq(db->limits.memory_bytes, 64 << 20);
    cr_expect_eq(db->limits.pids, 99);
    cr_expect_eq(db->limits.shm_bytes, 1 << 20);
    cr_expect_eq(db->limits.nofile, 128);
    cr_assert_eq(db->limits.tmpfs_count, 1);
    cr_expect_str_eq(db->limits.tmpfs[0].path, "/t");
    cr_expect(db->ready.kind == SPEC_READY_TCP && db->ready.port == 5432);
    cr_expect_eq(db->deadline_ms, 30000);
    cr_expect(db->hardening.read_only && db->hardening.caps_none && db->hardening.cap_add.count == 1);
    cr_expect_eq(s->network, SPEC_NETWORK_PRIVATE, "chosen where there are services");
}

/* What a service is told must not end in the main container, nor the other way round. */
Test(spec_parts, services_and_main_are_apart) {
    AUTO_SPEC struct spec *s = parsed(services);
    cr_expect_str_eq(s->image, "a");
    cr_expect_eq(s->env.count + s->command.count + s->limits.tmpfs_count, 0);
    cr_expect_not(s->has_command || s->hardening.read_only || s->hardening.caps_none);
    cr_expect_eq(s->limits.memory_bytes, 128 << 20);
    cr_expect_eq(s->services[1].limits.memory_bytes, policy.default_memory_bytes);
    cr_expect_eq(s->services[1].limits.pids, policy.default_pids);
    cr_expect_eq(s->services[1].limits.log_bytes, 0);
    cr_expect_eq(s->services[1].ready.kind, SPEC_READY_DEFAULT);
    cr_expect_eq(s->services[1].deadline_ms, 60000);
}

Test(spec_parts, services_have_the_operators_ceilings) {
    policy.max_cpus_milli = 250;
    policy.max_start_ms = 5000;
    AUTO_SPEC struct spec *s = SERVICES("{\"name\":\"d\",\"image\":\"b\"}");
    cr_expect_eq(s->services[0].limits.cpus_milli, 250);
    cr_expect_eq(s->services[0].deadline_ms, 5000);
}

Test(spec_parts, what_all_containers_need_together) {
    AUTO_SPEC struct spec *s = parsed(services);
    cr_expect_eq(spec_memory_bytes(s), (INT64_C(192) << 20) + policy.default_memory_bytes);
    cr_expect_eq(spec_cpus_milli(s), 0, "one of them has no ceiling");
    s->services[1].limits.cpus_milli = 1;
    cr_expect_eq(spec_cpus_milli(s), 1501);
    s->limits.cpus_milli = 0;
    cr_expect_eq(spec_cpus_milli(s), 0);
}

static const struct spec_ready *ready(struct spec *s) {
    return &s->services[0].ready;
}

Test(spec_parts, ways_of_being_ready) {
    AUTO_SPEC struct spec *http =
        SERVICES("{\"name\":\"d\",\"image\":\"b\",\"ready\":{\"http\":\"http://:8080/health?full=1\"}}");
    cr_expect(ready(http)->kind == SPEC_READY_HTTP && ready(http)->port == 8080);
    cr_expect_str_eq(ready(http)->path, "/health?full=1");
    AUTO_SPEC struct spec *bare =
        SERVICES("{\"name\":\"d\",\"image\":\"b\",\"ready\":{\"http\":\"http://:65535\"}}");
    cr_expect_eq(ready(bare)->port, 65535);
    cr_expect_str_eq(ready(bare)->path, "/");
    AUTO_SPEC struct spec *command =
        SERVICES("{\"name\":\"d\",\"image\":\"b\",\"ready\":{\"command\":[\"pg_isready\",\"-q\"]}}");
    cr_expect(ready(command)->kind == SPEC_READY_COMMAND && ready(command)->command.count == 2);
    cr_expect_not(command->services[0].has_command);
    AUTO_SPEC struct spec *log =
        SERVICES("{\"name\":\"d\",\"image\":\"b\",\"ready\":{\"log\":\"^ready (to|for) [[:alpha:]]+$\"}}");
    cr_expect_eq(ready(log)->kind, SPEC_READY_LOG);
    cr_expect_str_eq(ready(log)->log, "^ready (to|for) [[:alpha:]]+$");
    AUTO_SPEC struct spec *health = SERVICES("{\"name\":\"d\",\"image\":\"b\",\"ready\":{\"health\":true}}");
    cr_expect_eq(ready(health)->kind, SPEC_READY_HEALTH);
}

/* As people write them; none of them may be taken for one that costs too much. */
Test(spec_parts, regular_expressions_that_are_just_right) {
    static const char *const expressions[] = {
        "database system is ready to accept connections",
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\\\.[0-9]{6}Z (INFO|WARN)+ .*started",
        "([0-9]{1,3}\\\\.){3}[0-9]{1,3}:[0-9]+",
        "[]a-z[:digit:]]{2,}[^]]$",
        "a{,3}",
        "\\\\[ready\\\\] \\\\(ok\\\\) \\\\+",
    };
    for (size_t i = 0; i < ARRAY_LEN(expressions); i++) {
        char text[400];
        snprintf(
            text, sizeof text,
            "{\"image\":\"a\",\"services\":[{\"name\":\"d\",\"image\":\"b\",\"ready\":{\"log\":\"%s\"}}]}",
            expressions[i]);
        spec_free(parsed(text));
    }
}

Test(spec_parts, a_network_of_its_own_may_be_asked_for) {
    AUTO_SPEC struct spec *alone = WITH("\"network\":\"private\"");
    cr_expect_eq(alone->network, SPEC_NETWORK_PRIVATE);
    AUTO_SPEC struct spec *none = WITH("\"services\":[]");
    cr_expect_eq(none->network, SPEC_NETWORK_EGRESS);
    AUTO_SPEC struct spec *both =
        WITH("\"network\":\"private\",\"services\":[{\"name\":\"d\",\"image\":\"b\"}]");
    cr_expect_eq(both->network, SPEC_NETWORK_PRIVATE);
}

Test(spec_parts, mounts_find_their_place) {
    AUTO_SPEC struct spec *s = WITH(
        "\"mounts\":[{\"type\":\"volume\",\"source\":\"cache-npm\",\"target\":\"/root/.npm/\"},"
        "{\"target\":\"/src\",\"read_only\":true,\"source\":\"/srv/ci/a/\",\"type\":\"bind\"},"
        "{\"type\":\"tmpfs\",\"target\":\"/t\",\"size\":\"1m\"},{\"type\":\"tmpfs\",\"target\":\"/u\"}]");
    cr_assert_eq(s->mounts_count, 4);
    cr_expect(s->mounts[0].type == SPEC_MOUNT_VOLUME && !s->mounts[0].read_only);
    cr_expect_str_eq(s->mounts[0].source, "cache-npm");
    cr_expect_str_eq(s->mounts[0].target, "/root/.npm");
    cr_expect(s->mounts[1].type == SPEC_MOUNT_BIND && s->mounts[1].read_only);
    cr_expect_str_eq(s->mounts[1].source, "/srv/ci/a");
    cr_expect(s->mounts[2].type == SPEC_MOUNT_TMPFS && s->mounts[2].bytes == 1 << 20);
    cr_expect_null(s->mounts[2].source);
    cr_expect_eq(s->mounts[3].bytes, 0);
}

Test(spec_parts, roots_that_open_a_directory) {
    static const struct {
        const char *roots, *source;
        bool opens;
    } cases[] = {
        {"/srv", "/srv/a", true},    {"/srv/", "/srv/a", true},    {"/srv", "/srv", true},
        {"/a:/srv", "/srv/a", true}, {"/srv:/a", "/a", true},      {"/", "/", true},
        {"/", "/etc", true},         {"/srv", "/srvX", false},     {"/srv", "/", false},
        {"/srv/a", "/srv", false},   {"", "/srv", false},          {NULL, "/srv", false},
        {":", "/srv", false},        {"::/a", "/srv", false},      {"srv", "/srv", false},
        {"/srv", "/etc/srv", false}, {"/srv/a", "/srv/ab", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[200];
        policy.bind_roots = cases[i].roots;
        snprintf(text, sizeof text,
                 "{\"image\":\"a\",\"mounts\":[{\"type\":\"bind\",\"source\":\"%s\",\"target\":\"/x\"}]}",
                 cases[i].source);
        AUTO_SPEC struct spec *spec = NULL;
        AUTO_FAULTS struct spec_faults faults = {0};
        int result = spec_parse_text(text, strlen(text), &policy, &spec, &faults);
        cr_expect_eq(result, cases[i].opens ? 0 : -1, "%s: %s", cases[i].roots, text);
        if (result < 0)
            cr_expect(strstr(faults.items[0].detail, "BERTH_BIND_ROOTS"), "%s", faults.items[0].detail);
    }
}

Test(spec_parts, retry_finds_its_place) {
    AUTO_SPEC struct spec *s =
        WITH("\"retry\":{\"max\":2,\"delay\":\"500ms\",\"factor\":1.5,\"max_delay\":\"1m\","
             "\"on\":[\"oom\",\"infrastructure\",\"oom\",\"timed_out\"],\"exit_codes\":[75,1,75]}");
    cr_expect_eq(s->retry.max, 2);
    cr_expect_eq(s->retry.delay_ms, 500);
    cr_expect_eq(s->retry.factor_milli, 1500);
    cr_expect_eq(s->retry.max_delay_ms, 60000);
    cr_assert_eq(s->retry.on.count, 3);
    cr_expect_str_eq(s->retry.on.items[1], "infrastructure");
    cr_assert_eq(s->retry.exit_codes_count, 2);
    cr_expect_eq(s->retry.exit_codes[1], 1);
}

Test(spec_parts, retry_has_defaults) {
    AUTO_SPEC struct spec *s = WITH("\"retry\":{\"max\":100}");
    cr_expect_eq(s->retry.delay_ms, 5000);
    cr_expect_eq(s->retry.factor_milli, 2000);
    cr_expect_eq(s->retry.max_delay_ms, 300000);
    cr_assert_eq(s->retry.on.count, 3, "every end but succeeded and canceled");
    cr_expect_str_eq(s->retry.on.items[0], "failed");
    AUTO_SPEC struct spec *late = WITH("\"retry\":{\"max\":1,\"delay\":\"10m\",\"exit_codes\":[3]}");
    cr_expect_eq(late->retry.max_delay_ms, 600000, "no delay is longer than the first was asked to be");
    cr_expect_eq(late->retry.on.count, 0, "exit codes alone are enough");
    AUTO_SPEC struct spec *none = WITH("\"retry\":{\"max\":0,\"on\":[\"oom\"]}");
    cr_expect_eq(none->retry.max + none->retry.delay_ms, 0);
    cr_expect_eq(none->retry.on.count, 0);
}

Test(spec_parts, concurrency_finds_its_place) {
    AUTO_SPEC struct spec *s = WITH("\"concurrency\":{\"key\":\"deploy\"}");
    cr_expect_str_eq(s->concurrency.key, "deploy");
    cr_expect_eq(s->concurrency.max, 1);
    cr_expect_eq(s->concurrency.on_conflict, SPEC_CONFLICT_QUEUE);
    AUTO_SPEC struct spec *more =
        WITH("\"concurrency\":{\"key\":\"k\",\"max\":1000,\"on_conflict\":\"cancel_running\"}");
    cr_expect_eq(more->concurrency.max, 1000);
    cr_expect_eq(more->concurrency.on_conflict, SPEC_CONFLICT_CANCEL_RUNNING);
    AUTO_SPEC struct spec *reject = WITH("\"concurrency\":{\"key\":\"k\",\"on_conflict\":\"reject\"}");
    cr_expect_eq(reject->concurrency.on_conflict, SPEC_CONFLICT_REJECT);
}

Test(spec_parts, idle_is_none_unless_someone_says_so) {
    AUTO_SPEC struct spec *none = WITH("\"name\":\"n\"");
    cr_expect_eq(none->deadlines.idle_ms, 0);
    policy.default_idle_ms = 5000;
    AUTO_SPEC struct spec *operators = WITH("\"name\":\"n\"");
    cr_expect_eq(operators->deadlines.idle_ms, 5000);
    AUTO_SPEC struct spec *off = WITH("\"deadlines\":{\"idle\":0}");
    cr_expect_eq(off->deadlines.idle_ms, 0);
    policy.max_idle_ms = 3000;
    AUTO_SPEC struct spec *bounded = WITH("\"name\":\"n\"");
    cr_expect_eq(bounded->deadlines.idle_ms, 3000);
    AUTO_SPEC struct spec *own = WITH("\"deadlines\":{\"idle\":\"1s\"}");
    cr_expect_eq(own->deadlines.idle_ms, 1000);
}

Test(spec_parts, none_is_over_a_ceiling_of_idle) {
    static const char text[] = "{\"image\":\"a\",\"deadlines\":{\"idle\":\"0s\"}}";
    AUTO_SPEC struct spec *spec = NULL;
    AUTO_FAULTS struct spec_faults faults = {0};
    policy.max_idle_ms = 3000;
    cr_assert_eq(spec_parse_text(text, strlen(text), &policy, &spec, &faults), -1);
    cr_expect_str_eq(faults.items[0].pointer, "/deadlines/idle");
    cr_expect(strstr(faults.items[0].detail, "BERTH_MAX_IDLE"), "%s", faults.items[0].detail);
}

/* Each field of every part; defaults, too, come back under another policy. */
Test(spec_parts, what_is_written_parses_back) {
    static const char *const docs[] = {
        services,
        "{\"image\":\"a\",\"services\":[{\"name\":\"d\",\"image\":\"b\",\"command\":[],\"ready\":{\"http\":"
        "\"http://:1\"}},{\"name\":\"e\",\"image\":\"b\",\"ready\":{\"log\":\"\\\\.\\\"\"}},{\"name\":\"f\","
        "\"image\":\"b\",\"ready\":{\"command\":[\"\"]}},{\"name\":\"g\",\"image\":\"b\",\"ready\":{"
        "\"health\":true}}]}",
        "{\"image\":\"a\",\"mounts\":[{\"type\":\"volume\",\"source\":\"v\",\"target\":\"/v\",\"read_only\":"
        "true},{\"type\":\"bind\",\"source\":\"/data/x\",\"target\":\"/"
        "b\"},{\"type\":\"tmpfs\",\"target\":\"/"
        "t\",\"size\":4097},{\"type\":\"tmpfs\",\"target\":\"/u\"}]}",
        "{\"image\":\"a\",\"retry\":{\"max\":3,\"factor\":1.001,\"delay\":0,\"on\":[\"signal\"],\"exit_"
        "codes\":"
        "[255,1]}}",
        "{\"image\":\"a\",\"retry\":{\"max\":3}}",
        "{\"image\":\"a\",\"retry\":{\"max\":0,\"delay\":1}}",
        "{\"image\":\"a\",\"concurrency\":{\"key\":\"k \\u00e9\",\"max\":7,\"on_conflict\":\"reject\"}}",
        "{\"image\":\"a\",\"network\":\"private\",\"deadlines\":{\"idle\":\"1m\"}}",
        "{\"image\":\"a\",\"deadlines\":{\"idle\":0}}",
    };
    struct spec_policy policies[] = {policy, spec_policy_unlimited(), policy};
    policies[2].default_idle_ms = 7777;
    policies[2].default_memory_bytes = 99 << 20;
    for (size_t i = 0; i < ARRAY_LEN(docs); i++) {
        AUTO_SPEC struct spec *first = parsed(docs[i]);
        AUTO_JSON json_t *written = spec_to_json(first);
        for (size_t k = 0; k < ARRAY_LEN(policies); k++) {
            AUTO_SPEC struct spec *again = NULL;
            AUTO_FAULTS struct spec_faults faults = {0};
            cr_assert_eq(spec_parse(written, &policies[k], &again, &faults), 0, "%s: %s", docs[i],
                         faults.count ? faults.items[0].detail : "");
            AUTO_JSON json_t *same = spec_to_json(again);
            AUTO_FREE char *text = json_dumps(same, JSON_COMPACT);
            cr_expect(json_equal(written, same), "%zu: %s", k, text);
        }
    }
}
