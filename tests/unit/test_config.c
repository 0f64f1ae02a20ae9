#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/config_private.h"
#include "base/fdutil.h"
#include "base/mem.h"

struct settings {
    char *listen, *token, *docker;
    int64_t slots, lease_ms, memory, cpus_milli, level, pin;
    bool auth;
};

#define AT(member) offsetof(struct settings, member)
static const struct config_entry entries[] = {
    {.key = "listen",
     .env = "BERTH_LISTEN",
     .type = CONFIG_STRING,
     .offset = AT(listen),
     .def = "127.0.0.1:8710",
     .help = "Where to answer."},
    {.key = "admin_token",
     .env = "BERTH_ADMIN_TOKEN",
     .type = CONFIG_STRING,
     .offset = AT(token),
     .secret = true,
     .help = "All rights."},
    {.key = "docker_host",
     .env = "DOCKER_HOST",
     .type = CONFIG_STRING,
     .offset = AT(docker),
     .help = "The engine."},
    {.key = "slots",
     .env = "BERTH_SLOTS",
     .type = CONFIG_INT,
     .offset = AT(slots),
     .min = 1,
     .max = 64,
     .help = "Most jobs at once."},
    {.key = "lease",
     .env = "BERTH_LEASE",
     .type = CONFIG_DURATION,
     .offset = AT(lease_ms),
     .def = "15s",
     .min = 1000,
     .max = 3600000,
     .help = "Silence until death."},
    {.key = "max_memory",
     .env = "BERTH_MAX_MEMORY",
     .type = CONFIG_SIZE,
     .offset = AT(memory),
     .def = "512m",
     .min = 1024,
     .max = INT64_C(1) << 40,
     .help = "Ceiling."},
    {.key = "cpus", .env = "BERTH_CPUS", .type = CONFIG_MILLI, .offset = AT(cpus_milli), .help = "Summed."},
    {.key = "level",
     .env = "BERTH_LEVEL",
     .type = CONFIG_INT,
     .offset = AT(level),
     .def = "-3",
     .min = -10,
     .max = 10,
     .help = "May be negative."},
    {.key = "auth",
     .env = "BERTH_AUTH",
     .type = CONFIG_BOOL,
     .offset = AT(auth),
     .def = "on",
     .help = "Ask who."},
    {.key = "pin",
     .env = "BERTH_PIN",
     .type = CONFIG_INT,
     .offset = AT(pin),
     .secret = true,
     .max = 9999,
     .help = "A number."},
};
static const struct config_table table = {entries, ARRAY_LEN(entries)};

static char home[] = "/tmp/test_config.XXXXXX";
static struct settings s;
static struct config_origins origins;
static struct buf report = {.max = 16384};
static struct err err;

static void setup(void) {
    clearenv();
    cr_assert_not_null(mkdtemp(home));
    cr_assert_eq(chdir(home), 0);
}

static void teardown(void) {
    config_free(&table, &s);
    buf_done(&report);
    cr_assert_eq(dir_remove_tree(AT_FDCWD, home, NULL), 0);
}

TestSuite(config, .init = setup, .fini = teardown);

static void put_file(const char *name, const char *text) {
    cr_assert_eq(file_write_atomic(AT_FDCWD, name, text, strlen(text), 0600, NULL), 0);
}

#define LOAD(...)                                                                                            \
    config_load(&table, &s, (char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL}, &origins, &report, &err)
#define ASSERT_LOADS(...) cr_assert_eq(LOAD(__VA_ARGS__), 0, "%s", buf_str(&report))
#define ASSERT_REPORTS(text) cr_assert_not_null(strstr(buf_str(&report), (text)), "in: %s", buf_str(&report))

static unsigned lines_of(const char *text) {
    unsigned n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

Test(config, the_defaults_alone) {
    ASSERT_LOADS();
    cr_assert_str_eq(s.listen, "127.0.0.1:8710");
    cr_assert_null(s.token);
    cr_assert_eq(s.slots, 0);
    cr_assert_eq(s.lease_ms, 15000);
    cr_assert_eq(s.memory, 512 << 20);
    cr_assert_eq(s.level, -3);
    cr_assert(s.auth);
    cr_assert_eq(origins.of[0], CONFIG_DEFAULT);
    cr_assert_eq(buf_str(&report)[0], '\0');
}

Test(config, no_words_at_all) {
    cr_assert_eq(config_load(&table, &s, NULL, NULL, NULL, NULL), 0);
}

Test(config, each_source_beats_the_one_before) {
    put_file("f", "slots = 1\nlease = 1s\nmax_memory=1m\nlisten = file\n");
    setenv("BERTH_LEASE", "2s", 1);
    setenv("BERTH_MAX_MEMORY", "2m", 1);
    setenv("DOCKER_HOST", "unix:///x", 1);
    ASSERT_LOADS("--config", "f", "--max-memory=3m");
    cr_assert_str_eq(s.listen, "file");
    cr_assert_eq(s.slots, 1);
    cr_assert_eq(s.lease_ms, 2000);
    cr_assert_eq(s.memory, 3 << 20);
    cr_assert_str_eq(s.docker, "unix:///x");
    cr_assert_eq(origins.of[8], CONFIG_DEFAULT);
    cr_assert_eq(origins.of[3], CONFIG_FILE);
    cr_assert_eq(origins.of[4], CONFIG_ENV);
    cr_assert_eq(origins.of[5], CONFIG_ARGV);
}

Test(config, the_ways_to_write_a_word) {
    ASSERT_LOADS("--slots", "5", "--max_memory", "1g", "--auth=off", "--cpus", "1.5", "--level", "-7",
                 "--lease=20");
    cr_assert_eq(s.slots, 5);
    cr_assert_eq(s.memory, 1 << 30);
    cr_assert_not(s.auth);
    cr_assert_eq(s.cpus_milli, 1500);
    cr_assert_eq(s.level, -7);
    cr_assert_eq(s.lease_ms, 20000);
    ASSERT_LOADS("--auth", "--slots=6");
    cr_assert(s.auth);
    ASSERT_LOADS("--auth", "no", "--slots", "1", "--slots", "2");
    cr_assert_not(s.auth);
    cr_assert_eq(s.slots, 2, "the last one counts");
}

Test(config, all_errors_are_reported_together) {
    put_file("f", "slots = 65\nlaese = 3s\nlease = soon\nnonsense\nslots = 3\nmax_memory = 1023\n");
    setenv("BERTH_SLOTS", "many", 1);
    setenv("BERTH_LEESE", "4s", 1);
    cr_assert_eq(LOAD("--config=f", "--auth=perhaps", "--slotz=4", "word", "--cpus=-1", "--lease"), -1);
    cr_assert_eq(err.kind, ERR_USAGE);
    ASSERT_REPORTS("slots = 65 (f line 1): allowed is from 1 to 64\n");
    ASSERT_REPORTS("laese = 3s (f line 2): unknown setting, the nearest known one is lease\n");
    ASSERT_REPORTS("lease = soon (f line 3): write a duration");
    ASSERT_REPORTS("from 1s to 1h\n");
    ASSERT_REPORTS("f line 4: not a line like `key = value`\n");
    ASSERT_REPORTS("slots (f line 5): set in line 1 already\n");
    ASSERT_REPORTS("max_memory = 1023 (f line 6): allowed is from 1k to 1t\n");
    ASSERT_REPORTS("slots = many (BERTH_SLOTS): write a whole number, from 1 to 64\n");
    ASSERT_REPORTS("BERTH_LEESE = 4s (environment): unknown setting, the nearest known one is BERTH_LEASE\n");
    ASSERT_REPORTS("auth = perhaps (command line): write on or off\n");
    ASSERT_REPORTS("slotz = 4 (command line): unknown setting, the nearest known one is slots\n");
    ASSERT_REPORTS("word (command line): unexpected word");
    ASSERT_REPORTS("cpus = -1 (command line): write a number like");
    ASSERT_REPORTS("--lease (command line): a value is missing\n");
    cr_assert_eq(lines_of(buf_str(&report)), 13, "%s", buf_str(&report));
    cr_assert_not_null(strstr(err.text, "13 settings are wrong, the first: slots = 65"), "%s", err.text);
}

Test(config, the_limits_themselves_are_allowed) {
    ASSERT_LOADS("--slots=1", "--lease=1h");
    ASSERT_LOADS("--slots=64", "--lease=1s");
    cr_assert_eq(LOAD("--slots=0"), -1);
    cr_assert_eq(LOAD("--lease=3600001ms"), -1);
    cr_assert_eq(LOAD("--slots=99999999999999999999"), -1);
    cr_assert_eq(LOAD("--slots=1x"), -1);
    cr_assert_eq(LOAD("--slots="), -1);
}

Test(config, variables_of_others_are_left_alone) {
    setenv("BERTH_URL", "http://x", 1);
    setenv("BERTH_JOB_ID", "x", 1);
    setenv("BERTH_POSTGRES_IMAGE", "x", 1);
    setenv("BERTH_SLOTS", "", 1);
    ASSERT_LOADS();
    cr_assert_eq(s.slots, 0, "an empty variable is not set");
}

Test(config, a_secret_comes_from_a_file) {
    put_file("token", "s3cret\n");
    setenv("BERTH_ADMIN_TOKEN_FILE", "token", 1);
    ASSERT_LOADS();
    cr_assert_str_eq(s.token, "s3cret");
    unsetenv("BERTH_ADMIN_TOKEN_FILE");
    put_file("f", "admin_token_file = token\n");
    ASSERT_LOADS("--config", "f");
    cr_assert_str_eq(s.token, "s3cret");
    put_file("token", "two\nlines\r\n");
    ASSERT_LOADS("--admin-token-file", "token");
    cr_assert_str_eq(s.token, "two\nlines");
}

Test(config, only_secrets_have_a_twin) {
    put_file("f", "x");
    cr_assert_eq(LOAD("--listen-file=f"), -1);
    ASSERT_REPORTS("unknown setting");
}

Test(config, wrong_twins) {
    setenv("BERTH_ADMIN_TOKEN_FILE", "absent", 1);
    cr_assert_eq(LOAD(), -1);
    ASSERT_REPORTS("admin_token_file = absent (BERTH_ADMIN_TOKEN_FILE): open absent: No such file");
    setenv("BERTH_ADMIN_TOKEN", "x", 1);
    cr_assert_eq(LOAD(), -1);
    ASSERT_REPORTS("BERTH_ADMIN_TOKEN (environment): BERTH_ADMIN_TOKEN_FILE is set too");
    clearenv();
    put_file("empty", "\n");
    cr_assert_eq(LOAD("--admin-token-file=empty"), -1);
    ASSERT_REPORTS("empty is empty");
    cr_assert_eq(file_write_atomic(AT_FDCWD, "nul", "a\0b", 3, 0600, NULL), 0);
    cr_assert_eq(LOAD("--admin-token-file=nul"), -1);
    ASSERT_REPORTS("there is a NUL in nul");
}

Test(config, a_secret_is_shown_nowhere) {
    AUTO_BUF struct buf out = BUF(16384);
    ASSERT_LOADS("--admin-token=s3cret");
    config_print_effective(&table, &s, &origins, &out);
    cr_assert_null(strstr(buf_str(&out), "s3cret"));
    cr_assert_not_null(strstr(buf_str(&out), "admin_token = ***  # command line\n"), "%s", buf_str(&out));
    cr_assert_eq(LOAD("--admin-tokem=s3cret"), -1, "misspelt");
    cr_assert_null(strstr(buf_str(&report), "s3cret"));
    ASSERT_REPORTS("admin-tokem = ***");
    cr_assert_null(strstr(err.text, "s3cret"));
    cr_assert_eq(LOAD("--pin=s3cret"), -1, "wrong in itself");
    cr_assert_null(strstr(buf_str(&report), "s3cret"));
    ASSERT_REPORTS("pin = *** (command line): write a whole number");
}

Test(config, the_file_that_is_named_must_be_there) {
    cr_assert_eq(LOAD("--config", "absent"), -1);
    ASSERT_REPORTS("settings file: open absent: No such file");
    cr_assert_eq(LOAD("--config"), -1);
    ASSERT_REPORTS("--config (command line): a value is missing");
    put_file("empty", "");
    ASSERT_LOADS("--config", "empty");
}

Test(config, the_grammar_of_the_file) {
    put_file("f", "# comment\r\n\n  slots = 3   # how many\r\n\tlisten=\"a # b\"  # quoted\nmax-memory = 1m\n"
                  "docker_host = tcp://h#frag\nadmin_token = \"a\"b\"");
    ASSERT_LOADS("--config", "f");
    cr_assert_eq(s.slots, 3);
    cr_assert_str_eq(s.listen, "a # b");
    cr_assert_eq(s.memory, 1 << 20);
    cr_assert_str_eq(s.docker, "tcp://h#frag");
    cr_assert_str_eq(s.token, "a\"b");
    put_file("f", "listen =\n");
    ASSERT_LOADS("--config", "f");
    cr_assert_null(s.listen, "an empty value takes a string back to unset");
}

Test(config, wrong_lines) {
    static const char *const cases[] = {
        "= 3\n",          "slots\n",        "slots 3\n",          "a b = 3\n",
        "listen = \"x\n", "slots = \x01\n", "listen = \"a\" b\n", "\"slots\" = 3\n",
        "slots # = 3\n"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        put_file("f", cases[i]);
        buf_clear(&report);
        cr_expect_eq(LOAD("--config", "f"), -1, "%s", cases[i]);
        cr_expect_not_null(strstr(buf_str(&report), "f line 1: "), "%s", buf_str(&report));
        cr_expect_eq(lines_of(buf_str(&report)), 1);
    }
}

Test(config, control_characters_do_not_reach_the_report) {
    cr_assert_eq(LOAD("--slots=\x1b[2J\nforged"), -1);
    cr_assert_eq(lines_of(buf_str(&report)), 1);
    cr_assert_null(strchr(buf_str(&report), '\x1b'));
}

Test(config, dump_and_undump) {
    AUTO_BUF struct buf json = BUF(16384);
    struct settings back = {0};
    ASSERT_LOADS("--slots=3", "--lease=1500ms", "--admin-token=s3 \"c\"ret", "--cpus=0.25", "--auth=off",
                 "--level=-9");
    s.slots = 1000; /* what a program made of an unset one may lie outside of the range */
    cr_assert_eq(config_dump(&table, &s, &json), 0);
    cr_assert_eq(config_undump(&table, &back, json.data, json.len, &err), 0, "%s", err.text);
    cr_assert_str_eq(back.listen, s.listen);
    cr_assert_str_eq(back.token, "s3 \"c\"ret");
    cr_assert_null(back.docker);
    cr_assert_eq(back.slots, 1000);
    cr_assert_eq(back.lease_ms, 1500);
    cr_assert_eq(back.memory, s.memory);
    cr_assert_eq(back.cpus_milli, 250);
    cr_assert_eq(back.level, -9);
    cr_assert_eq(back.auth, false);
    config_free(&table, &back);
    cr_assert_null(back.token);
    AUTO_BUF struct buf small = BUF(10);
    cr_assert_eq(config_dump(&table, &s, &small), -1);
}

Test(config, wrong_dumps) {
    static const char *const cases[] = {"",
                                        "[]",
                                        "{\"slots\":3}",
                                        "{\"x\":\"3\"}",
                                        "{\"slots\":\"x\"}",
                                        "{\"slots\":\"3\"",
                                        "{\"admin_token_file\":\"/etc/passwd\"}",
                                        "{\"slots\":\"1\",\"slots\":\"2\"}"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        cr_expect_eq(config_undump(&table, &s, cases[i], strlen(cases[i]), &err), -1, "%s", cases[i]);
        cr_expect_eq(err.kind, ERR_INVALID);
    }
}

Test(config, the_example_parses_back) {
    AUTO_BUF struct buf example = BUF(16384);
    config_print_example(&table, &example);
    put_file("commented", buf_str(&example));
    ASSERT_LOADS("--config", "commented");
    cr_assert_eq(origins.of[0], CONFIG_DEFAULT);
    /* With every setting that has a default uncommented it still gives the defaults. */
    for (size_t i = 0; i < table.count; i++) {
        AUTO_FREE char *line = mem_printf("\n#%s = ", entries[i].key);
        char *at = strstr(example.data, line);
        cr_assert_not_null(at, "%s", line);
        if (entries[i].def)
            at[1] = ' ';
    }
    put_file("open", buf_str(&example));
    ASSERT_LOADS("--config", "open");
    cr_assert_eq(origins.of[0], CONFIG_FILE);
    cr_assert_str_eq(s.listen, "127.0.0.1:8710");
    cr_assert_eq(s.lease_ms, 15000);
}

Test(config, the_effective_settings_parse_back) {
    AUTO_BUF struct buf out = BUF(16384);
    ASSERT_LOADS("--listen= a # b", "--lease=90s", "--docker-host=\"q\"");
    config_print_effective(&table, &s, &origins, &out);
    cr_assert_not_null(strstr(buf_str(&out), "lease = 1m30s  # command line\n"));
    cr_assert_not_null(strstr(buf_str(&out), "# slots =   # not set\n"));
    put_file("f", buf_str(&out));
    config_free(&table, &s);
    ASSERT_LOADS("--config", "f");
    cr_assert_str_eq(s.listen, " a # b");
    cr_assert_str_eq(s.docker, "\"q\"");
    cr_assert_eq(s.lease_ms, 90000);
}

Test(config, help_names_every_setting) {
    AUTO_BUF struct buf out = BUF(16384);
    config_print_help(&table, &out);
    cr_assert_not_null(strstr(buf_str(&out), "--config FILE"));
    cr_assert_not_null(
        strstr(buf_str(&out),
               "--max-memory SIZE\n        Ceiling. Default 512m; from 1k to 1t; BERTH_MAX_MEMORY.\n"),
        "%s", buf_str(&out));
    cr_assert_not_null(strstr(buf_str(&out), "BERTH_ADMIN_TOKEN, or from a file: BERTH_ADMIN_TOKEN_FILE.\n"));
}

Test(config, other_variables) {
    cr_assert_null(config_env("HOME"));
    setenv("HOME", "", 1);
    cr_assert_null(config_env("HOME"));
    setenv("HOME", "/h", 1);
    cr_assert_str_eq(config_env("HOME"), "/h");
}
