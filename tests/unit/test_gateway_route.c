#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

#include "base/json.h"
#include "orchestrator/gateway/auth.h"
#include "orchestrator/gateway/opening.h"
#include "orchestrator/gateway/origin.h"
#include "orchestrator/gateway/problem.h"
#include "orchestrator/gateway/routes.h"
#include "proto/stream.h"

#define NAME "host-1.example_x"
#define NAME_OF_63 "a23456789-123456789-123456789-123456789-123456789-123456789-123"
#define ID "01890a5d-ac96-774b-bcce-b302099a8057"

static const struct route *find(enum route_method method, const char *path, unsigned *ret_allow) {
    char id[ROUTE_PART_MAX];
    const struct route *route = route_find(routes, method, path, id, ret_allow);
    if (route && strstr(route->pattern, "{id}"))
        cr_expect_str_eq(id, ID, "%s", path);
    else if (route && strstr(route->pattern, "{name}"))
        cr_expect_str_eq(id, NAME, "%s", path);
    else
        cr_expect_str_eq(id, "", "%s", path);
    return route;
}

Test(route, finds) {
    static const struct {
        enum route_method method;
        const char *path, *pattern; /* NULL: none */
        unsigned allow;
    } cases[] = {
        {ROUTE_GET, "/v1/jobs", "/v1/jobs", 0},
        {ROUTE_POST, "/v1/jobs", "/v1/jobs", 0},
        {ROUTE_GET, "/v1/jobs/" ID, "/v1/jobs/{id}", 0},
        {ROUTE_GET, "/v1/jobs/" ID "/logs", "/v1/jobs/{id}/logs", 0},
        {ROUTE_POST, "/v1/jobs/" ID "/cancel", "/v1/jobs/{id}/cancel", 0},
        {ROUTE_POST, "/v1/jobs/" ID "/extend", "/v1/jobs/{id}/extend", 0},
        {ROUTE_POST, "/v1/jobs/" ID "/retry", "/v1/jobs/{id}/retry", 0},
        {ROUTE_GET, "/v1/jobs/" ID "/explain", "/v1/jobs/{id}/explain", 0},
        {ROUTE_GET, "/v1/jobs/" ID "/cancel", NULL, ROUTE_POST},
        {ROUTE_PUT, "/v1/jobs", NULL, ROUTE_GET | ROUTE_POST},
        {ROUTE_GET, "/v1/jobs/", NULL, 0},
        {ROUTE_GET, "/v1/jobs/" ID "/", NULL, 0},
        {ROUTE_GET, "/v1/jobs/" ID "x", NULL, 0},
        {ROUTE_GET, "/v1/jobs/short", NULL, 0},
        {ROUTE_GET, "/v1/jobs/01890A5D-AC96-774B-BCCE-B302099A8057", NULL, 0},
        {ROUTE_GET, "/v1/orchestrators", "/v1/orchestrators", 0},
        {ROUTE_POST, "/v1/orchestrators/" NAME "/drain", "/v1/orchestrators/{name}/drain", 0},
        {ROUTE_POST, "/v1/orchestrators/" NAME "/undrain", "/v1/orchestrators/{name}/undrain", 0},
        {ROUTE_GET, "/v1/orchestrators/" NAME_OF_63 "/drain", NULL, ROUTE_POST},
        {ROUTE_POST, "/v1/orchestrators/" NAME_OF_63 "4/drain", NULL, 0},
        {ROUTE_POST, "/v1/orchestrators//drain", NULL, 0},
        {ROUTE_POST, "/v1/orchestrators/.hidden/drain", NULL, 0},
        {ROUTE_POST, "/v1/orchestrators/a b/drain", NULL, 0},
        {ROUTE_POST, "/v1/orchestrators/" NAME "/drain/", NULL, 0},
        {ROUTE_POST, "/v1/orchestrators/" NAME, NULL, 0},
        {ROUTE_GET, "", NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned allow = 99;
        const struct route *route = find(cases[i].method, cases[i].path, &allow);
        cr_expect_eq(route != NULL, cases[i].pattern != NULL, "%s", cases[i].path);
        if (route && cases[i].pattern)
            cr_expect_str_eq(route->pattern, cases[i].pattern);
        else
            cr_expect_eq(allow, cases[i].allow, "%s", cases[i].path);
    }
    char text[64];
    cr_expect_str_eq(route_allow_text(ROUTE_DELETE | ROUTE_GET, text), "GET, HEAD, DELETE");
}

Test(route, only_health_is_open) {
    for (const struct route *route = routes; route->pattern; route++)
        cr_expect_eq(route->open, strncmp(route->pattern, "/v1/", 4) != 0, "%s", route->pattern);
}

Test(auth, token) {
    cr_assert(sodium_init() >= 0);
    struct auth on = auth_new(true, "secret"), off = auth_new(false, NULL);
    cr_expect(auth_token_ok(&on, "secret", 6));
    cr_expect(!auth_token_ok(&on, "secret", 5));
    cr_expect(!auth_token_ok(&on, "secreT", 6));
    cr_expect(!auth_token_ok(&on, NULL, 0));
    cr_expect(!auth_token_ok(&on, "", 0));
    cr_expect(auth_token_ok(&off, NULL, 0));
    struct auth unset = auth_new(true, NULL);
    cr_expect(!auth_token_ok(&unset, "", 0), "no token does not mean that none is needed");
}

Test(auth, headers) {
    size_t len = 0;
    const char *token = auth_bearer("bearer  abc", &len);
    cr_expect(token && len == 3 && strncmp(token, "abc", 3) == 0);
    cr_expect_null(auth_bearer("Basic abc", &len));
    cr_expect_null(auth_bearer("Bearer ", &len));
    token = auth_subprotocol("berth.v1,bearer.xyz , other", &len);
    cr_expect(token && len == 3 && strncmp(token, "xyz", 3) == 0);
    cr_expect_null(auth_subprotocol("berth.v1, bearer.", &len));
    cr_expect(auth_offers_first(" berth.v1, x", "berth.v1"));
    cr_expect(!auth_offers_first("x, berth.v1", "berth.v1"));
    cr_expect(!auth_offers_first("berth.v10", "berth.v1"));
    cr_expect(!auth_offers_first("", "berth.v1"));
}

Test(problem, says_it_all) {
    struct spec_faults faults = {
        .items = {{.pointer = "/image", .detail = "is missing"}}, .count = 1, .omitted = 2};
    AUTO_JSON json_t *doc = problem_make(422, "the job has 3 faults", "req-1", &faults);
    cr_expect_str_eq(json_get_string(doc, "type"), "about:blank");
    cr_expect_str_eq(json_get_string(doc, "title"), "Unprocessable Content");
    cr_expect_eq(json_get_int(doc, "status", 0), 422);
    cr_expect_str_eq(json_get_string(doc, "instance"), "req-1");
    cr_expect_eq(json_get_int(doc, "errors_omitted", 0), 2);
    cr_expect_str_eq(json_get_string(json_array_get(json_object_get(doc, "errors"), 0), "pointer"), "/image");
    AUTO_JSON json_t *cut = problem_make(400, "cut within \xe2\x82", "r", NULL);
    cr_expect_str_eq(json_get_string(cut, "detail"), "cut within ??");
}

Test(origin, pages_of_other_sites) {
    static const struct {
        const char *origin, *host;
        bool ok;
    } cases[] = {
        {"", "", true},
        {"", "127.0.0.1:8710", true},
        {"", "LocalHost", true},
        {"", "[::1]:8710", true},
        {"", "here.example:8710", true},
        {"http://localhost:8710", "localhost:8710", true},
        {"http://localhost:8711", "localhost:8710", false},
        {"http://evil.example", "localhost:8710", false},
        {"null", "localhost:8710", false},
        {"", "evil.example", false},
        {"", "evil.example:8710", false},
        {"http://evil.example", "evil.example", false},
        {"", "127.0.0.1.evil.example", false},
        {"", "[::1", false},
        {"", "[::1]evil", false},
        {"", "localhost:1:2", false},
        {"", "::1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(origin_ok(cases[i].origin, cases[i].host, "here.example:8710"), cases[i].ok,
                     "case %zu: %s, %s", i, cases[i].origin, cases[i].host);
}

static int64_t tail(const char *text, int64_t lines) {
    struct api_chunk chunk = {.offset = 100, .bytes = (unsigned char *)text, .len = strlen(text)};
    int64_t seen = 0;
    bool at_end = true;
    return opening_tail_in(&chunk, STREAM_NONE, lines, &seen, &at_end);
}

Test(opening, last_lines) {
    cr_expect_eq(tail("a\nb\nc\n", 1), 104);
    cr_expect_eq(tail("a\nb\nc", 1), 104);
    cr_expect_eq(tail("a\nb\nc\n", 2), 102);
    cr_expect_eq(tail("a\nb\nc\n", 3), -1);
    cr_expect_eq(tail("\n\n\n", 1), 102);
    cr_expect_eq(tail("abc", 1), -1);
}
