/* Credentials of a docker config.json for an image, and the lines that a pull's news become. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/json.h"
#include "proto/attempt.h"
#include "runner/pull.h"
#include "runner/pull_news.h"

/* RFC 4648, section 5, by another way than the product's: bit by bit. */
static char *decoded(const char *text) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    cr_assert_eq(strlen(text) % 4, 0, "padding is missing: %s", text);
    size_t len = strcspn(text, "=");
    char *out = calloc(1, len + 1);
    for (size_t bit = 0; bit < len * 6 / 8 * 8; bit++) {
        size_t digit = (size_t)(strchr(digits, text[bit / 6]) - digits);
        if (digit >> (5 - bit % 6) & 1)
            out[bit / 8] = (char)(out[bit / 8] | 0x80 >> bit % 8);
    }
    cr_assert_eq(strlen(out), len * 6 / 8, "too little padding: %s", text);
    return out;
}

/* Quotes are ' here. The header's JSON, or "none", or "invalid". */
static const struct {
    const char *config, *image, *header;
} rows[] = {
    {"{}", "r.example/a", "none"},
    {"{'auths':{}}", "r.example/a", "none"},
    {"{'auths':{'r.example':{'auth':'dTpw'}}}", "r.example/a",
     "{'username':'u','password':'p','serveraddress':'r.example'}"},
    {"{'auths':{'https://r.example/v1/':{'auth':'dTpw'}}}", "r.example/team/a:1",
     "{'username':'u','password':'p','serveraddress':'https://r.example/v1/'}"},
    {"{'auths':{'r.example:5000':{'auth':'dTpw'}}}", "r.example/a", "none"},
    {"{'auths':{'r.example':{'auth':'dTpw'}}}", "r.example:5000/a", "none"},
    {"{'auths':{'http://R.Example:5000':{'auth':'dTpw'}}}", "r.example:5000/a",
     "{'username':'u','password':'p','serveraddress':'http://R.Example:5000'}"},
    {"{'auths':{'https://index.docker.io/v1/':{'auth':'dTpw'}}}", "debian",
     "{'username':'u','password':'p','serveraddress':'https://index.docker.io/v1/'}"},
    {"{'auths':{'docker.io':{'auth':'dTpw'}}}", "docker.io/library/debian:12",
     "{'username':'u','password':'p','serveraddress':'docker.io'}"},
    {"{'auths':{'https://index.docker.io/v1/':{'auth':'dTpw'}}}", "r.example/a", "none"},
    {"{'auths':{'r.example':{'auth':'dTpw'}}}", "debian", "none"},
    {"{'auths':{'':{'auth':'dTpw'}}}", "debian", "none"},
    /* How it is spelled goes before what it means. */
    {"{'auths':{'https://r.example':{'auth':'eDp5'},'r.example':{'auth':'dTpw'}}}", "r.example/a",
     "{'username':'u','password':'p','serveraddress':'r.example'}"},
    {"{'auths':{'r.example':{'username':'u','password':'p:q'}}}", "r.example/a",
     "{'username':'u','password':'p:q','serveraddress':'r.example'}"},
    {"{'auths':{'r.example':{'auth':'dTpwOnE='}}}", "r.example/a",
     "{'username':'u','password':'p:q','serveraddress':'r.example'}"},
    {"{'auths':{'r.example':{'auth':'MDE6','identitytoken':'t'}}}", "r.example/a",
     "{'username':'01','identitytoken':'t','serveraddress':'r.example'}"},
    {"{'auths':{'r.example':{}},'credsStore':'pass'}", "r.example/a", "none"},
    {"{'auths':{'r.example':{'auth':'dTpw','email':'x'}},'HttpHeaders':{}}", "r.example/a",
     "{'username':'u','password':'p','serveraddress':'r.example'}"},
    {"{'auths':{'r.example':{'auth':'w78/Omk/fj8='}}}", "r.example/a",
     "{'username':'\xc3\xbf?','password':'i?~?','serveraddress':'r.example'}"},
    {"{'auths':{'r.example':{'auth':'/zpw'}}}", "r.example/a", "invalid"},
    {"{'auths':{'r.example':{'auth':'dXA='}}}", "r.example/a", "invalid"},
    {"{'auths':{'r.example':{'auth':'%%%'}}}", "r.example/a", "invalid"},
    {"{'auths':{'r.example':'dTpw'}}", "r.example/a", "invalid"},
    {"{'auths':[]}", "r.example/a", "invalid"},
    {"[]", "r.example/a", "invalid"},
    {"", "r.example/a", "invalid"},
    {"{'auths':{'r.example':{'auth':'dTpw'},'r.example':{}}}", "r.example/a", "invalid"},
};

static char *quoted(const char *text) {
    char *out = strdup(text);
    for (char *at = out; (at = strchr(at, '\'')) != NULL;)
        *at = '"';
    return out;
}

static void check(size_t i) {
    AUTO_FREE char *config = quoted(rows[i].config);
    AUTO_FREE char *expected = quoted(rows[i].header);
    AUTO_FREE char *auth = NULL;
    struct err err = {0};
    int got = pull_auth(config, strlen(config), rows[i].image, &auth, &err);
    if (strcmp(expected, "invalid") == 0) {
        cr_expect(got < 0 && err.kind == ERR_INVALID && !auth, "row %zu", i);
        return;
    }
    cr_assert_eq(got, 0, "row %zu: %s", i, err.text);
    AUTO_FREE char *json = auth ? decoded(auth) : strdup("none");
    cr_expect_str_eq(json, expected, "row %zu: %s", i, json);
}

Test(registry_auth, what_the_config_has_for_an_image) {
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(i);
}

static void news(struct pull_news *state, const char *status, const char *layer, int64_t bytes, int64_t of) {
    const struct image_progress progress = {
        .status = status, .layer = layer, .current_bytes = bytes, .total_bytes = of};
    pull_news_take(state, &progress);
}

Test(pull_news, are_summed_and_told_now_and_then) {
    char dir[] = "/tmp/test_pull_news.XXXXXX";
    AUTO_BUF struct buf text = BUF(4096);
    cr_assert_not_null(mkdtemp(dir));
    AUTO_FD int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    static struct pull_news state = {.image = "a:1"};
    state.dir_fd = dir_fd;
    news(&state, "Pulling from a", "1", 0, 0); /* the tag stands where a layer's id does */
    news(&state, "Pulling fs layer", "aa", 0, 0);
    news(&state, "Pulling fs layer", "bb", 0, 0);
    news(&state, "Already exists", "cc", 0, 0);
    news(&state, "Downloading", "aa", 1048576, 2097152);
    news(&state, "Downloading", "bb", 524288, 3145728);
    news(&state, "Download complete", "aa", 0, 0);
    news(&state, "Extracting", "aa", 77, 99);
    cr_expect_eq(file_read(dir_fd, ATTEMPT_SYSTEM, 4096, &text, NULL), -1, "told too early");
    state.told_ns = 1;
    news(&state, "Downloading", "bb", 1048576, 3145728);
    news(&state, "Downloading", "bb", 1048577, 3145728);
    cr_assert_eq(file_read(dir_fd, ATTEMPT_SYSTEM, 4096, &text, NULL), 0);
    static const char line[] = "Pulling image a:1: 3.0 MiB of 5.0 MiB, 2 of 3 layers\n";
    cr_expect(text.len > sizeof line - 1);
    cr_expect_str_eq(text.data + text.len - (sizeof line - 1), line);
    cr_expect_lt(text.len, 2 * (sizeof line - 1), "told twice");
    dir_remove_tree(AT_FDCWD, dir, NULL);
}
