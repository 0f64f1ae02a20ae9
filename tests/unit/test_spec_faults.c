#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "proto/spec.h"

/* A document and the pointers that its faults must have, in their order, divided by blanks. `says`: a part of
 * the first fault's sentence. Criterion copies these structs into another process: no pointers. */
struct bad {
    char doc[240];
    char pointers[120];
    char says[80];
};

static struct bad bads[] = {
    /* the document */
    {"", "(top)", "not JSON"},
    {"{\"image\":\"a\"", "(top)", "line 1"},
    {"[]", "(top)", "an array"},
    {"null", "(top)", "null"},
    {"\"alpine\"", "(top)", "a string"},
    {"{\"image\":\"a\",\"image\":\"b\"}", "(top)", "duplicate"},
    {"{\"image\":\"a\",\"env\":{\"A\":\"\",\"A\":\"\"}}", "(top)", "duplicate"},
    {"{\"image\":\"a\"} {}", "(top)", "not JSON"},
    {"{\"image\":\"\xff\"}", "(top)", "not JSON"},
    {"{\"image\":\"a\",\"limits\":{\"pids\":99999999999999999999}}", "(top)", "too big"},
    {"{}", "/image", "is missing"},
    /* unknown fields */
    {"{\"image\":\"a\",\"comand\":[]}", "/comand", "did you mean \"command\""},
    {"{\"image\":\"a\",\"Env\":{}}", "/Env", "did you mean \"env\""},
    {"{\"image\":\"a\",\"labls\":{}}", "/labls", "did you mean \"labels\""},
    {"{\"image\":\"a\",\"limits\":{\"memmory\":1}}", "/limits/memmory", "did you mean \"memory\""},
    {"{\"image\":\"a\",\"zzzzzzzz\":1}", "/zzzzzzzz", "is not a known field"},
    {"{\"image\":\"a\",\"a/b~c\":1}", "/a~1b~0c", "is not a known field"},
    {"{\"image\":\"a\",\"\":1}", "/", "is not a known field"},
    /* what asks for the host */
    {"{\"image\":\"a\",\"privileged\":true}", "/privileged", "is not a known field"},
    {"{\"image\":\"a\",\"devices\":[],\"binds\":[],\"volumes\":[]}", "/devices /binds /volumes",
     "not a known"},
    {"{\"image\":\"a\",\"pid\":\"host\",\"ipc\":\"host\"}", "/pid /ipc", "not a known"},
    {"{\"image\":\"a\",\"cgroup_parent\":\"x\",\"sysctls\":{},\"security_opt\":[]}",
     "/cgroup_parent /sysctls /security_opt", "not a known"},
    {"{\"image\":\"a\",\"hardening\":{\"privileged\":true,\"seccomp\":\"off\"}}",
     "/hardening/privileged /hardening/seccomp", "not a known"},
    {"{\"image\":\"a\",\"network\":\"host\"}", "/network", "\"host\" is none of"},
    /* what comes later */
    {"{\"image\":\"a\",\"secrets\":{}}", "/secrets", "is not available in this version yet"},
    /* text */
    {"{\"image\":7}", "/image", "must be a string, not a number"},
    {"{\"image\":null}", "/image", "must be a string, not null"},
    {"{\"image\":\"\"}", "/image", "it is empty"},
    {"{\"image\":\"a\\u0000b\"}", "/image", "NUL"},
    {"{\"image\":\"a\",\"name\":\"\"}", "/name", "is empty"},
    {"{\"image\":\"a\",\"name\":\"a\\nb\"}", "/name", "control character"},
    {"{\"image\":\"a\",\"name\":\"a\\u007f\"}", "/name", "control character"},
    {"{\"image\":\"a\",\"name\":\"a\\u0085\"}", "/name", "control character"},
    {"{\"image\":\"a\",\"name\":[]}", "/name", "not an array"},
    {"{\"image\":\"a\",\"workdir\":\"src\"}", "/workdir", "absolute"},
    {"{\"image\":\"a\",\"workdir\":\"\"}", "/workdir", "absolute"},
    {"{\"image\":\"a\",\"workdir\":\"/proc\"}", "/workdir", "/proc"},
    {"{\"image\":\"a\",\"workdir\":\"/sys/x\"}", "/workdir", "/sys"},
    {"{\"image\":\"a\",\"workdir\":\"/a/../proc\"}", "/workdir", "clean"},
    {"{\"image\":\"a\",\"workdir\":\"//proc\"}", "/workdir", "clean"},
    {"{\"image\":\"a\",\"workdir\":\"/./proc\"}", "/workdir", "clean"},
    {"{\"image\":\"a\",\"workdir\":\"/a\\u0000\"}", "/workdir", "NUL"},
    {"{\"image\":\"a\",\"user\":\"\"}", "/user", "is not a user"},
    {"{\"image\":\"a\",\"user\":\":0\"}", "/user", "is not a user"},
    {"{\"image\":\"a\",\"user\":\"0:\"}", "/user", "is not a user"},
    {"{\"image\":\"a\",\"user\":\"a:b:c\"}", "/user", "is not a user"},
    {"{\"image\":\"a\",\"user\":\"4294967296\"}", "/user", "is not a user"},
    {"{\"image\":\"a\",\"user\":\"-1\"}", "/user", "is not a user"},
    {"{\"image\":\"a\",\"user\":\"a b\"}", "/user", "is not a user"},
    {"{\"image\":\"a\",\"user\":1000}", "/user", "must be a string"},
    {"{\"image\":\"a\",\"pull\":\"sometimes\"}", "/pull", "\"missing\""},
    {"{\"image\":\"a\",\"pull\":true}", "/pull", "not true"},
    {"{\"image\":\"a\",\"run_at\":\"tomorrow\"}", "/run_at", "RFC 3339"},
    {"{\"image\":\"a\",\"run_at\":1763773323}", "/run_at", "must be a string"},
    /* what is run */
    {"{\"image\":\"a\",\"command\":\"make test\"}", "/command", "array of strings"},
    {"{\"image\":\"a\",\"command\":[\"a\",1,null]}", "/command/1 /command/2", "must be a string"},
    {"{\"image\":\"a\",\"entrypoint\":[\"a\",\"b\\u0000\"]}", "/entrypoint/1", "NUL"},
    {"{\"image\":\"a\",\"script\":\"\"}", "/script", "is empty"},
    {"{\"image\":\"a\",\"script\":\" \\n\"}", "/script", "is empty"},
    {"{\"image\":\"a\",\"script\":[\"make\"]}", "/script", "must be a string"},
    {"{\"image\":\"a\",\"script\":\"x\",\"command\":[\"y\"]}", "/script", "exclude each other"},
    {"{\"image\":\"a\",\"script\":\"x\",\"command\":[]}", "/script", "exclude each other"},
    /* env and labels */
    {"{\"image\":\"a\",\"env\":[\"A=b\"]}", "/env", "object of strings"},
    {"{\"image\":\"a\",\"env\":{\"\":\"b\"}}", "/env/", "not be empty"},
    {"{\"image\":\"a\",\"env\":{\"A=B\":\"c\"}}", "/env/A=B", "must not contain"},
    {"{\"image\":\"a\",\"env\":{\"A\":1,\"B\":null}}", "/env/A /env/B", "must be a string"},
    {"{\"image\":\"a\",\"env\":{\"A\":\"\\u0000\"}}", "/env/A", "NUL"},
    {"{\"image\":\"a\",\"env\":{\"BERTH_JOB_ID\":\"x\",\"BERTH\":\"y\"}}", "/env/BERTH_JOB_ID /env/BERTH",
     "another"},
    {"{\"image\":\"a\",\"labels\":{\"io.berth.job\":\"x\"}}", "/labels/io.berth.job", "belong to Berth"},
    {"{\"image\":\"a\",\"labels\":{\"\":\"x\",\"a=b\":\"\",\"-a\":\"\",\"a.\":\"\"}}",
     "/labels/ /labels/a=b /labels/-a /labels/a.", "1 to 63"},
    {"{\"image\":\"a\",\"labels\":{\"a\":1}}", "/labels/a", "must be a string"},
    /* limits */
    {"{\"image\":\"a\",\"limits\":[]}", "/limits", "must be an object"},
    {"{\"image\":\"a\",\"limits\":{\"cpus\":0}}", "/limits/cpus", "at least 0.01"},
    {"{\"image\":\"a\",\"limits\":{\"cpus\":-1}}", "/limits/cpus", "at least"},
    {"{\"image\":\"a\",\"limits\":{\"cpus\":\"1\"}}", "/limits/cpus", "a number such as 1.5"},
    {"{\"image\":\"a\",\"limits\":{\"cpus\":1e300}}", "/limits/cpus", "too large"},
    {"{\"image\":\"a\",\"limits\":{\"cpus\":9223372036854775807}}", "/limits/cpus", "too large"},
    {"{\"image\":\"a\",\"limits\":{\"memory\":0}}", "/limits/memory", "at least 6m"},
    {"{\"image\":\"a\",\"limits\":{\"memory\":\"1m\"}}", "/limits/memory", "at least 6m"},
    {"{\"image\":\"a\",\"limits\":{\"memory\":-512}}", "/limits/memory", "at least 6m"},
    {"{\"image\":\"a\",\"limits\":{\"memory\":\"lots\"}}", "/limits/memory", "\"lots\""},
    {"{\"image\":\"a\",\"limits\":{\"memory\":\"-1g\"}}", "/limits/memory", "\"-1g\""},
    {"{\"image\":\"a\",\"limits\":{\"memory\":\"\"}}", "/limits/memory", "512m"},
    {"{\"image\":\"a\",\"limits\":{\"memory\":\"512m\\u0000\"}}", "/limits/memory", "NUL"},
    {"{\"image\":\"a\",\"limits\":{\"memory\":99999999.5}}", "/limits/memory", "whole number"},
    {"{\"image\":\"a\",\"limits\":{\"memory\":true}}", "/limits/memory", "not true"},
    {"{\"image\":\"a\",\"limits\":{\"memory\":\"99999999999g\"}}", "/limits/memory", "512m"},
    {"{\"image\":\"a\",\"limits\":{\"memory\":9223372036854775807}}", "/limits/memory", "BERTH_MAX_MEMORY"},
    {"{\"image\":\"a\",\"limits\":{\"pids\":1}}", "/limits/pids", "at least 2"},
    {"{\"image\":\"a\",\"limits\":{\"pids\":64.5}}", "/limits/pids", "whole number"},
    {"{\"image\":\"a\",\"limits\":{\"pids\":\"64\"}}", "/limits/pids", "must be a number"},
    {"{\"image\":\"a\",\"limits\":{\"nofile\":0,\"shm\":1,\"log\":1}}",
     "/limits/nofile /limits/shm /limits/log", "at least"},
    {"{\"image\":\"a\",\"limits\":{\"tmpfs\":[\"/tmp\"]}}", "/limits/tmpfs", "must be an object"},
    {"{\"image\":\"a\",\"limits\":{\"tmpfs\":{\"/\":\"1m\",\"tmp\":\"1m\",\"\":\"1m\"}}}",
     "/limits/tmpfs/~1 /limits/tmpfs/tmp /limits/tmpfs/", "/ itself"},
    {"{\"image\":\"a\",\"limits\":{\"tmpfs\":{\"/proc\":\"1m\",\"/sys/a\":\"1m\",\"/dev/x\":\"1m\",\"/"
     ".berth\":1}}}",
     "/limits/tmpfs/~1proc /limits/tmpfs/~1sys~1a /limits/tmpfs/~1dev~1x /limits/tmpfs/~1.berth "
     "/limits/tmpfs/~1.berth",
     "below"},
    {"{\"image\":\"a\",\"limits\":{\"tmpfs\":{\"/dev/shm\":\"1m\"}}}", "/limits/tmpfs/~1dev~1shm",
     "limits.shm"},
    {"{\"image\":\"a\",\"limits\":{\"tmpfs\":{\"/a/../b\":\"1m\",\"/a//b\":\"1m\"}}}",
     "/limits/tmpfs/~1a~1..~1b /limits/tmpfs/~1a~1~1b", "clean"},
    {"{\"image\":\"a\",\"limits\":{\"tmpfs\":{\"/t\":\"1m\",\"/t/\":\"1m\"}}}", "/limits/tmpfs/~1t~1",
     "twice"},
    {"{\"image\":\"a\",\"limits\":{\"tmpfs\":{\"/t\":0}}}", "/limits/tmpfs/~1t", "at least 4k"},
    /* deadlines and stop */
    {"{\"image\":\"a\",\"deadlines\":{\"run\":0,\"queue\":\"0s\",\"pull\":-1,\"start\":0.0001}}",
     "/deadlines/run /deadlines/queue /deadlines/pull /deadlines/start", "at least 1ms"},
    {"{\"image\":\"a\",\"deadlines\":{\"run\":\"10 minutes\"}}", "/deadlines/run", "\"10 minutes\""},
    {"{\"image\":\"a\",\"deadlines\":{\"run\":[10]}}", "/deadlines/run", "not an array"},
    {"{\"image\":\"a\",\"deadlines\":{\"run\":1e18}}", "/deadlines/run", "too large"},
    {"{\"image\":\"a\",\"deadlines\":{\"run\":9223372036854775807}}", "/deadlines/run", "too large"},
    {"{\"image\":\"a\",\"deadlines\":{\"run\":\"9223372036854775807ms\"}}", "/deadlines/run",
     "BERTH_MAX_RUN"},
    {"{\"image\":\"a\",\"stop\":{\"signal\":\"SIGFOO\"}}", "/stop/signal", "\"SIGFOO\""},
    {"{\"image\":\"a\",\"stop\":{\"signal\":\"\"}}", "/stop/signal", "is no signal"},
    {"{\"image\":\"a\",\"stop\":{\"signal\":0}}", "/stop/signal", "is no signal"},
    {"{\"image\":\"a\",\"stop\":{\"signal\":65}}", "/stop/signal", "1 to 64"},
    {"{\"image\":\"a\",\"stop\":{\"signal\":\"15x\"}}", "/stop/signal", "is no signal"},
    {"{\"image\":\"a\",\"stop\":{\"signal\":true}}", "/stop/signal", "not true"},
    {"{\"image\":\"a\",\"stop\":{\"grace\":-1}}", "/stop/grace", "at least 0s"},
    /* hardening */
    {"{\"image\":\"a\",\"hardening\":{\"read_only\":1}}", "/hardening/read_only", "true or false"},
    {"{\"image\":\"a\",\"hardening\":{\"caps\":\"all\"}}", "/hardening/caps", "\"none\""},
    {"{\"image\":\"a\",\"hardening\":{\"cap_add\":\"CHOWN\"}}", "/hardening/cap_add", "array"},
    {"{\"image\":\"a\",\"hardening\":{\"cap_add\":[\"CHOWN\",\"SYS_ADMIN\",\"ALL\",7,\"CHOWN \"]}}",
     "/hardening/cap_add/1 /hardening/cap_add/2 /hardening/cap_add/3 /hardening/cap_add/4",
     "BERTH_ALLOWED_CAPS"},
    /* priority */
    {"{\"image\":\"a\",\"priority\":1001}", "/priority", "at most 1000"},
    {"{\"image\":\"a\",\"priority\":-1001}", "/priority", "at least -1000"},
    {"{\"image\":\"a\",\"priority\":\"high\"}", "/priority", "must be a number"},
    /* several at once */
    {"{\"limits\":{\"memory\":\"1\",\"cpus\":0},\"imge\":\"a\",\"env\":{\"A=\":\"\"}}",
     "/limits/memory /limits/cpus /imge /env/A= /image", "at least"},
};

ParameterizedTestParameters(spec_faults, each_fault_has_its_pointer) {
    return cr_make_param_array(struct bad, bads, ARRAY_LEN(bads));
}

ParameterizedTest(struct bad *bad, spec_faults, each_fault_has_its_pointer) {
    struct spec_policy policy = spec_policy_builtin();
    AUTO_SPEC struct spec *spec = NULL;
    AUTO_FAULTS struct spec_faults faults = {0};
    AUTO_BUF struct buf pointers = BUF(4096);
    cr_expect_eq(spec_parse_text(bad->doc, strlen(bad->doc), &policy, &spec, &faults), -1, "%s", bad->doc);
    for (size_t i = 0; i < faults.count; i++)
        buf_addf(&pointers, "%s%s", i ? " " : "",
                 *faults.items[i].pointer ? faults.items[i].pointer : "(top)");
    cr_expect_str_eq(buf_str(&pointers), bad->pointers, "%s: %s", bad->doc, buf_str(&pointers));
    cr_assert_gt(faults.count, 0);
    cr_expect(strstr(faults.items[0].detail, bad->says), "%s: %s", bad->doc, faults.items[0].detail);
    cr_expect_null(spec, "untouched on failure");
}

static struct spec_faults faults_of(json_t *doc) {
    struct spec_policy policy = spec_policy_builtin();
    struct spec_faults faults = {0};
    struct spec *spec = NULL;
    cr_expect_eq(spec_parse(doc, &policy, &spec, &faults), -1);
    json_decref(doc);
    return faults;
}

static json_t *with_image(void) {
    return json_pack("{s:s}", "image", "a");
}

/* One more than each bound of proto/spec.h. */
Test(spec_faults, counts_and_lengths_are_bounded) {
    static const struct {
        const char *key;
        int count;
        bool list;
    } cases[] = {{"command", SPEC_ARGS_MAX, true},
                 {"entrypoint", SPEC_ARGS_MAX, true},
                 {"env", SPEC_ENV_MAX, false},
                 {"labels", SPEC_LABELS_MAX, false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int over = 0; over <= 1; over++) {
            json_t *doc = with_image();
            json_t *many = cases[i].list ? json_array() : json_object();
            for (int n = 0; n < cases[i].count + over; n++) {
                char key[16];
                snprintf(key, sizeof key, "k%d", n);
                if (cases[i].list)
                    json_array_append_new(many, json_string(key));
                else
                    json_object_set_new(many, key, json_string(""));
            }
            json_object_set_new(doc, cases[i].key, many);
            struct spec_policy policy = spec_policy_builtin();
            AUTO_FAULTS struct spec_faults faults = {0};
            AUTO_SPEC struct spec *spec = NULL;
            cr_expect_eq(spec_parse(doc, &policy, &spec, &faults), over ? -1 : 0, "%s %d", cases[i].key,
                         over);
            json_decref(doc);
        }
}

static size_t faults_for_length(const char *key, size_t len) {
    AUTO_FREE char *text = mem_alloc(len + 1);
    memset(text, 'x', len);
    json_t *doc = with_image();
    json_object_set_new(doc, key, json_string(text));
    struct spec_policy policy = spec_policy_builtin();
    AUTO_FAULTS struct spec_faults faults = {0};
    AUTO_SPEC struct spec *spec = NULL;
    spec_parse(doc, &policy, &spec, &faults);
    json_decref(doc);
    return faults.count;
}

Test(spec_faults, texts_are_bounded) {
    cr_expect_eq(faults_for_length("name", SPEC_NAME_MAX), 0);
    cr_expect_eq(faults_for_length("name", SPEC_NAME_MAX + 1), 1);
    cr_expect_eq(faults_for_length("script", 131071), 0);
    cr_expect_eq(faults_for_length("script", 131072), 1, "the kernel takes no longer argument");
}

Test(spec_faults, a_document_that_is_too_long) {
    AUTO_FREE char *text = mem_alloc(SPEC_BYTES_MAX + 2);
    struct spec_policy policy = spec_policy_builtin();
    AUTO_FAULTS struct spec_faults faults = {0};
    struct spec *spec = NULL;
    memset(text, ' ', SPEC_BYTES_MAX + 1);
    memcpy(text, "{\"image\":\"a\"}", 13);
    cr_expect_eq(spec_parse_text(text, SPEC_BYTES_MAX, &policy, &spec, &faults), 0);
    spec_free(spec);
    cr_expect_eq(spec_parse_text(text, SPEC_BYTES_MAX + 1, &policy, &spec, &faults), -1);
    cr_expect_str_eq(faults.items[0].pointer, "");
}

Test(spec_faults, more_than_can_be_told_are_counted) {
    json_t *doc = with_image();
    for (int i = 0; i < SPEC_FAULTS_MAX + 36; i++) {
        char key[32];
        snprintf(key, sizeof key, "unknown%d", i);
        json_object_set_new(doc, key, json_true());
    }
    AUTO_FAULTS struct spec_faults faults = faults_of(doc);
    cr_expect_eq(faults.count, SPEC_FAULTS_MAX);
    cr_expect_eq(faults.omitted, 36);
    AUTO_FREE char *text = spec_faults_text(&faults, 100000);
    cr_expect(strstr(text, "; and 36 more"), "%s", text);
}

Test(spec_faults, text_for_people) {
    AUTO_FAULTS struct spec_faults faults = faults_of(json_pack("{s:b, s:i}", "privileged", 1, "name", 7));
    AUTO_FREE char *whole = spec_faults_text(&faults, 1000);
    cr_expect(strncmp(whole, "/privileged: is not a known field: a job gets", 40) == 0, "%s", whole);
    AUTO_FREE char *cut = spec_faults_text(&faults, 20);
    cr_expect_str_eq(cut, "/privileged: is not ");
    cr_expect(strstr(whole, "; /name: must be"), "%s", whole);
}

Test(spec_faults, text_is_cut_between_characters) {
    AUTO_FAULTS struct spec_faults faults =
        faults_of(json_pack("{s:s, s:b}", "image", "a", "\xe2\x82\xac\xe2\x82\xac", 1));
    AUTO_FREE char *cut = spec_faults_text(&faults, 6);
    cr_expect_str_eq(cut, "/\xe2\x82\xac");
}

/* A user's bytes in a fault: whole characters, no control characters, not too many. */
Test(spec_faults, what_is_quoted_is_tame) {
    AUTO_BUF struct buf pull = BUF(1000);
    for (int i = 0; i < 300; i++)
        buf_adds(&pull, i % 2 ? "\xe2\x82\xac" : "\n");
    AUTO_FAULTS struct spec_faults faults =
        faults_of(json_pack("{s:s, s:s}", "image", "a", "pull", buf_str(&pull)));
    cr_assert_eq(faults.count, 1);
    cr_expect_lt(strlen(faults.items[0].detail), 150);
    cr_expect_null(strchr(faults.items[0].detail, '\n'));
    json_t *valid = json_string(faults.items[0].detail);
    cr_expect_not_null(valid, "not UTF-8");
    json_decref(valid);
}
