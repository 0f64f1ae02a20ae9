#include "orchestrator/settings.h"

#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/address.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "runner/net/net.h"

enum {
    KEY_BYTES = 32, /* of jwt_key and encryption_key, behind their base64 */
    POLLS_PER_LEASE_MIN = 3,
    INSTANCE_MAX_BYTES = 63,
    TOKEN_MIN_BYTES = 16,
    STATE_DIR_MAX_BYTES = 512, /* sockets and attempts lie below it */
};

enum flags { SECRET = 1, RELOAD = 2 };

static const struct config_entry entries[] = {
#define X(field, key_, env_, type_, def_, min_, max_, flags, help_)                                          \
    {.key = (key_),                                                                                          \
     .env = (env_),                                                                                          \
     .type = CONFIG_##type_,                                                                                 \
     .offset = offsetof(struct settings, field),                                                             \
     .def = (def_),                                                                                          \
     .min = (min_),                                                                                          \
     .max = (max_),                                                                                          \
     .secret = ((flags)&SECRET) != 0,                                                                        \
     .reloadable = ((flags)&RELOAD) != 0,                                                                    \
     .help = (help_)},
#include "orchestrator/settings.def"
#undef X
};
_Static_assert(ARRAY_LEN(entries) <= CONFIG_ENTRIES_MAX, "raise CONFIG_ENTRIES_MAX");

const struct config_table settings_table = {.entries = entries, .count = ARRAY_LEN(entries)};

/* A job that asks for more than may be promised to all of them together would wait for ever. */
static int64_t memory_ceiling(const struct settings *s) {
    return s->memory_bytes > 0 && s->memory_bytes < s->max_memory ? s->memory_bytes : s->max_memory;
}

struct spec_policy settings_policy(const struct settings *s) {
    return (struct spec_policy){
        .default_cpus_milli = s->default_cpus_milli,
        .max_cpus_milli = s->max_cpus_milli,
        .default_memory_bytes = s->default_memory < memory_ceiling(s) ? s->default_memory : memory_ceiling(s),
        .max_memory_bytes = memory_ceiling(s),
        .default_pids = s->default_pids,
        .max_pids = s->max_pids,
        .default_shm_bytes = s->default_shm,
        .max_shm_bytes = s->max_shm,
        .default_nofile = s->default_nofile,
        .max_nofile = s->max_nofile,
        .default_log_bytes = s->default_log,
        .max_log_bytes = s->max_log,
        .max_tmpfs_bytes = s->max_tmpfs,
        .default_queue_ms = s->default_queue,
        .max_queue_ms = s->max_queue,
        .default_pull_ms = s->default_pull,
        .max_pull_ms = s->max_pull,
        .default_start_ms = s->default_start,
        .max_start_ms = s->max_start,
        .default_run_ms = s->default_run,
        .max_run_ms = s->max_run,
        .default_idle_ms = s->default_idle,
        .max_idle_ms = s->max_idle,
        .default_grace_ms = s->default_grace,
        .max_grace_ms = s->max_grace,
        .allowed_caps = s->allowed_caps,
        .bind_roots = s->bind_roots,
    };
}

static unsigned check_addresses(const struct settings *s, struct buf *report) {
    struct address address;
    struct err err;
    unsigned faults = 0;
    if (s->metrics_listen && address_parse(s->metrics_listen, &address, &err) < 0) {
        buf_addf(report, "metrics_listen = %s: %s\n", s->metrics_listen, err.text);
        faults++;
    }
    if (address_parse(s->listen ? s->listen : "", &address, &err) < 0) {
        buf_addf(report, "listen = %s: %s\n", s->listen ? s->listen : "", err.text);
        return faults + 1;
    }
    if (!s->auth && !address_host_is_loopback(address.host)) {
        buf_addf(
            report,
            "auth = off: allowed only when listen is a loopback address, and it is %s; set auth = on, or "
            "listen = 127.0.0.1:8710\n",
            s->listen);
        faults++;
    }
    return faults;
}

static unsigned check_times(const struct settings *s, struct buf *report) {
    char a[UNITS_TEXT_MAX], b[UNITS_TEXT_MAX];
    unsigned faults = 0;
    if (s->lease_ms < POLLS_PER_LEASE_MIN * s->poll_interval_ms) {
        buf_addf(report, "lease = %s: must be at least three times poll_interval, which is %s\n",
                 units_format_duration(s->lease_ms, a), units_format_duration(s->poll_interval_ms, b));
        faults++;
    }
    if (s->lost_after_ms < s->lease_ms) {
        buf_addf(report, "lost_after = %s: must not be shorter than lease, which is %s\n",
                 units_format_duration(s->lost_after_ms, a), units_format_duration(s->lease_ms, b));
        faults++;
    }
    return faults;
}

static unsigned check_images(const struct settings *s, struct buf *report) {
    char low[UNITS_TEXT_MAX], high[UNITS_TEXT_MAX];
    if (s->images_low_bytes <= s->images_high_bytes)
        return 0;
    buf_addf(report, "images_low = %s: must not be above images_high, which is %s\n",
             units_format_size(s->images_low_bytes, low),
             s->images_high_bytes ? units_format_size(s->images_high_bytes, high) : "not set");
    return 1;
}

static unsigned check_names(const struct settings *s, struct buf *report) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    enum log_level level;
    unsigned faults = 0;
    if (!s->state_dir || s->state_dir[0] != '/' || strlen(s->state_dir) > STATE_DIR_MAX_BYTES) {
        buf_addf(report, "state_dir = %s: must be an absolute path of at most %d bytes\n",
                 s->state_dir ? s->state_dir : "", STATE_DIR_MAX_BYTES);
        faults++;
    }
    if (s->instance && (strlen(s->instance) > INSTANCE_MAX_BYTES ||
                        s->instance[strspn(s->instance, allowed)] || s->instance[0] == '.')) {
        buf_addf(report,
                 "instance = %s: at most %d letters, digits, '.', '_' and '-', not beginning with '.'\n",
                 s->instance, INSTANCE_MAX_BYTES);
        faults++;
    }
    if (!s->log_level || log_level_parse(s->log_level, &level) < 0) {
        buf_addf(report, "log_level = %s: write debug, info, warn or error\n",
                 s->log_level ? s->log_level : "");
        faults++;
    }
    return faults;
}

/* Without a "." or ".." on its way, and no slash twice or at its end. */
static bool is_clean(const char *path) {
    for (const char *p = path; *p == '/'; p += 1 + strcspn(p + 1, "/")) {
        size_t len = strcspn(p + 1, "/");
        if ((len == 0 && p[1]) || (len == 0 && p != path) || (len == 1 && p[1] == '.') ||
            (len == 2 && p[1] == '.' && p[2] == '.'))
            return false;
    }
    return path[0] == '/';
}

static bool lies_below(const char *path, const char *dir) {
    size_t len = strlen(dir);
    while (len && dir[len - 1] == '/')
        len--;
    return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* What no job may reach: with the engine's socket it has the host, with the state directory other jobs'
 * attempts. By name only: the runner looks at what links make of it (runner/mounts.h). NULL: nothing. */
static const char *endangered_by(const struct settings *s, const char *root) {
    static const char unix_host[] = "unix://";
    const char *host = s->docker_host ? s->docker_host : "";
    const char *const sockets[] = {strncmp(host, unix_host, strlen(unix_host)) == 0 ? host + strlen(unix_host)
                                                                                    : NULL,
                                   "/var/run/docker.sock", "/run/docker.sock"};
    for (size_t i = 0; i < ARRAY_LEN(sockets); i++)
        if (sockets[i] && lies_below(sockets[i], root))
            return sockets[i];
    if (s->state_dir && (lies_below(s->state_dir, root) || lies_below(root, s->state_dir)))
        return s->state_dir;
    return NULL;
}

static unsigned check_bind_roots(const struct settings *s, struct buf *report) {
    unsigned faults = 0;
    for (const char *p = s->bind_roots; p; p = strchr(p, ':') ? strchr(p, ':') + 1 : NULL) {
        AUTO_FREE char *root = mem_strndup(p, strcspn(p, ":"));
        const char *endangered = is_clean(root) ? endangered_by(s, root) : NULL;
        if (endangered) {
            buf_addf(report,
                     "bind_roots = %s: \"%s\" would give jobs %s, and with it all of this machine's jobs; "
                     "name a directory that neither holds it nor lies below it\n",
                     s->bind_roots, root, endangered);
            faults++;
        }
        if (is_clean(root))
            continue;
        buf_addf(
            report,
            "bind_roots = %s: \"%s\" must be an absolute path without \".\", \"..\", double slashes and a "
            "slash at its end; separate directories by colons\n",
            s->bind_roots, root);
        faults++;
    }
    return faults;
}

/* What jobs may reach, and what they may see of the host. */
static unsigned check_host(const struct settings *s, struct buf *report) {
    struct err err = {0};
    unsigned faults = check_bind_roots(s, report);
    if (s->docker_config && s->docker_config[0] != '/') {
        buf_addf(report, "docker_config = %s: must be an absolute path\n", s->docker_config);
        faults++;
    }
    if (net_pool_check(s->network_pool ? s->network_pool : "", &err) < 0) {
        buf_addf(report, "network_pool = %s: %s\n", s->network_pool ? s->network_pool : "", err.text);
        faults++;
    }
    if (s->egress_allow && net_filter_check(s->egress_allow, &err) < 0) {
        buf_addf(report, "egress_allow = %s: %s\n", s->egress_allow, err.text);
        faults++;
    }
    return faults;
}

static unsigned check_key(const char *name, const char *value, struct buf *report) {
    unsigned char key[KEY_BYTES + 1];
    size_t len = 0;
    const char *end = NULL;
    if (!value)
        return 0;
    int done = sodium_base642bin(key, sizeof key, value, strlen(value), NULL, &len, &end,
                                 sodium_base64_VARIANT_ORIGINAL);
    explicit_bzero(key, sizeof key);
    if (done == 0 && *end == '\0' && len == KEY_BYTES)
        return 0;
    buf_addf(report, "%s = ***: must be %d bytes in base64, as `openssl rand -base64 %d` prints them\n", name,
             KEY_BYTES, KEY_BYTES);
    return 1;
}

static unsigned check_secrets(const struct settings *s, struct buf *report) {
    unsigned faults = check_key("jwt_key", s->jwt_key, report);
    faults += check_key("encryption_key", s->encryption_key, report);
    if (!s->admin_token)
        return faults;
    bool visible = true;
    for (const char *p = s->admin_token; *p; p++)
        visible = visible && isgraph((unsigned char)*p);
    if (visible && strlen(s->admin_token) >= TOKEN_MIN_BYTES)
        return faults;
    buf_addf(report, "admin_token = ***: must be at least %d visible characters without blanks\n",
             TOKEN_MIN_BYTES);
    return faults + 1;
}

/* Every pair of a default and its ceiling, by the names that they share. */
static unsigned check_ceilings(const struct settings *s, struct buf *report) {
    const struct {
        const char *name;
        int64_t def, max;
    } pairs[] = {
        {"cpus", s->default_cpus_milli, s->max_cpus_milli},
        {"memory", s->default_memory, s->max_memory},
        {"pids", s->default_pids, s->max_pids},
        {"shm", s->default_shm, s->max_shm},
        {"nofile", s->default_nofile, s->max_nofile},
        {"log", s->default_log, s->max_log},
        {"queue", s->default_queue, s->max_queue},
        {"pull", s->default_pull, s->max_pull},
        {"start", s->default_start, s->max_start},
        {"run", s->default_run, s->max_run},
        {"idle", s->default_idle, s->max_idle},
        {"grace", s->default_grace, s->max_grace},
    };
    unsigned faults = 0;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        if (pairs[i].def <= pairs[i].max || pairs[i].max == 0) /* 0: anything */
            continue;
        buf_addf(report, "default_%s: is above max_%s; lower the one or raise the other\n", pairs[i].name,
                 pairs[i].name);
        faults++;
    }
    return faults;
}

unsigned settings_check(const struct settings *s, struct buf *report) {
    return check_addresses(s, report) + check_times(s, report) + check_images(s, report) +
           check_names(s, report) + check_host(s, report) + check_secrets(s, report) +
           check_ceilings(s, report);
}

int settings_load(struct settings *s, char *const *argv, struct config_origins *ret_origins,
                  struct buf *report, struct err *err) {
    struct err why = {0};
    int loaded = config_load(&settings_table, s, argv, ret_origins, report, &why);
    unsigned faults = settings_check(s, report);
    if (loaded < 0) {
        if (err)
            *err = why;
        return -1;
    }
    if (faults)
        return err_set(err, ERR_USAGE, 0, "%.*s", (int)strcspn(buf_str(report), "\n"), buf_str(report));
    return 0;
}
