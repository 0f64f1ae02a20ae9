/* The flags of docker run become a job. */
#include "client/run_flags.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "base/fdutil.h"
#include "base/json.h"
#include "base/mem.h"
#include "client/command.h"
#include "proto/spec.h"

/* The object that holds the last name of "limits.memory", made when missing; *ret_key is that name. */
static json_t *holder(json_t *spec, const char *member, const char **ret_key) {
    const char *dot = strchr(member, '.');
    if (!dot) {
        *ret_key = member;
        return spec;
    }
    AUTO_FREE char *outer = mem_strndup(member, (size_t)(dot - member));
    if (!json_object_get(spec, outer))
        json_object_set_new(spec, outer, json_object());
    *ret_key = dot + 1;
    return json_object_get(spec, outer);
}

static int put(struct run_flags *flags, const struct option_spec *self, json_t *value, struct err *err) {
    const char *key;
    json_t *object = holder(flags->spec, self->member, &key);
    if (!value || json_object_set_new(object, key, value) < 0)
        return err_set(err, ERR_USAGE, 0, "the value is not UTF-8");
    return 0;
}

static int take_text(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    return put(arg, self, json_string(value), err);
}

static int take_number(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    json_t *number = json_loads(value, JSON_DECODE_ANY, NULL);
    if (!json_is_number(number)) {
        json_decref(number);
        return err_set(err, ERR_USAGE, 0, "'%s' is not a number", value);
    }
    return put(arg, self, number, err);
}

static int take_true(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    (void)value;
    return put(arg, self, json_true(), err);
}

static int take_list(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    const char *key;
    json_t *object = holder(((struct run_flags *)arg)->spec, self->member, &key);
    if (!json_object_get(object, key))
        json_object_set_new(object, key, json_array());
    if (json_array_append_new(json_object_get(object, key), json_string(value)) < 0)
        return err_set(err, ERR_USAGE, 0, "the value is not UTF-8");
    return 0;
}

/* "NAME=value"; for the environment also "NAME" alone: our own value, as docker does. */
static int put_pair(struct run_flags *flags, const struct option_spec *self, const char *text, char separator,
                    struct err *err) {
    const char *key;
    json_t *object = holder(flags->spec, self->member, &key);
    if (!json_object_get(object, key))
        json_object_set_new(object, key, json_object());
    const char *cut = strchr(text, separator);
    AUTO_FREE char *name = cut ? mem_strndup(text, (size_t)(cut - text)) : mem_strdup(text);
    const char *value = cut                                                    ? cut + 1
                        : separator == '=' && strcmp(self->member, "env") == 0 ? config_env(name)
                                                                               : "";
    if (!value)
        return 0;
    if (json_object_set_new(json_object_get(object, key), name, json_string(value)) < 0)
        return err_set(err, ERR_USAGE, 0, "'%s' is not UTF-8", text);
    return 0;
}

static int take_pair(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    return put_pair(arg, self, value, '=', err);
}

static int take_env_file(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    AUTO_BUF struct buf text = BUF(0);
    if (file_read(AT_FDCWD, value, SPEC_BYTES_MAX, &text, err) < 0)
        return -1;
    char *rest = text.data;
    for (char *line; rest && (line = strsep(&rest, "\n"));)
        if (*line && *line != '#' && put_pair(arg, self, line, '=', err) < 0)
            return -1;
    return 0;
}

/* "/path:size=64m" as docker has it, or "/path". */
static int take_tmpfs(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    const char *colon = strchr(value, ':');
    const char *bytes = !colon ? "64m" : strncmp(colon + 1, "size=", 5) == 0 ? colon + 6 : "";
    if (!*bytes || strchr(bytes, ','))
        return err_set(err, ERR_USAGE, 0, "'%s': behind the colon stands size=BYTES, no more", value);
    AUTO_FREE char *path = mem_strndup(value, strcspn(value, ":"));
    AUTO_FREE char *pair = mem_printf("%s=%s", path, bytes);
    return put_pair(arg, self, pair, '=', err);
}

static int take_ulimit(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    if (strncmp(value, "nofile=", 7) != 0)
        return err_set(err, ERR_USAGE, 0, "'%s': only nofile=N can be set", value);
    return take_number(arg, self, value + 7, err);
}

static int take_cap_drop(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    if (strcasecmp(value, "all") != 0)
        return err_set(err, ERR_USAGE, 0, "'%s': only ALL can be dropped; the default is small already",
                       value);
    return put(arg, self, json_string("none"), err);
}

static int take_entrypoint(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    return put(arg, self, *value ? json_pack("[s]", value) : json_array(), err);
}

static int take_input(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    json_error_t where;
    json_t *input = json_loads(value, JSON_DECODE_ANY | JSON_ALLOW_NUL, &where);
    return input ? put(arg, self, input, err) : err_set(err, ERR_USAGE, 0, "not JSON: %s", where.text);
}

/* --- what is mounted --- */

/* Takes over the mount. */
static int add_mount(struct run_flags *flags, json_t *mount, struct err *err) {
    if (!mount)
        return err_set(err, ERR_USAGE, 0, "the value is not UTF-8");
    if (!json_object_get(flags->spec, "mounts"))
        json_object_set_new(flags->spec, "mounts", json_array());
    json_array_append_new(json_object_get(flags->spec, "mounts"), mount);
    return 0;
}

/* "SOURCE:TARGET[:ro]"; a source with a slash at its beginning is a directory of the host, else a volume. */
static int take_volume(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    (void)self;
    const char *colon = strchr(value, ':');
    if (!colon || colon == value || value[0] == '.')
        return err_set(err, ERR_USAGE, 0,
                       "'%s': write NAME:/where for a volume, /dir:/where for a directory of berthd's host",
                       value);
    AUTO_FREE char *source = mem_strndup(value, (size_t)(colon - value));
    AUTO_FREE char *target = mem_strndup(colon + 1, strcspn(colon + 1, ":"));
    const char *mode = colon + 1 + strlen(target);
    bool read_only = strcmp(mode, ":ro") == 0;
    if (*mode && !read_only && strcmp(mode, ":rw") != 0)
        return err_set(err, ERR_USAGE, 0, "'%s': behind the second colon stands ro or rw, no more", value);
    return add_mount(arg,
                     json_pack("{s:s, s:s, s:s, s:b}", "type", source[0] == '/' ? "bind" : "volume", "source",
                               source, "target", target, "read_only", read_only),
                     err);
}

/* Docker's names for the members of a mount. */
static const char *mount_member(const char *name) {
    static const char *const names[][2] = {
        {"type", "type"},          {"source", "source"},      {"src", "source"},
        {"target", "target"},      {"destination", "target"}, {"dst", "target"},
        {"readonly", "read_only"}, {"ro", "read_only"},       {"tmpfs-size", "size"},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(names[i][0], name) == 0)
            return names[i][1];
    return NULL;
}

static int put_mount_word(json_t *mount, const char *word, struct err *err) {
    const char *cut = strchr(word, '=');
    AUTO_FREE char *name = mem_strndup(word, cut ? (size_t)(cut - word) : strlen(word));
    const char *member = mount_member(name);
    if (!member)
        return err_set(err, ERR_USAGE, 0,
                       "'%s': there are type, source, target, readonly and tmpfs-size, separated by commas",
                       word);
    bool flag = strcmp(member, "read_only") == 0;
    if (!cut && !flag)
        return err_set(err, ERR_USAGE, 0, "'%s' wants a value", word);
    bool on = !cut || strcmp(cut + 1, "true") == 0 || strcmp(cut + 1, "1") == 0;
    if (json_object_set_new(mount, member, flag ? json_boolean(on) : json_string(cut + 1)) < 0)
        return err_set(err, ERR_USAGE, 0, "'%s' is not UTF-8", word);
    return 0;
}

/* "type=volume,source=cache,target=/cache,readonly" */
static int take_mount(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    (void)self;
    AUTO_JSON json_t *mount = json_pack("{s:s}", "type", "volume");
    AUTO_FREE char *copy = mem_strdup(value);
    char *rest = copy;
    for (char *word; (word = strsep(&rest, ","));)
        if (put_mount_word(mount, word, err) < 0)
            return -1;
    return add_mount(arg, json_incref(mount), err);
}

/* --- what runs beside it, before it, again --- */

/* "NAME=IMAGE", or the whole service as the job's JSON has it. */
static int take_service(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    (void)self;
    struct run_flags *flags = arg;
    json_error_t where;
    const char *cut = strchr(value, '=');
    if (*value != '{' && (!cut || cut == value || !cut[1]))
        return err_set(err, ERR_USAGE, 0, "'%s': write NAME=IMAGE, or {\"name\": …, \"image\": …}", value);
    AUTO_FREE char *name = cut ? mem_strndup(value, (size_t)(cut - value)) : NULL;
    json_t *service = *value == '{' ? json_loads(value, JSON_REJECT_DUPLICATES, &where)
                                    : json_pack("{s:s, s:s}", "name", name, "image", cut + 1);
    if (!service)
        return err_set(err, ERR_USAGE, 0, "not JSON: %s", *value == '{' ? where.text : "not UTF-8");
    if (!json_object_get(flags->spec, "services"))
        json_object_set_new(flags->spec, "services", json_array());
    json_array_append_new(json_object_get(flags->spec, "services"), service);
    return 0;
}

/* "KEY[,max=N][,on_conflict=queue|reject|cancel_running]" */
static int take_concurrency(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    AUTO_FREE char *copy = mem_strdup(value);
    char *rest = copy;
    const char *key = strsep(&rest, ",");
    json_t *concurrency = json_pack("{s:s}", "key", key);
    for (char *word; concurrency && (word = strsep(&rest, ","));) {
        bool max = strncmp(word, "max=", 4) == 0, what = strncmp(word, "on_conflict=", 12) == 0;
        char *end = word;
        long n = max ? strtol(word + 4, &end, 10) : 0;
        if ((!max && !what) || (max && (*end || end == word + 4))) {
            json_decref(concurrency);
            return err_set(err, ERR_USAGE, 0,
                           "'%s': behind the key stand max=N and on_conflict=queue, reject or cancel_running",
                           word);
        }
        json_object_set_new(concurrency, max ? "max" : "on_conflict",
                            max ? json_integer(n) : json_string(word + 12));
    }
    return put(arg, self, concurrency, err);
}

/* What docker run users write, and what Berth does anyway. */
static int take_nothing(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    (void)arg, (void)self, (void)value, (void)err;
    return 0;
}

static const struct option_spec table[] = {
    {"--name", 0, true, take_text, "NAME of the job", "name"},
    {"--env", 'e', true, take_pair, "NAME=VALUE in the environment; NAME alone: as it is here", "env"},
    {"--env-file", 0, true, take_env_file, "FILE of such lines", "env"},
    {"--workdir", 'w', true, take_text, "DIR to start in", "workdir"},
    {"--user", 'u', true, take_text, "USER[:GROUP]", "user"},
    {"--entrypoint", 0, true, take_entrypoint, "PROGRAM instead of the image's", "entrypoint"},
    {"--memory", 'm', true, take_text, "BYTES most memory: 512m, 2g", "limits.memory"},
    {"--cpus", 0, true, take_number, "N most CPUs: 1.5", "limits.cpus"},
    {"--pids-limit", 0, true, take_number, "N most processes", "limits.pids"},
    {"--shm-size", 0, true, take_text, "BYTES of /dev/shm", "limits.shm"},
    {"--ulimit", 0, true, take_ulimit, "nofile=N open files", "limits.nofile"},
    {"--log-limit", 0, true, take_text, "BYTES of log that are kept", "limits.log"},
    {"--tmpfs", 0, true, take_tmpfs, "PATH[:size=BYTES] in memory", "limits.tmpfs"},
    {"--volume", 'v', true, take_volume, "SOURCE:PATH[:ro] a volume's name, or a directory of berthd's host",
     NULL},
    {"--mount", 0, true, take_mount,
     "WORDS type=volume|bind|tmpfs,source=…,target=…[,readonly][,tmpfs-size=…]", NULL},
    {"--timeout", 0, true, take_text, "DURATION it may run: 10m", "deadlines.run"},
    {"--idle", 0, true, take_text, "DURATION it may be silent", "deadlines.idle"},
    {"--queue-timeout", 0, true, take_text, "DURATION it may wait to be taken up", "deadlines.queue"},
    {"--stop-signal", 0, true, take_text, "SIGNAL that asks it to end", "stop.signal"},
    {"--stop-timeout", 0, true, take_text, "DURATION between asking and killing", "stop.grace"},
    {"--pull", 0, true, take_text, "WHEN missing, always or never", "pull"},
    {"--network", 0, true, take_text, "CLASS egress, none or private", "network"},
    {"--read-only", 0, false, take_true, "root file system", "hardening.read_only"},
    {"--cap-add", 0, true, take_list, "CAPABILITY", "hardening.cap_add"},
    {"--cap-drop", 0, true, take_cap_drop, "ALL", "hardening.caps"},
    {"--label", 'l', true, take_pair, "KEY=VALUE", "labels"},
    {"--priority", 0, true, take_number, "N before jobs with less", "priority"},
    {"--retry", 0, true, take_number, "N more attempts at most, unless it succeeds", "retry.max"},
    {"--retry-delay", 0, true, take_text, "DURATION before the first of them", "retry.delay"},
    {"--concurrency", 0, true, take_concurrency,
     "KEY one job of it at a time; KEY,max=N,on_conflict=queue|reject|cancel_running", "concurrency"},
    {"--service", 0, true, take_service, "NAME=IMAGE or JSON: a container beside it, reached by its name",
     NULL},
    {"--input", 0, true, take_input, "JSON on standard input", "input"},
    {"--detach", 'd', false, option_take_flag, "print the id and do not wait",
     .offset = offsetof(struct run_flags, detach)},
    {"--quiet", 'q', false, option_take_flag, "say nothing of our own",
     .offset = offsetof(struct run_flags, quiet)},
    {"--rm", 0, false, take_nothing, "(always)", NULL},
    {"--init", 0, false, take_nothing, "(always)", NULL},
    {"--help", 'h', false, option_take_flag, "show this", .offset = offsetof(struct run_flags, help)},
};

int run_flags_parse(struct run_flags *flags, int argc, char **argv, struct err *err) {
    static const struct option_spec command = {.name = "COMMAND", .member = "command"};
    int first = options_parse(table, ARRAY_LEN(table), flags, argc, argv, err);
    if (first < 0 || flags->help)
        return first < 0 ? -1 : 0;
    if (first == argc)
        return err_set(err, ERR_USAGE, 0, "the IMAGE is missing");
    if (json_object_set_new(flags->spec, "image", json_string(argv[first])) < 0)
        return err_set(err, ERR_USAGE, 0, "the image's name is not UTF-8");
    for (int i = first + 1; i < argc; i++)
        if (take_list(flags, &command, argv[i], err) < 0)
            return -1;
    return 0;
}

void run_flags_print(void) {
    puts("usage: berth run [OPTIONS] IMAGE [COMMAND…]");
    options_print(table, ARRAY_LEN(table));
}
