/* berth run: the flags of docker run become a job; its output is followed; its end is our exit status. */
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/config.h"
#include "base/fdutil.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "client/command.h"
#include "client/watch.h"
#include "proto/spec.h"

struct run {
    json_t *spec;
    bool detach, quiet, help;
    struct remote remote;
    char id[ID_TEXT_MAX];
    int early_interrupts; /* before the job's id was known */
    int interrupts;
    struct printer printer;
};

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

static int put(struct run *run, const struct option_spec *self, json_t *value, struct err *err) {
    const char *key;
    json_t *object = holder(run->spec, self->member, &key);
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
    json_t *object = holder(((struct run *)arg)->spec, self->member, &key);
    if (!json_object_get(object, key))
        json_object_set_new(object, key, json_array());
    if (json_array_append_new(json_object_get(object, key), json_string(value)) < 0)
        return err_set(err, ERR_USAGE, 0, "the value is not UTF-8");
    return 0;
}

/* "NAME=value"; for the environment also "NAME" alone: our own value, as docker does. */
static int put_pair(struct run *run, const struct option_spec *self, const char *text, char separator,
                    struct err *err) {
    const char *key;
    json_t *object = holder(run->spec, self->member, &key);
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
    AUTO_FREE char *path = mem_strndup(value, strcspn(value, ":"));
    const char *size = strstr(value, "size=");
    AUTO_FREE char *bytes = size ? mem_strndup(size + 5, strcspn(size + 5, ",")) : mem_strdup("64m");
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
    {"--timeout", 0, true, take_text, "DURATION it may run: 10m", "deadlines.run"},
    {"--stop-signal", 0, true, take_text, "SIGNAL that asks it to end", "stop.signal"},
    {"--stop-timeout", 0, true, take_text, "DURATION between asking and killing", "stop.grace"},
    {"--pull", 0, true, take_text, "WHEN missing, always or never", "pull"},
    {"--network", 0, true, take_text, "CLASS egress or none", "network"},
    {"--read-only", 0, false, take_true, "root file system", "hardening.read_only"},
    {"--cap-add", 0, true, take_list, "CAPABILITY", "hardening.cap_add"},
    {"--cap-drop", 0, true, take_cap_drop, "ALL", "hardening.caps"},
    {"--label", 'l', true, take_pair, "KEY=VALUE", "labels"},
    {"--priority", 0, true, take_number, "N before jobs with less", "priority"},
    {"--input", 0, true, take_input, "JSON on standard input", "input"},
    {"--detach", 'd', false, option_take_flag, "print the id and do not wait",
     .offset = offsetof(struct run, detach)},
    {"--quiet", 'q', false, option_take_flag, "say nothing of our own",
     .offset = offsetof(struct run, quiet)},
    {"--rm", 0, false, take_nothing, "(always)", NULL},
    {"--init", 0, false, take_nothing, "(always)", NULL},
    {"--help", 'h', false, option_take_flag, "show this", .offset = offsetof(struct run, help)},
};

static void on_interrupt(void *arg) {
    struct run *run = arg;
    struct err err = {0};
    bool force = run->interrupts++ > 0;
    /* A handle of its own: the first one may be in the middle of something. */
    AUTO_REMOTE struct remote remote = {0};
    AUTO_JSON json_t *body = json_pack("{s:b}", "force", force);
    AUTO_FREE char *path = mem_printf("/v1/jobs/%s/cancel", run->id);
    if (!run->quiet)
        fprintf(stderr,
                force ? "berth: killing the job\n" : "berth: canceling; once more kills without grace\n");
    if (remote_open(&remote, &err) < 0 ||
        (remote_call(&remote, "POST", path, body, NULL, NULL, &err) < 0 && err.code != 409))
        fprintf(stderr, "berth: job %s could not be canceled: %s\n", run->id, err.text);
}

static sigset_t interrupt_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

/* The signals are blocked from before the submission to the end: watch_run takes them by itself, this looks
 * for them in the calls before and after. Not 0 breaks the call off. */
static int look_for_interrupt(void *arg) {
    struct run *run = arg;
    const sigset_t set = interrupt_signals();
    if (sigtimedwait(&set, NULL, &(struct timespec){0}) < 0)
        return 0;
    if (!run->id[0])
        return run->early_interrupts++ > 0;
    on_interrupt(run);
    return 0;
}

static void hold_interrupts(struct run *run) {
    const sigset_t set = interrupt_signals();
    sigprocmask(SIG_BLOCK, &set, NULL);
    run->remote.on_wait = look_for_interrupt;
    run->remote.arg = run;
}

static int on_message(void *arg, const struct message *m, struct err *err) {
    return print_message(&((struct run *)arg)->printer, m, err);
}

static int submit(struct run *run, struct err *err) {
    AUTO_JSON json_t *job = NULL;
    char key[ID_TEXT_MAX];
    id_new_v7(key);
    if (remote_call(&run->remote, "POST", "/v1/jobs", run->spec, key, &job, err) < 0)
        return run->early_interrupts < 2 ? -1
                                         : err_set(err, ERR_CANCELED, 0,
                                                   "interrupted before %s had answered: whether it has the "
                                                   "job is not known",
                                                   run->remote.url);
    const char *id = json_get_string(job, "id");
    if (!id || !id_valid(id))
        return err_set(err, ERR_INVALID, 0, "%s does not answer like Berth", run->remote.url);
    snprintf(run->id, sizeof run->id, "%s", id);
    if (run->early_interrupts)
        on_interrupt(run);
    return 0;
}

static int follow(struct run *run, struct err *err) {
    struct watch watch = {.remote = &run->remote,
                          .job = run->id,
                          .tail = -1,
                          .on_message = on_message,
                          .on_interrupt = on_interrupt,
                          .arg = run};
    AUTO_JSON json_t *job = NULL;
    if (watch_run(&watch, err) < 0 || job_wait(&run->remote, run->id, &job, err) < 0)
        return -1;
    const char *message = json_get_string(job, "message");
    int status = job_exit_status(job);
    if (message && status != EXIT_OK && !run->quiet)
        fprintf(stderr, "berth: job %s %s: %s\n", run->id, json_get_string(job, "status"), message);
    return status;
}

static void run_done(struct run *run) {
    json_decref(run->spec);
    remote_done(&run->remote);
}
#define AUTO_RUN CLEANUP(run_done)

int command_run(int argc, char **argv) {
    AUTO_RUN struct run run = {.spec = json_object()};
    struct err err = {0};
    int first = options_parse(table, ARRAY_LEN(table), &run, argc, argv, &err);
    if (first >= 0 && run.help) {
        puts("usage: berth run [OPTIONS] IMAGE [COMMAND…]");
        options_print(table, ARRAY_LEN(table));
        return EXIT_OK;
    }
    if (first == argc)
        first = err_set(&err, ERR_USAGE, 0, "the IMAGE is missing");
    if (first < 0)
        return complain_usage("run", &err);
    json_object_set_new(run.spec, "image", json_string(argv[first]));
    static const struct option_spec command = {.name = "COMMAND", .member = "command"};
    for (int i = first + 1; i < argc; i++)
        if (take_list(&run, &command, argv[i], &err) < 0)
            return complain_usage("run", &err);
    if (remote_open(&run.remote, &err) < 0)
        return complain(EXIT_ERRORED, &err);
    if (!run.detach)
        hold_interrupts(&run);
    if (submit(&run, &err) < 0)
        return complain(EXIT_ERRORED, &err);
    if (run.detach) {
        puts(run.id);
        return EXIT_OK;
    }
    int status = follow(&run, &err);
    return status < 0 ? complain(EXIT_ERRORED, &err) : status;
}
