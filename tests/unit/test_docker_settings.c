/* How the engine client finds its engine and agrees with it on a version. */
#include <criterion/criterion.h>
#include <string.h>

#include "runner/docker/engine.h"
#include "runner/docker/system.h"
#include "tests/support/fake_engine.h"

enum { CALL_MS = 20 * 1000 };

static struct fake_engine fake;
static struct engine *engine;
static struct ctx ctx;
static struct err err;

static void open_engine(const char *api_version) {
    struct engine_settings settings = {.host = fake.host, .api_version = api_version};
    ctx = ctx_root(NULL);
    ctx_deadline_in(&ctx, CALL_MS);
    cr_assert(engine_open(&settings, &engine, &err) == 0, "%s", err.text);
}

static void tear_down(void) {
    engine_close(engine);
    if (fake.pid)
        fake_engine_stop(&fake);
}

TestSuite(docker_settings, .fini = tear_down, .timeout = 30);

static void expect_info(enum err_kind kind, const char *words) {
    struct system_info info;
    cr_assert(system_info(engine, &ctx, &info, &err) < 0);
    cr_assert(err.kind == kind && strstr(err.text, words), "%s: %s", err_kind_name(err.kind), err.text);
}

#define GOOD_INFO "{\"ID\":\"i\",\"ServerVersion\":\"1\",\"NCPU\":2}"
#define PING(version) "HTTP/1.1 200 OK\r\nApi-Version: " version "\r\nContent-Length: 2\r\n\r\nOK"
#define VERSION(least)                                                                                       \
    { .expect = "GET /version HTTP/1.1\r\n", .status = "200 OK", .body = "{\"MinAPIVersion\":\"" least "\"}" }

static int negotiate_with(const struct fake_step *script, size_t count, const char *forced) {
    fake_engine_start(&fake, script, count);
    open_engine(forced);
    return engine_negotiate(engine, &ctx, &err);
}
#define NEGOTIATE(forced, ...)                                                                               \
    negotiate_with((const struct fake_step[]){__VA_ARGS__},                                                  \
                   sizeof((const struct fake_step[]){__VA_ARGS__}) / sizeof(struct fake_step), forced)

Test(docker_settings, speaks_the_engines_version_when_that_is_older) {
    cr_assert(NEGOTIATE(NULL, {.expect = "GET /_ping HTTP/1.1\r\n", .raw = PING("1.41")}, VERSION("1.12"),
                        {.expect = "GET /v1.41/info", .status = "200 OK", .body = GOOD_INFO}) == 0,
              "%s", err.text);
    cr_assert_str_eq(engine_api_version(engine), "1.41");
    struct system_info info;
    cr_assert(system_info(engine, &ctx, &info, &err) == 0, "%s", err.text);
}

Test(docker_settings, speaks_its_own_version_when_that_is_older) {
    cr_assert(NEGOTIATE(NULL, {.raw = PING("1.52")}, VERSION("1.44")) == 0, "%s", err.text);
    cr_assert_str_eq(engine_api_version(engine), "1.47");
}

Test(docker_settings, refuses_an_engine_that_is_too_old) {
    cr_assert(NEGOTIATE("", {.raw = PING("1.39")}, VERSION("1.12")) < 0);
    cr_assert(err.kind == ERR_USAGE && strstr(err.text, "1.39") && strstr(err.text, "1.40"), "%s", err.text);
    cr_assert_str_eq(engine_api_version(engine), "");
}

Test(docker_settings, refuses_an_engine_that_is_too_new) {
    cr_assert(NEGOTIATE(NULL, {.raw = PING("1.60")}, VERSION("1.48")) < 0);
    cr_assert(err.kind == ERR_USAGE && strstr(err.text, "1.48") && strstr(err.text, "1.47"), "%s", err.text);
}

Test(docker_settings, refuses_what_is_no_engine) {
    cr_assert(NEGOTIATE(NULL, {.status = "200 OK", .body = "hello", .raw = NULL},
                        {.status = "200 OK", .body = "{}"}) < 0);
    cr_assert(err.kind == ERR_INVALID && strstr(err.text, "MinAPIVersion"), "%s", err.text);
}

Test(docker_settings, refuses_what_names_no_version) {
    cr_assert(NEGOTIATE(NULL, {.raw = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nApi-Version:\r\n\r\n"}) < 0);
    cr_assert(err.kind == ERR_INVALID && strstr(err.text, "Api-Version"), "%s", err.text);
}

Test(docker_settings, a_forced_version_is_spoken) {
    cr_assert(NEGOTIATE("v1.43", {.raw = PING("1.41")}) == 0, "%s", err.text);
    cr_assert_str_eq(engine_api_version(engine), "1.43");
}

Test(docker_settings, nothing_is_asked_before_a_version_is_agreed) {
    open_engine(NULL);
    expect_info(ERR_BUG, "no API version");
}

Test(docker_settings, settings_that_cannot_be) {
    static const struct {
        struct engine_settings settings;
        const char *words;
    } cases[] = {
        {{.host = "ssh://there"}, "DOCKER_HOST=ssh://there"},
        {{.host = "unix://relative"}, "absolute path"},
        {{.host = "tcp://"}, "host:port"},
        {{.host = "tcp://a:99999"}, "host:port"},
        {{.host = "tcp://u:p@a:1"}, "host:port"},
        {{.host = "tcp://a:1/path"}, "host:port"},
        {{.host = "tcp://a:1", .tls_verify = "1"}, "DOCKER_CERT_PATH is not"},
        {{.host = "tcp://a:1", .tls_verify = "1", .cert_path = "/nowhere"}, "ca.pem cannot be read"},
        {{.api_version = "new"}, "DOCKER_API_VERSION=new"},
        {{.api_version = "1.39"}, "below 1.40"},
        {{.api_version = "1.41x"}, "DOCKER_API_VERSION=1.41x"},
        {{.api_version = "2.41"}, "DOCKER_API_VERSION=2.41"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        cr_assert(engine_open(&cases[i].settings, &engine, &err) < 0, "%zu", i);
        cr_assert(err.kind == ERR_USAGE && strstr(err.text, cases[i].words), "%zu: %s", i, err.text);
        cr_assert_null(engine);
    }
}

Test(docker_settings, settings_that_can) {
    static const char *const hosts[] = {NULL, "", "unix:///x", "tcp://a", "tcp://a:1", "tcp://[::1]:2375"};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        struct engine_settings settings = {.host = hosts[i], .api_version = ""};
        AUTO_ENGINE struct engine *one = NULL;
        cr_assert(engine_open(&settings, &one, &err) == 0, "%s", err.text);
        cr_assert_str_eq(engine_host(one), hosts[i] && *hosts[i] ? hosts[i] : ENGINE_DEFAULT_HOST);
    }
}

Test(docker_settings, nobody_listens_on_a_port) {
    snprintf(fake.host, sizeof fake.host, "tcp://127.0.0.1:9");
    open_engine("1.41");
    expect_info(ERR_AWAY, "tcp://127.0.0.1:9: Connection refused");
}
