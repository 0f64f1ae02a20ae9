#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "proto/spec.h"

/* What asks for the host, for more than there is, or for nonsense, is refused where it stands. */

/* As in test_spec_faults.c: a document (%SVC% and %MNT% stand for the beginning of a service and of a mount),
 * the pointers of its faults, a part of the first one's sentence. */
struct bad {
    char doc[260];
    char pointers[160];
    char says[80];
};

static struct bad bads[] = {
    /* the host */
    {"{%IMG%\"privileged\":true,\"pid\":\"host\",\"ipc\":\"host\",\"uts\":\"host\",\"userns\":\"host\"}",
     "/privileged /pid /ipc /uts /userns", "a job gets no privileged mode"},
    {"{%IMG%\"devices\":[\"/dev/sda\"],\"cgroup_parent\":\"/\",\"sysctls\":{\"a\":1},\"security_opt\":[]}",
     "/devices /cgroup_parent /sysctls /security_opt", "not a known field"},
    {"{%IMG%\"hardening\":{\"privileged\":true,\"security_opt\":[]}}",
     "/hardening/privileged /hardening/security_opt", "not a known field"},
    {"{%IMG%\"hardening\":{\"cap_add\":[\"SYS_ADMIN\"]}}", "/hardening/cap_add/0", "BERTH_ALLOWED_CAPS"},
    {"{%IMG%\"network\":\"host\"}", "/network", "\"host\" is none of \"egress\", \"none\", \"private\""},
    {"{%IMG%\"network\":\"container:x\"}", "/network", "is none of"},
    {"{%IMG%\"limits\":{\"devices\":[],\"cgroup_parent\":\"x\"}}", "/limits/devices /limits/cgroup_parent",
     "not a known field"},
    {"{%SVC%,\"privileged\":true,\"pid\":\"host\",\"devices\":[],\"mounts\":[],\"network\":\"host\"}]}",
     "/services/0/privileged /services/0/pid /services/0/devices /services/0/mounts /services/0/network",
     "a job gets no privileged mode"},
    {"{%SVC%,\"hardening\":{\"cap_add\":[\"CHOWN\",\"SYS_ADMIN\"],\"sysctls\":{}}}]}",
     "/services/0/hardening/cap_add/1 /services/0/hardening/sysctls", "BERTH_ALLOWED_CAPS"},
    {"{%SVC%,\"env\":{\"BERTH_JOB_ID\":\"x\"}}]}", "/services/0/env/BERTH_JOB_ID", "set by Berth itself"},
    {"{%SVC%,\"limits\":{\"log\":\"1m\"}}]}", "/services/0/limits/log", "not a known field"},
    {"{%SVC%,\"limits\":{\"memory\":\"2000g\"}}]}", "/services/0/limits/memory", "BERTH_MAX_MEMORY"},
    {"{%SVC%,\"limits\":{\"memory\":\"1023g\"}}],\"limits\":{\"memory\":\"2g\"}}", "/services",
     "BERTH_MAX_MEMORY"},
    {"{%SVC%,\"limits\":{\"tmpfs\":{\"/proc/x\":\"1m\",\"/dev/shm\":\"1m\",\"/a/../b\":\"1m\"}}}]}",
     "/services/0/limits/tmpfs/~1proc~1x /services/0/limits/tmpfs/~1dev~1shm "
     "/services/0/limits/tmpfs/~1a~1..~1b",
     "must not be below"},
    /* services */
    {"{%IMG%\"services\":{}}", "/services", "array of services"},
    {"{%IMG%\"services\":[7,{}]}", "/services/0 /services/1/name /services/1/image", "must be an object"},
    {"{%IMG%\"services\":[{\"name\":\"\",\"image\":\"b\"},{\"name\":\"Db\",\"image\":\"b\"}]}",
     "/services/0/name /services/1/name", "1 to 24"},
    {"{%IMG%\"services\":[{\"name\":\"-a\",\"image\":\"b\"},{\"name\":\"a_b\",\"image\":\"b\"},{\"name\":\"a."
     "b\","
     "\"image\":\"b\"}]}",
     "/services/0/name /services/1/name /services/2/name", "host name"},
    {"{%IMG%\"services\":[{\"name\":\"main\",\"image\":\"b\"},{\"name\":\"system\",\"image\":\"b\"},{"
     "\"name\":"
     "\"localhost\",\"image\":\"b\"}]}",
     "/services/0/name /services/1/name /services/2/name", "choose another"},
    {"{%IMG%\"services\":[{\"name\":\"10\",\"image\":\"b\"},{\"name\":\"0x7f\",\"image\":\"b\"}]}",
     "/services/0/name /services/1/name", "reads as an address"},
    {"{%IMG%\"services\":[{\"name\":\"a23456789012345678901234x\",\"image\":\"b\"}]}", "/services/0/name",
     "1 to 24"},
    {"{%IMG%\"services\":[{\"name\":\"a\\u0000\",\"image\":\"b\"}]}", "/services/0/name", "NUL"},
    {"{%SVC%},{\"name\":\"d\",\"image\":\"b\"}]}", "/services/1/name", "\"d\" is there twice"},
    {"{%SVC%,\"nmae\":\"x\",\"imagee\":1}]}", "/services/0/nmae /services/0/imagee", "did you mean \"name\""},
    {"{%SVC%}],\"network\":\"egress\"}", "/network", "for a job with services"},
    {"{%SVC%}],\"network\":\"none\"}", "/network", "must be \"private\""},
    {"{%SVC%,\"deadline\":\"11m\"}]}", "/services/0/deadline", "BERTH_MAX_START"},
    /* readiness */
    {"{%SVC%,\"ready\":{}}]}", "/services/0/ready", "exactly one of"},
    {"{%SVC%,\"ready\":{\"tcp\":1,\"health\":true}}]}", "/services/0/ready", "exactly one of"},
    {"{%SVC%,\"ready\":{\"tpc\":1}}]}", "/services/0/ready/tpc", "did you mean \"tcp\""},
    {"{%SVC%,\"ready\":\"tcp\"}]}", "/services/0/ready", "must be an object"},
    {"{%SVC%,\"ready\":{\"tcp\":65536}}]}", "/services/0/ready/tcp", "at most 65535"},
    {"{%SVC%,\"ready\":{\"health\":false}}]}", "/services/0/ready/health", "must be true"},
    {"{%SVC%,\"ready\":{\"command\":[]}}]}", "/services/0/ready/command", "is empty"},
    {"{%SVC%,\"ready\":{\"command\":\"x\"}}]}", "/services/0/ready/command", "array of strings"},
    {"{%SVC%,\"ready\":{\"http\":\"http://localhost:80/\"}}]}", "/services/0/ready/http", "no host before"},
    {"{%SVC%,\"ready\":{\"http\":\"https://:80/\"}}]}", "/services/0/ready/http", "must look like"},
    {"{%SVC%,\"ready\":{\"http\":\"http://:0/\"}}]}", "/services/0/ready/http", "must look like"},
    {"{%SVC%,\"ready\":{\"http\":\"http://:65536/\"}}]}", "/services/0/ready/http", "must look like"},
    {"{%SVC%,\"ready\":{\"http\":\"http://:80/#top\"}}]}", "/services/0/ready/http", "must look like"},
    {"{%SVC%,\"ready\":{\"http\":\"http://:80x\"}}]}", "/services/0/ready/http", "must look like"},
    {"{%SVC%,\"ready\":{\"http\":\"http://:99999999999999999999/\"}}]}", "/services/0/ready/http",
     "must look like"},
    {"{%SVC%,\"ready\":{\"http\":\"http://:80/ HTTP/1.1\\r\\nX: y\"}}]}", "/services/0/ready/http",
     "without blanks"},
    {"{%SVC%,\"ready\":{\"log\":\"\"}}]}", "/services/0/ready/log", "every line"},
    {"{%SVC%,\"ready\":{\"log\":\"(unclosed\"}}]}", "/services/0/ready/log", "not a POSIX extended"},
    {"{%SVC%,\"ready\":{\"log\":\"[a-\"}}]}", "/services/0/ready/log", "not a POSIX extended"},
    {"{%SVC%,\"ready\":{\"log\":\"(((a{1,255}){1,255}){1,255}){1,255}\"}}]}", "/services/0/ready/log",
     "too much memory"},
    {"{%SVC%,\"ready\":{\"log\":\"(((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+\"}}]}",
     "/services/0/ready/log", "too much memory"},
    {"{%SVC%,\"ready\":{\"log\":\"((a*)*b*){150}\"}}]}", "/services/0/ready/log", "too much memory"},
    {"{%SVC%,\"ready\":{\"log\":\"a{255}{255}\"}}]}", "/services/0/ready/log", "too much memory"},
    {"{%SVC%,\"ready\":{\"log\":\"a++++++++++++++++\"}}]}", "/services/0/ready/log", "too much memory"},
    {"{%SVC%,\"ready\":{\"log\":\"a{99999999999999999999}\"}}]}", "/services/0/ready/log", "too much memory"},
    {"{%SVC%,\"ready\":{\"log\":\"(.*)\\\\1\"}}]}", "/services/0/ready/log", "no \\1"},
    /* mounts */
    {"{%IMG%\"mounts\":{}}", "/mounts", "array of mounts"},
    {"{%IMG%\"mounts\":[{},7]}", "/mounts/0/type /mounts/0/target /mounts/1", "is missing"},
    {"{%MNT%\"type\":\"npipe\",\"source\":\"x\"}]}", "/mounts/0/type",
     "none of \"volume\", \"bind\", \"tmpfs\""},
    {"{%MNT%\"type\":\"bind\",\"source\":\"/\"}]}", "/mounts/0/source", "BERTH_BIND_ROOTS"},
    {"{%MNT%\"type\":\"bind\",\"source\":\"//\"}]}", "/mounts/0/source", "clean"},
    {"{%MNT%\"type\":\"bind\",\"source\":\"/etc\"}]}", "/mounts/0/source", "BERTH_BIND_ROOTS"},
    {"{%MNT%\"type\":\"bind\",\"source\":\"/var/run/docker.sock\"}]}", "/mounts/0/source",
     "BERTH_BIND_ROOTS"},
    {"{%MNT%\"type\":\"bind\",\"source\":\"/rootsX\"}]}", "/mounts/0/source", "BERTH_BIND_ROOTS"},
    {"{%MNT%\"type\":\"bind\",\"source\":\"/roots/../etc\"}]}", "/mounts/0/source", "clean"},
    {"{%MNT%\"type\":\"bind\",\"source\":\"/roots/a/..\"}]}", "/mounts/0/source", "clean"},
    {"{%MNT%\"type\":\"bind\",\"source\":\"/roots/./a\"}]}", "/mounts/0/source", "clean"},
    {"{%MNT%\"type\":\"bind\",\"source\":\"//roots\"}]}", "/mounts/0/source", "clean"},
    {"{%MNT%\"type\":\"bind\",\"source\":\"/roots//a\"}]}", "/mounts/0/source", "clean"},
    {"{%MNT%\"type\":\"bind\",\"source\":\"roots/a\"}]}", "/mounts/0/source", "absolute"},
    {"{%MNT%\"type\":\"bind\",\"source\":\"\"}]}", "/mounts/0/source", "absolute"},
    {"{%MNT%\"type\":\"bind\",\"source\":\"/roots/a\\u0000/../..\"}]}", "/mounts/0/source", "NUL"},
    {"{%MNT%\"type\":\"bind\",\"source\":\"/roots/a\\nb\"}]}", "/mounts/0/source", "control character"},
    {"{%MNT%\"type\":\"bind\"}]}", "/mounts/0/source", "is missing"},
    {"{%MNT%\"type\":\"volume\"}]}", "/mounts/0/source", "is missing"},
    {"{%MNT%\"type\":\"volume\",\"source\":\"/etc\"}]}", "/mounts/0/source", "not the name of a volume"},
    {"{%MNT%\"type\":\"volume\",\"source\":\"..\"}]}", "/mounts/0/source", "not the name of a volume"},
    {"{%MNT%\"type\":\"volume\",\"source\":\"a/b\"}]}", "/mounts/0/source", "not the name of a volume"},
    {"{%MNT%\"type\":\"volume\",\"source\":\"\"}]}", "/mounts/0/source", "not the name of a volume"},
    {"{%MNT%\"type\":\"volume\",\"source\":\"v\",\"size\":\"1m\"}]}", "/mounts/0/size", "tmpfs only"},
    {"{%MNT%\"type\":\"volume\",\"source\":7}]}", "/mounts/0/source", "must be a string"},
    {"{%MNT%\"type\":\"volume\",\"source\":\"v\",\"read_only\":\"yes\"}]}", "/mounts/0/read_only",
     "true or false"},
    {"{%MNT%\"type\":\"volume\",\"source\":\"v\",\"driver\":\"local\",\"propagation\":\"shared\"}]}",
     "/mounts/0/driver /mounts/0/propagation", "not a known field"},
    {"{%MNT%\"type\":\"tmpfs\",\"source\":\"x\"}]}", "/mounts/0/source", "leave it out"},
    {"{%MNT%\"type\":\"tmpfs\",\"size\":\"17g\"}]}", "/mounts/0/size", "BERTH_MAX_TMPFS"},
    {"{%MNT%\"type\":\"tmpfs\",\"size\":\"9g\"}],\"limits\":{\"tmpfs\":{\"/t\":\"9g\"}}}", "/mounts",
     "BERTH_MAX_TMPFS"},
    {"{%MNT%\"type\":\"tmpfs\"},{\"type\":\"tmpfs\",\"target\":\"/x/\"}]}", "/mounts/1/target", "twice"},
    {"{%MNT%\"type\":\"tmpfs\"}],\"limits\":{\"tmpfs\":{\"/x\":\"1m\"}}}", "/mounts/0/target", "twice"},
    {"{%IMG%\"mounts\":[{\"type\":\"tmpfs\",\"target\":\"/\"},{\"type\":\"tmpfs\",\"target\":\"/.berth/x\"},"
     "{\"type\":\"tmpfs\",\"target\":\"/proc\"},{\"type\":\"tmpfs\",\"target\":\"/sys/fs\"}]}",
     "/mounts/0/target /mounts/1/target /mounts/2/target /mounts/3/target", "must not be /"},
    {"{%IMG%\"mounts\":[{\"type\":\"tmpfs\",\"target\":\"/dev/shm\"},{\"type\":\"tmpfs\",\"target\":\"x\"},{"
     "\"type\":\"tmpfs\",\"target\":\"/a/../proc\"},{\"type\":\"tmpfs\",\"target\":\"/dev\"}]}",
     "/mounts/0/target /mounts/1/target /mounts/2/target /mounts/3/target", "limits.shm"},
    /* retry and concurrency */
    {"{%IMG%\"retry\":{}}", "/retry/max", "is missing"},
    {"{%IMG%\"retry\":2}", "/retry", "must be an object"},
    {"{%IMG%\"retry\":{\"max\":101}}", "/retry/max", "at most 100"},
    {"{%IMG%\"retry\":{\"max\":1,\"factor\":0.5}}", "/retry/factor", "at least 1"},
    {"{%IMG%\"retry\":{\"max\":1,\"factor\":100.1}}", "/retry/factor", "at most 100"},
    {"{%IMG%\"retry\":{\"max\":1,\"delay\":\"1m\",\"max_delay\":\"59s\"}}", "/retry/max_delay",
     "less than delay"},
    {"{%IMG%\"retry\":{\"max\":1,\"on\":[\"ooom\",\"infra\",\"exitcode\"]}}",
     "/retry/on/0 /retry/on/1 /retry/on/2", "did you mean \"oom\""},
    {"{%IMG%\"retry\":{\"max\":1,\"on\":[\"canceled\",\"requested\",\"succeeded\"]}}",
     "/retry/on/0 /retry/on/1 /retry/on/2", "never repeated"},
    {"{%IMG%\"retry\":{\"max\":1,\"on\":[\"running\",7,\"\"]}}", "/retry/on/0 /retry/on/1 /retry/on/2",
     "a reason such as"},
    {"{%IMG%\"retry\":{\"max\":1,\"on\":\"oom\"}}", "/retry/on", "array of reasons"},
    {"{%IMG%\"retry\":{\"max\":1,\"on\":[]}}", "/retry/on", "names nothing"},
    {"{%IMG%\"retry\":{\"max\":1,\"exit_codes\":[]}}", "/retry/exit_codes", "names nothing"},
    {"{%IMG%\"retry\":{\"max\":1,\"exit_codes\":[0,256,-1,1.5,\"75\"]}}",
     "/retry/exit_codes/0 /retry/exit_codes/1 /retry/exit_codes/2 /retry/exit_codes/3 /retry/exit_codes/4",
     "at least 1"},
    {"{%IMG%\"concurrency\":{}}", "/concurrency/key", "is missing"},
    {"{%IMG%\"concurrency\":\"k\"}", "/concurrency", "must be an object"},
    {"{%IMG%\"concurrency\":{\"key\":\"\",\"max\":0,\"on_conflict\":\"wait\"}}",
     "/concurrency/key /concurrency/max /concurrency/on_conflict", "is empty"},
    {"{%IMG%\"concurrency\":{\"key\":\"a\\nb\",\"max\":1001}}", "/concurrency/key /concurrency/max",
     "control character"},
};

ParameterizedTestParameters(spec_hostile, is_refused_where_it_stands) {
    return cr_make_param_array(struct bad, bads, ARRAY_LEN(bads));
}

/* The document with its %SVC%, %MNT% and %IMG% written out. */
static char *written_out(const char *doc) {
    static const char *const beginnings[][2] = {
        {"%IMG%", "\"image\":\"a\","},
        {"%SVC%", "\"image\":\"a\",\"services\":[{\"name\":\"d\",\"image\":\"b\""},
        {"%MNT%", "\"image\":\"a\",\"mounts\":[{\"target\":\"/x\","}};
    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++) {
        const char *at = strstr(doc, beginnings[i][0]);
        if (at)
            return mem_printf("%.*s%s%s", (int)(at - doc), doc, beginnings[i][1],
                              at + strlen(beginnings[i][0]));
    }
    return mem_strdup(doc);
}

static void expect_faults(const char *doc, const char *pointers, const char *says) {
    struct spec_policy policy = spec_policy_builtin();
    AUTO_SPEC struct spec *spec = NULL;
    AUTO_FAULTS struct spec_faults faults = {0};
    AUTO_BUF struct buf got = BUF(4096);
    policy.bind_roots = "/roots";
    cr_expect_eq(spec_parse_text(doc, strlen(doc), &policy, &spec, &faults), -1, "%s", doc);
    for (size_t i = 0; i < faults.count; i++)
        buf_addf(&got, "%s%s", i ? " " : "", *faults.items[i].pointer ? faults.items[i].pointer : "(top)");
    cr_expect_str_eq(buf_str(&got), pointers, "%s: %s", doc, buf_str(&got));
    cr_assert_gt(faults.count, 0);
    cr_expect(strstr(faults.items[0].detail, says), "%s: %s", doc, faults.items[0].detail);
    cr_expect_null(spec, "untouched on failure");
}

ParameterizedTest(struct bad *bad, spec_hostile, is_refused_where_it_stands) {
    AUTO_FREE char *doc = written_out(bad->doc);
    expect_faults(doc, bad->pointers, bad->says);
}

/* Every field that takes a number, a size or a duration; %s is its value. */
enum { WHOLE = 1, TEXT = 2 };
static const struct {
    const char *doc, *pointer;
    int takes; /* WHOLE: no fractions. TEXT: "10m" too */
} numbers[] = {
    {"{\"image\":\"a\",\"limits\":{\"cpus\":%s}}", "/limits/cpus", 0},
    {"{\"image\":\"a\",\"limits\":{\"memory\":%s}}", "/limits/memory", WHOLE | TEXT},
    {"{\"image\":\"a\",\"limits\":{\"pids\":%s}}", "/limits/pids", WHOLE},
    {"{\"image\":\"a\",\"limits\":{\"shm\":%s}}", "/limits/shm", WHOLE | TEXT},
    {"{\"image\":\"a\",\"limits\":{\"nofile\":%s}}", "/limits/nofile", WHOLE},
    {"{\"image\":\"a\",\"limits\":{\"log\":%s}}", "/limits/log", WHOLE | TEXT},
    {"{\"image\":\"a\",\"limits\":{\"tmpfs\":{\"/t\":%s}}}", "/limits/tmpfs/~1t", WHOLE | TEXT},
    {"{\"image\":\"a\",\"deadlines\":{\"queue\":%s}}", "/deadlines/queue", TEXT},
    {"{\"image\":\"a\",\"deadlines\":{\"pull\":%s}}", "/deadlines/pull", TEXT},
    {"{\"image\":\"a\",\"deadlines\":{\"start\":%s}}", "/deadlines/start", TEXT},
    {"{\"image\":\"a\",\"deadlines\":{\"run\":%s}}", "/deadlines/run", TEXT},
    {"{\"image\":\"a\",\"deadlines\":{\"idle\":%s}}", "/deadlines/idle", TEXT},
    {"{\"image\":\"a\",\"stop\":{\"grace\":%s}}", "/stop/grace", TEXT},
    {"{\"image\":\"a\",\"stop\":{\"signal\":%s}}", "/stop/signal", WHOLE | TEXT},
    {"{\"image\":\"a\",\"priority\":%s}", "/priority", WHOLE},
    {"{\"image\":\"a\",\"retry\":{\"max\":%s}}", "/retry/max", WHOLE},
    {"{\"image\":\"a\",\"retry\":{\"max\":1,\"delay\":%s}}", "/retry/delay", TEXT},
    {"{\"image\":\"a\",\"retry\":{\"max\":1,\"factor\":%s}}", "/retry/factor", 0},
    {"{\"image\":\"a\",\"retry\":{\"max\":1,\"max_delay\":%s}}", "/retry/max_delay", TEXT},
    {"{\"image\":\"a\",\"retry\":{\"max\":1,\"exit_codes\":[%s]}}", "/retry/exit_codes/0", WHOLE},
    {"{\"image\":\"a\",\"concurrency\":{\"key\":\"k\",\"max\":%s}}", "/concurrency/max", WHOLE},
    {"{\"image\":\"a\",\"mounts\":[{\"type\":\"tmpfs\",\"target\":\"/x\",\"size\":%s}]}", "/mounts/0/size",
     WHOLE | TEXT},
    {"{\"image\":\"a\",\"services\":[{\"name\":\"d\",\"image\":\"b\",\"deadline\":%s}]}",
     "/services/0/deadline", TEXT},
    {"{\"image\":\"a\",\"services\":[{\"name\":\"d\",\"image\":\"b\",\"ready\":{\"tcp\":%s}}]}",
     "/services/0/ready/tcp", WHOLE},
    {"{\"image\":\"a\",\"services\":[{\"name\":\"d\",\"image\":\"b\",\"limits\":{\"cpus\":%s}}]}",
     "/services/0/limits/cpus", 0},
    {"{\"image\":\"a\",\"services\":[{\"name\":\"d\",\"image\":\"b\",\"limits\":{\"memory\":%s}}]}",
     "/services/0/limits/memory", WHOLE | TEXT},
    {"{\"image\":\"a\",\"services\":[{\"name\":\"d\",\"image\":\"b\",\"limits\":{\"pids\":%s}}]}",
     "/services/0/limits/pids", WHOLE},
    {"{\"image\":\"a\",\"services\":[{\"name\":\"d\",\"image\":\"b\",\"limits\":{\"shm\":%s}}]}",
     "/services/0/limits/shm", WHOLE | TEXT},
    {"{\"image\":\"a\",\"services\":[{\"name\":\"d\",\"image\":\"b\",\"limits\":{\"nofile\":%s}}]}",
     "/services/0/limits/nofile", WHOLE},
    {"{\"image\":\"a\",\"services\":[{\"name\":\"d\",\"image\":\"b\",\"limits\":{\"tmpfs\":{\"/"
     "t\":%s}}}]}",
     "/services/0/limits/tmpfs/~1t", WHOLE | TEXT},
};

static void expect_refused(size_t field, const char *value, const char *pointer, const char *says) {
    const char *place = strstr(numbers[field].doc, "%s");
    AUTO_FREE char *doc =
        mem_printf("%.*s%s%s", (int)(place - numbers[field].doc), numbers[field].doc, value, place + 2);
    expect_faults(doc, pointer, says);
}

Test(spec_hostile, numbers_that_no_field_takes) {
    static const char *const values[] = {"-1e18",
                                         "-9223372036854775808",
                                         "9223372036854775807",
                                         "1e300",
                                         "-1e300",
                                         "1e19",
                                         "\"\"",
                                         "\"-1\"",
                                         "\"NaN\"",
                                         "\"nan\"",
                                         "\"inf\"",
                                         "\"1e3\"",
                                         "\"0x10\"",
                                         "\" 64\"",
                                         "\"64 \"",
                                         "\"6\\u0000\"",
                                         "\"99999999999999999999g\"",
                                         "\"99999999999999999999\"",
                                         "true",
                                         "false",
                                         "null",
                                         "[]",
                                         "{}",
                                         "[64]"};
    for (size_t field = 0; field < ARRAY_LEN(numbers); field++)
        for (size_t i = 0; i < ARRAY_LEN(values); i++)
            expect_refused(field, values[i], numbers[field].pointer, "");
}

/* Larger than any number of ours: told before the fields are looked at. */
Test(spec_hostile, numbers_that_overflow) {
    static const char *const values[] = {"1e400", "-1e400", "9223372036854775808", "-9223372036854775809",
                                         "99999999999999999999"};
    for (size_t field = 0; field < ARRAY_LEN(numbers); field++)
        for (size_t i = 0; i < ARRAY_LEN(values); i++)
            expect_refused(field, values[i], "(top)", "has a number that is too large");
}

Test(spec_hostile, numbers_that_are_no_json) {
    static const char *const values[] = {"NaN", "Infinity", "-", "+1", "0x10", "1.", ".5", "01"};
    for (size_t field = 0; field < ARRAY_LEN(numbers); field++)
        for (size_t i = 0; i < ARRAY_LEN(values); i++)
            expect_refused(field, values[i], "(top)", "is not JSON");
}

Test(spec_hostile, fractions_and_texts_where_there_are_none) {
    for (size_t field = 0; field < ARRAY_LEN(numbers); field++) {
        if (numbers[field].takes & WHOLE)
            expect_refused(field, "64.5", numbers[field].pointer, "");
        if (!(numbers[field].takes & TEXT))
            expect_refused(field, "\"64\"", numbers[field].pointer, "must be a number");
        if (strcmp(numbers[field].pointer, "/priority") != 0)
            expect_refused(field, "-1", numbers[field].pointer, "");
    }
}

Test(spec_hostile, nesting_has_a_bottom) {
    static const char *const places[] = {
        "", "{\"image\":\"a\",\"env\":", "{\"image\":\"a\",\"services\":", "{\"image\":\"a\",\"input\":"};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        AUTO_BUF struct buf doc = BUF(SPEC_BYTES_MAX);
        buf_adds(&doc, places[i]);
        while (buf_adds(&doc, "[{\"a\":") == 0)
            ;
        expect_faults(buf_str(&doc), "(top)", "is not JSON");
    }
}

/* As much as fits into a body, in one field. */
static json_t *labels_of(size_t count, size_t bytes) {
    AUTO_FREE char *text = mem_alloc(bytes + 1);
    json_t *labels = json_object();
    memset(text, 'x', bytes);
    for (size_t i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%zu", i);
        json_object_set_new(labels, key, json_string(text));
    }
    return json_pack("{s:s, s:o}", "image", "a", "labels", labels);
}

Test(spec_hostile, labels_are_bounded) {
    static const struct {
        size_t count, bytes;
        const char *pointer; /* NULL: just right */
    } cases[] = {{SPEC_LABELS_MAX, SPEC_LABEL_VALUE_MAX, NULL},
                 {SPEC_LABELS_MAX + 1, 1, "/labels"},
                 {1, SPEC_LABEL_VALUE_MAX + 1, "/labels/k0"},
                 {60000, 1, "/labels"},
                 {1, SPEC_BYTES_MAX - 100, "/labels/k0"}};
    struct spec_policy policy = spec_policy_builtin();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO_JSON json_t *doc = labels_of(cases[i].count, cases[i].bytes);
        AUTO_FREE char *text = json_dumps(doc, JSON_COMPACT);
        AUTO_SPEC struct spec *spec = NULL;
        AUTO_FAULTS struct spec_faults faults = {0};
        int result = spec_parse_text(text, strlen(text), &policy, &spec, &faults);
        cr_expect_eq(result, cases[i].pointer ? -1 : 0, "%zu", i);
        if (cases[i].pointer)
            cr_expect_str_eq(faults.items[0].pointer, cases[i].pointer);
    }
}

/* One more than each bound, of what an array may hold. */
Test(spec_hostile, arrays_are_bounded) {
    static const struct {
        const char *place, *element, *after, *pointer;
        int count;
    } cases[] = {
        {"\"services\":[", "{\"name\":\"s%d\",\"image\":\"b\"}", "]", "/services", SPEC_SERVICES_MAX},
        {"\"mounts\":[", "{\"type\":\"tmpfs\",\"target\":\"/m%d\"}", "]", "/mounts", SPEC_MOUNTS_MAX},
        {"\"retry\":{\"max\":1,\"on\":[", "\"oom\"", "]}", "/retry/on", SPEC_RETRY_WORDS_MAX},
        {"\"retry\":{\"max\":1,\"exit_codes\":[", "75", "]}", "/retry/exit_codes", SPEC_EXIT_CODES_MAX},
    };
    struct spec_policy policy = spec_policy_builtin();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (int over = 0; over <= 1; over++) {
            AUTO_BUF struct buf doc = BUF(SPEC_BYTES_MAX);
            AUTO_SPEC struct spec *spec = NULL;
            AUTO_FAULTS struct spec_faults faults = {0};
            buf_addf(&doc, "{\"image\":\"a\",%s", cases[i].place);
            for (int n = 0; n < cases[i].count + over; n++) {
                const char *number = strstr(cases[i].element, "%d");
                int before = number ? (int)(number - cases[i].element) : (int)strlen(cases[i].element);
                buf_addf(&doc, "%s%.*s", n ? "," : "", before, cases[i].element);
                if (number)
                    buf_addf(&doc, "%d%s", n, number + 2);
            }
            buf_addf(&doc, "%s}", cases[i].after);
            cr_expect_eq(spec_parse_text(doc.data, doc.len, &policy, &spec, &faults), over ? -1 : 0, "%s",
                         doc.data);
            if (over)
                cr_expect_str_eq(faults.items[0].pointer, cases[i].pointer);
        }
}
