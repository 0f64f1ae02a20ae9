#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "orchestrator/settings.h"

static struct settings s;
static struct config_origins origins;
static struct err err;
static struct buf report;
static char conf[64];

/* The file that is named keeps one that may lie on this machine out of the test. */
static void begin(void) {
    clearenv();
    snprintf(conf, sizeof conf, "/tmp/berth-test-settings-%d", (int)getpid());
    FILE *f = fopen(conf, "w");
    cr_assert(f);
    fclose(f);
    report = BUF(65536);
}

static void end(void) {
    config_free(&settings_table, &s);
    buf_done(&report);
    unlink(conf);
}

static int load(const char *const *words) {
    char *argv[16] = {"--config", conf};
    size_t n = 2;
    for (; words && *words; words++)
        argv[n++] = (char *)*words;
    return settings_load(&s, argv, &origins, &report, &err);
}
#define LOAD(...) load((const char *const[]){__VA_ARGS__, NULL})

static int faults(void) {
    int n = 0;
    for (const char *p = buf_str(&report); *p; p++)
        n += *p == '\n';
    return n;
}

TestSuite(settings, .init = begin, .fini = end);

Test(settings, defaults_are_right_and_those_of_the_contract) {
    cr_assert_eq(load(NULL), 0, "%s", buf_str(&report));
    cr_expect_str_eq(s.listen, "127.0.0.1:8710");
    cr_expect_str_eq(s.state_dir, "/var/lib/berth");
    cr_expect(s.auth);
    cr_expect_eq(s.poll_interval_ms, 1000);
    cr_expect_eq(s.lease_ms, 15000);
    cr_expect_eq(s.lost_after_ms, 300000);
    cr_expect_eq(s.detach_timeout_ms, 600000);
    cr_expect_eq(s.drain_timeout_ms, 25000);
    cr_expect_eq(s.slots, 0);
    cr_expect_null(s.database_url);
}

Test(settings, the_default_policy_is_the_built_in_one) {
    cr_assert_eq(load(NULL), 0);
    struct spec_policy made = settings_policy(&s), builtin = spec_policy_builtin();
    const int64_t *a = &made.default_cpus_milli, *b = &builtin.default_cpus_milli;
    for (size_t i = 0; i < offsetof(struct spec_policy, allowed_caps) / sizeof *a; i++)
        cr_expect_eq(a[i], b[i], "number %zu of struct spec_policy: %ld, not %ld", i, (long)a[i], (long)b[i]);
    cr_expect_null(made.allowed_caps);
}

Test(settings, all_faults_are_told_together) {
    setenv("BERTH_LEASE", "2m", 1);
    setenv("BERTH_POLL_INTERVAL", "50s", 1);
    cr_expect_eq(
        LOAD("--slotz=4", "--slots=0", "--listen=nowhere", "--state-dir=relative", "--log-level=loud"), -1);
    cr_expect_eq(err.kind, ERR_USAGE);
    const char *text = buf_str(&report);
    cr_expect(strstr(text, "slotz") && strstr(text, "slots"), "the nearest key: %s", text);
    cr_expect(strstr(text, "from 1 to 1024"), "%s", text);
    cr_expect(strstr(text, "listen = nowhere"), "%s", text);
    cr_expect(strstr(text, "state_dir = relative"), "%s", text);
    cr_expect(strstr(text, "log_level = loud"), "%s", text);
    cr_expect(strstr(text, "lease = 2m"), "%s", text);
    cr_expect_eq(faults(), 6, "%s", text);
}

Test(settings, the_low_mark_of_images_is_not_above_the_high_one) {
    cr_expect_eq(LOAD("--images-high=2g", "--images-low=3g"), -1);
    cr_expect(strstr(buf_str(&report), "images_low = 3g: must not be above images_high, which is 2g"), "%s",
              buf_str(&report));
}

Test(settings, a_low_mark_of_images_needs_a_high_one) {
    cr_expect_eq(LOAD("--images-low=1g"), -1);
    cr_expect(strstr(buf_str(&report), "images_low = 1g"), "%s", buf_str(&report));
}

Test(settings, images_and_logs_stay_by_default) {
    cr_expect_eq(LOAD("--images-high=2g", "--images-low=2g"), 0, "%s", buf_str(&report));
    config_free(&settings_table, &s);
    s = (struct settings){0};
    cr_expect_eq(load(NULL), 0, "%s", buf_str(&report));
    cr_expect_eq(s.images_high_bytes, 0);
    cr_expect_eq(s.log_retention_ms, 0);
}

Test(settings, auth_off_needs_a_loopback_address) {
    cr_expect_eq(LOAD("--auth=off", "--listen=0.0.0.0:8710"), -1);
    cr_expect(strstr(buf_str(&report), "auth = off"), "%s", buf_str(&report));
}

Test(settings, auth_off_on_loopback_is_allowed) {
    static const char *const addresses[] = {"--listen=127.0.0.1:1", "--listen=[::1]:80",
                                            "--listen=localhost:8710"};
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        cr_expect_eq(LOAD("--auth=off", addresses[i]), 0, "%s: %s", addresses[i], buf_str(&report));
        config_free(&settings_table, &s);
        s = (struct settings){0};
    }
}

Test(settings, a_name_that_looks_like_loopback_is_none) {
    static const char *const addresses[] = {"--listen=127.0.0.1.example.org:1", "--listen=127.evil:1",
                                            "--listen=localhost.example.org:8710", "--listen=*:8710"};
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        cr_expect_eq(LOAD("--auth=off", addresses[i]), -1, "%s", addresses[i]);
        config_free(&settings_table, &s);
        s = (struct settings){0};
    }
}

Test(settings, every_address_may_be_listened_on) {
    static const char *const addresses[] = {"--listen=*:8710", "--listen=:8710", "--listen=[::]:8710"};
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        cr_expect_eq(LOAD(addresses[i]), 0, "%s: %s", addresses[i], buf_str(&report));
        config_free(&settings_table, &s);
        s = (struct settings){0};
    }
}

Test(settings, addresses_that_are_none) {
    static const char *const addresses[] = {
        "--listen=8710",     "--listen=127.0.0.1:", "--listen=127.0.0.1:65536", "--listen=h:8710",
        "--listen=::1:8710", "--listen=[::1]",      "--listen=a b:8710",        "--listen=1.2.3.4:0"};
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        cr_expect_eq(LOAD(addresses[i]), -1, "%s", addresses[i]);
        config_free(&settings_table, &s);
        s = (struct settings){0};
    }
}

Test(settings, a_default_above_its_ceiling_is_refused) {
    cr_expect_eq(LOAD("--default-memory=2g", "--max-memory=1g", "--default-run=3h", "--max-run=2h"), -1);
    cr_expect(strstr(buf_str(&report), "default_memory") && strstr(buf_str(&report), "default_run"), "%s",
              buf_str(&report));
}

Test(settings, a_default_idle_deadline_has_its_ceiling_too) {
    cr_expect_eq(LOAD("--default-idle=5m", "--max-idle=4m"), -1);
    cr_expect(strstr(buf_str(&report), "default_idle"), "%s", buf_str(&report));
    config_free(&settings_table, &s);
    s = (struct settings){0};
    cr_expect_eq(LOAD("--default-idle=5m"), 0, "%s", buf_str(&report));
}

Test(settings, what_jobs_may_see_and_reach) {
    cr_assert_eq(LOAD("--bind-roots=/srv/ci:/data", "--docker-config=/etc/berth/config.json",
                      "--network-pool=10.0.0.0/8", "--egress-allow=169.254.169.254/32:80,10.0.0.1"),
                 0, "%s", buf_str(&report));
    struct spec_policy policy = settings_policy(&s);
    cr_expect_str_eq(policy.bind_roots, "/srv/ci:/data");
}

Test(settings, no_root_of_binds_gives_jobs_the_engine_or_the_state_directory) {
    static const char *const wrong[] = {"--bind-roots=/",
                                        "--bind-roots=/run",
                                        "--bind-roots=/srv:/var/run",
                                        "--bind-roots=/state",
                                        "--bind-roots=/state/dir",
                                        "--bind-roots=/state/dir/attempts",
                                        "--bind-roots=/eng",
                                        "--bind-roots=/eng/in:/srv",
                                        "--bind-roots=/var",
                                        "--bind-roots=/eng/in/e.sock"};
    static const char *const right[] = {"--bind-roots=/state/dir2", "--bind-roots=/state/di",
                                        "--bind-roots=/eng/in2:/runs", "--bind-roots=/eng/in/x"};
    for (size_t i = 0; i < ARRAY_LEN(wrong) + ARRAY_LEN(right); i++) {
        bool bad = i < ARRAY_LEN(wrong);
        const char *root = bad ? wrong[i] : right[i - ARRAY_LEN(wrong)];
        buf_clear(&report);
        cr_expect_eq(LOAD(root, "--state-dir=/state/dir", "--docker-host=unix:///eng/in/e.sock"), -bad,
                     "%s: %s", root, buf_str(&report));
        cr_expect_eq(faults(), bad, "%s: %s", root, buf_str(&report));
        config_free(&settings_table, &s);
        s = (struct settings){0};
    }
}

Test(settings, what_jobs_may_see_and_reach_is_checked) {
    static const char *const wrong[] = {
        "--bind-roots=srv",         "--bind-roots=/srv/../etc", "--bind-roots=/srv/.",
        "--bind-roots=//srv",       "--bind-roots=/srv/",       "--bind-roots=/srv:",
        "--bind-roots=:/srv",       "--bind-roots=/srv:b",      "--bind-roots=/a//b",
        "--docker-config=c.json",   "--network-pool=10.0.0.0",  "--network-pool=x/16",
        "--network-pool=::/16",     "--egress-allow=nonsense",  "--egress-allow=1.2.3.4:x",
        "--network-pool=1.0.0.0/25"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        buf_clear(&report);
        cr_expect_eq(LOAD(wrong[i]), -1, "%s", wrong[i]);
        cr_expect_eq(faults(), 1, "%s: %s", wrong[i], buf_str(&report));
        config_free(&settings_table, &s);
        s = (struct settings){0};
    }
}

Test(settings, secrets_are_checked_and_never_shown) {
    setenv("BERTH_ADMIN_TOKEN", "short", 1);
    setenv("BERTH_JWT_KEY", "bm90IDMyIGJ5dGVz", 1);
    cr_expect_eq(load(NULL), -1);
    cr_expect_eq(faults(), 2, "%s", buf_str(&report));
    cr_expect(!strstr(buf_str(&report), "short") && !strstr(buf_str(&report), "bm90"), "%s",
              buf_str(&report));
}

Test(settings, cpus_are_written_as_a_decimal_number) {
    cr_assert_eq(LOAD("--cpus=1.5"), 0, "%s", buf_str(&report));
    cr_expect_eq(s.cpus_milli, 1500);
}
