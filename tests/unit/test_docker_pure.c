/* The parts of the engine client that do no I/O. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "runner/docker/container_body.h"
#include "runner/docker/doc.h"
#include "runner/docker/image_stream.h"
#include "runner/docker/url.h"

static struct err err;

TestSuite(docker_pure, .timeout = 20);

Test(docker_pure, urls_are_escaped) {
    AUTO_BUF struct buf url = BUF(URL_MAX);
    cr_assert(url_format(&url, &err, "/a/{}/b?c={}&d={}", "x/../y?z#", "\xc3\xbc =&%\n", "aZ09-._~") == 0);
    cr_assert_str_eq(buf_str(&url), "/a/x%2F..%2Fy%3Fz%23/b?c=%C3%BC%20%3D%26%25%0A&d=aZ09-._~");
    cr_assert(url_format(&url, &err, "/a/{}", "") < 0 && err.kind == ERR_INVALID);
    cr_assert(url_format(&url, &err, "/a/{}", NULL) < 0 && err.kind == ERR_INVALID);
    AUTO_BUF struct buf small = BUF(8);
    cr_assert(url_format(&small, &err, "/a/{}", "123456789") < 0 && err.kind == ERR_LIMIT);
}

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

Test(docker_pure, references_are_taken_apart) {
    static const struct {
        const char *text, *registry, *name, *tag, *digest;
    } cases[] = {
        {"debian", "", "debian", "latest", ""},
        {"debian:bookworm-slim", "", "debian", "bookworm-slim", ""},
        {"library/debian", "", "library/debian", "latest", ""},
        {"docker.io/library/debian", "docker.io", "docker.io/library/debian", "latest", ""},
        {"localhost/a", "localhost", "localhost/a", "latest", ""},
        {"localhost:5000/a/b:v1", "localhost:5000", "localhost:5000/a/b", "v1", ""},
        {"127.0.0.1:5000/a", "127.0.0.1:5000", "127.0.0.1:5000/a", "latest", ""},
        {"[::1]:5000/a", "[::1]:5000", "[::1]:5000/a", "latest", ""},
        {"Registry/a", "Registry", "Registry/a", "latest", ""},
        {"a@sha256:" HEX64, "", "a", "", "sha256:" HEX64},
        {"a:t@sha256:" HEX64, "", "a", "t", "sha256:" HEX64},
        {"r.io:1/a-b/c__d/e.f_g--h:T_1.x-", "r.io:1", "r.io:1/a-b/c__d/e.f_g--h", "T_1.x-", ""},
        {"sha256:" HEX64, "", "sha256", HEX64, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct image_ref ref;
        cr_assert(image_ref_parse(cases[i].text, &ref, &err) == 0, "%s: %s", cases[i].text, err.text);
        cr_assert_str_eq(ref.registry, cases[i].registry);
        cr_assert_str_eq(ref.name, cases[i].name);
        cr_assert_str_eq(ref.tag, cases[i].tag);
        cr_assert_str_eq(ref.digest, cases[i].digest);
    }
}

Test(docker_pure, references_as_the_engine_lists_them) {
    static const char *const cases[][2] = {
        {"app", "app:latest"},
        {"docker.io/library/app", "app:latest"},
        {"index.docker.io/library/app:v1", "app:v1"},
        {"docker.io/team/app", "team/app:latest"},
        {"team/app:v1", "team/app:v1"},
        {"127.0.0.1:5000/library/app:v1", "127.0.0.1:5000/library/app:v1"},
        {"docker.io.example/library/app", "docker.io.example/library/app:latest"},
        {"app@sha256:" HEX64, ""}, /* by digest: no name */
        {"app:v1@sha256:" HEX64, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct image_ref ref;
        char familiar[IMAGE_REF_MAX];
        cr_assert(image_ref_parse(cases[i][0], &ref, &err) == 0, "%s: %s", cases[i][0], err.text);
        cr_assert_str_eq(image_ref_familiar(&ref, familiar), cases[i][1]);
    }
}

Test(docker_pure, references_that_are_none) {
    static const char *const cases[] = {
        "",
        ":",
        "/",
        "@",
        "a:",
        "a@",
        "A",
        "a/B",
        "a//b",
        "/a",
        "a/",
        "a b",
        "a:t:u",
        "a:-t",
        "a:.t",
        "-a",
        "a-",
        "a..b",
        "a___b",
        "a._b",
        "a@sha256:"
        "abc",
        "a@md5",
        "a@:" HEX64,
        "a@sha256:" HEX64 "0",
        "a:99999999/b",
        "r.io:x/b",
        "[::1/a",
        "[]:1/a",
        "r.io-/a",
        ".io/a",
        "a\n",
        "a:t\n",
        "\xc3\xbc",
        "a@sha256:" HEX64 "@sha256:" HEX64,
        "../../containers",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct image_ref ref;
        cr_assert(image_ref_parse(cases[i], &ref, &err) < 0, "%s: %s %s %s", cases[i], ref.name, ref.tag,
                  ref.digest);
        cr_assert_eq(err.kind, ERR_INVALID);
    }
    char name[600] = {0};
    memset(name, 'a', 256);
    cr_assert(image_ref_parse(name, &(struct image_ref){0}, &err) < 0);
    name[255] = '\0';
    cr_assert(image_ref_parse(name, &(struct image_ref){0}, &err) == 0);
    memset(name, 'a', sizeof name - 1);
    cr_assert(image_ref_parse(name, &(struct image_ref){0}, &err) < 0);
    snprintf(name, sizeof name, "a:%0129d", 1);
    cr_assert(image_ref_parse(name, &(struct image_ref){0}, &err) < 0);
}

Test(docker_pure, pull_failures_are_told_apart) {
    static const struct {
        int status;
        const char *message;
        bool auth;
        int code;
    } cases[] = {
        {404, "manifest for a:b not found: manifest unknown: manifest unknown", false, 404},
        {404, "pull access denied for x, repository does not exist or may require 'docker login': denied",
         false, 404},
        {404, "pull access denied for x, repository does not exist or may require 'docker login': denied",
         true, 403},
        {500, "Head \"https://r/v2/x/manifests/y\": unauthorized: authentication required", false, 403},
        {500, "Head \"https://ghcr.io/v2/x/manifests/y\": denied", true, 403},
        {500, "Get \"https://r/v2/\": no basic auth credentials", false, 403},
        {500, "failed to resolve reference \"r/x:y\": r/x:y: not found", false, 404},
        {500, "Get \"https://r/v2/\": dial tcp: lookup r on 1.2.3.4:53: no such host", false, 500},
        {500, "open /var/lib/docker/tmp/x: permission denied", false, 500},
        {500, "toomanyrequests: You have reached your pull rate limit", false, 500},
        {403, "anything", false, 403},
        {401, "anything", false, 403},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        cr_assert_eq(image_failure_code(cases[i].status, cases[i].message, cases[i].auth), cases[i].code,
                     "%s", cases[i].message);
}

static void count_lines(void *arg, const struct image_progress *progress) {
    *(int *)arg += progress->status[0] == 's';
}

Test(docker_pure, streams_may_be_cut_anywhere) {
    static const char text[] =
        "{\"status\":\"s1\"}\r\n\r\n{\"status\":\"s2\",\"progressDetail\":null}\n{\"status\":\"s3\"}";
    for (size_t cut = 0; cut < sizeof text; cut++) {
        int lines = 0;
        AUTO_IMAGE_STREAM struct image_stream stream = IMAGE_STREAM;
        stream.on_progress = count_lines;
        stream.arg = &lines;
        cr_assert(image_stream_feed(&stream, text, cut, &err) == 0, "%s", err.text);
        cr_assert(image_stream_feed(&stream, text + cut, sizeof text - 1 - cut, &err) == 0 ||
                  cut == sizeof text);
        cr_assert(image_stream_finish(&stream, &err) == 0, "%s", err.text);
        cr_assert_eq(lines, 3);
        if (cut == sizeof text - 1)
            break;
    }
}

/* The whole body, word for word: what a job may influence and what it may not. */
Test(docker_pure, create_body) {
    static const char *const entrypoint[] = {"/.berth/init", NULL}, *const cmd[] = {"a", "b c", NULL};
    static const char *const caps[] = {"CHOWN", NULL}, *const aliases[] = {"db", NULL};
    static const struct engine_pair labels[] = {{"k", "v"}}, tmpfs[] = {{"/tmp", "size=64m"}};
    static const struct container_mount mounts[] = {
        {CONTAINER_MOUNT_BIND, "/s", "/t", true, 0},
        {CONTAINER_MOUNT_VOLUME, "vol", "/v", false, 0},
        {CONTAINER_MOUNT_TMPFS, NULL, "/r", false, 4096},
    };
    struct container_spec spec = {
        .name = "n",
        .image = "i",
        .entrypoint = entrypoint,
        .cmd = cmd,
        .user = "1:2",
        .workdir = "/w",
        .hostname = "h",
        .stop_signal = "SIGINT",
        .labels = {labels, 1},
        .memory_bytes = 1024,
        .nano_cpus = 5,
        .pids_limit = 6,
        .shm_bytes = 7,
        .nofile = 8,
        .oom_score_adj = -9,
        .read_only = true,
        .cap_add = caps,
        .cgroup_parent = "/berth",
        .tmpfs = {tmpfs, 1},
        .mounts = mounts,
        .mount_count = 3,
        .network_mode = "net",
        .network_aliases = aliases,
    };
    AUTO_JSON json_t *body = NULL;
    cr_assert(container_body(&spec, &body, &err) == 0, "%s", err.text);
    AUTO_FREE char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
    cr_assert_str_eq(
        text,
        "{\"Cmd\":[\"a\",\"b c\"],\"Entrypoint\":[\"/.berth/init\"],\"Healthcheck\":{\"Test\":[\"NONE\"]},"
        "\"HostConfig\":{\"AutoRemove\":false,"
        "\"CapAdd\":[\"CHOWN\"],\"CapDrop\":[\"ALL\"],\"CgroupParent\":\"/berth\",\"Init\":false,"
        "\"LogConfig\":{\"Type\":\"none\"},\"Memory\":1024,\"MemorySwap\":1024,\"Mounts\":["
        "{\"ReadOnly\":true,\"Source\":\"/s\",\"Target\":\"/t\",\"Type\":\"bind\"},"
        "{\"ReadOnly\":false,\"Source\":\"vol\",\"Target\":\"/v\",\"Type\":\"volume\"},"
        "{\"ReadOnly\":false,\"Target\":\"/r\",\"TmpfsOptions\":{\"SizeBytes\":4096},\"Type\":\"tmpfs\"}],"
        "\"NanoCpus\":5,\"NetworkMode\":\"net\",\"OomScoreAdj\":-9,\"PidsLimit\":6,\"Privileged\":false,"
        "\"PublishAllPorts\":false,\"ReadonlyRootfs\":true,\"RestartPolicy\":{\"Name\":\"no\"},"
        "\"SecurityOpt\":[\"no-new-privileges\"],\"ShmSize\":7,\"Tmpfs\":{\"/tmp\":\"size=64m\"},"
        "\"Ulimits\":[{\"Hard\":8,\"Name\":\"nofile\",\"Soft\":8}]},\"Hostname\":\"h\",\"Image\":\"i\","
        "\"Labels\":{\"k\":\"v\"},\"NetworkingConfig\":{\"EndpointsConfig\":{\"net\":{\"Aliases\":[\"db\"]}}}"
        ","
        "\"OpenStdin\":false,\"StopSignal\":\"SIGINT\",\"Tty\":false,\"User\":\"1:2\",\"WorkingDir\":\"/"
        "w\"}");
}

Test(docker_pure, create_body_with_nothing_set_is_still_confined) {
    struct container_spec spec = {.name = "n", .image = "i"};
    AUTO_JSON json_t *body = NULL;
    cr_assert(container_body(&spec, &body, &err) == 0, "%s", err.text);
    AUTO_FREE char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
    cr_assert_str_eq(text,
                     "{\"Healthcheck\":{\"Test\":[\"NONE\"]},\"HostConfig\":{\"AutoRemove\":false,\"CapAdd\":"
                     "[],\"CapDrop\":[\"ALL\"],\"Init\":false,"
                     "\"LogConfig\":{\"Type\":\"none\"},\"Mounts\":[],\"Privileged\":false,"
                     "\"PublishAllPorts\":false,\"ReadonlyRootfs\":false,\"RestartPolicy\":{\"Name\":\"no\"},"
                     "\"SecurityOpt\":[\"no-new-privileges\"]},\"Image\":\"i\",\"Labels\":{},"
                     "\"OpenStdin\":false,\"Tty\":false}");
}

Test(docker_pure, text_that_is_not_utf8_is_refused) {
    static const char *const cmd[] = {"\xff", NULL};
    static const struct engine_pair labels[] = {{"\xff", "v"}};
    struct container_spec specs[] = {
        {.name = "n", .image = "i", .cmd = cmd},
        {.name = "n", .image = "i", .labels = {labels, 1}},
        {.name = "n", .image = "\xc3"},
    };
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        json_t *body = NULL;
        cr_assert(container_body(&specs[i], &body, &err) < 0);
        cr_assert(err.kind == ERR_INVALID && !body, "%s", err.text);
    }
    char *filters = NULL;
    cr_assert(doc_filters((struct engine_pairs){labels, 1}, NULL, 0, &filters, &err) < 0 && !filters);
}

Test(docker_pure, filters) {
    static const struct engine_pair labels[] = {{"a", "b"}, {"c", NULL}, {"e", "\""}};
    static const char *const types[] = {"container", NULL};
    const struct doc_filter more[] = {{"type", types}, {"event", NULL}};
    AUTO_FREE char *text = NULL;
    cr_assert(doc_filters((struct engine_pairs){labels, 3}, more, 2, &text, &err) == 0);
    cr_assert_str_eq(text, "{\"label\":[\"a=b\",\"c\",\"e=\\\"\"],\"type\":[\"container\"]}");
}
