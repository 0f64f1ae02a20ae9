/* berth logs: what is stored, or with -f what comes. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "client/command.h"
#include "client/watch.h"

struct logs_options {
    struct printer printer;
    bool follow, help;
    int64_t tail; /* -1: all */
    const char *stream;
    int64_t attempt; /* 0: the newest */
};

static int take_number(const char *value, int64_t max, int64_t *ret, struct err *err) {
    char *end;
    long long n = strtoll(value, &end, 10);
    if (end == value || *end || n < 0 || n > max)
        return err_set(err, ERR_USAGE, 0, "'%s' is not a number from 0 to %lld", value, (long long)max);
    *ret = n;
    return 0;
}

static int take_tail(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    (void)self;
    return take_number(value, 1000000, &((struct logs_options *)arg)->tail, err);
}
static int take_attempt(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    (void)self;
    return take_number(value, 1000, &((struct logs_options *)arg)->attempt, err);
}

static const struct option_spec table[] = {
    {"--follow", 'f', false, option_take_flag, "go on until the job ends",
     .offset = offsetof(struct logs_options, follow)},
    {"--tail", 'n', true, take_tail, "N only the last lines"},
    {"--timestamps", 't', false, option_take_flag, "the time before each line",
     .offset = offsetof(struct logs_options, printer.timestamps)},
    {"--stream", 0, true, option_take_text, "NAME only stdout, stderr, system or service:NAME",
     .offset = offsetof(struct logs_options, stream)},
    {"--attempt", 0, true, take_attempt, "N of this attempt instead of the newest"},
    {"--help", 'h', false, option_take_flag, "show this", .offset = offsetof(struct logs_options, help)},
};

static int on_message(void *arg, const struct message *m, struct err *err) {
    return print_message(&((struct logs_options *)arg)->printer, m, err);
}

static int on_line(void *arg, const char *line, size_t len, struct err *err) {
    struct message m = {0};
    if (message_parse(line, len, &m, err) < 0)
        return err_wrap(err, "a line of the log");
    int rc = print_message(&((struct logs_options *)arg)->printer, &m, err);
    message_done(&m);
    return rc;
}

static int print_stored(struct remote *remote, const char *id, struct logs_options *options,
                        struct err *err) {
    AUTO_FREE char *stream = options->stream ? remote_escape(remote, options->stream) : NULL;
    AUTO_BUF struct buf path = BUF(1024);
    buf_addf(&path, "/v1/jobs/%s/logs?", id);
    if (options->tail >= 0)
        buf_addf(&path, "tail=%lld&", (long long)options->tail);
    if (options->attempt)
        buf_addf(&path, "attempt=%lld&", (long long)options->attempt);
    if (stream)
        buf_addf(&path, "stream=%s&", stream);
    path.data[--path.len] = '\0';
    return remote_lines(remote, buf_str(&path), "application/x-ndjson", on_line, options, err);
}

static int follow(struct remote *remote, const char *id, struct logs_options *options, struct err *err) {
    /* Asked first over HTTP, where a wrong id or token is told best. */
    AUTO_FREE char *path = mem_printf("/v1/jobs/%s", id);
    if (remote_call(remote, "GET", path, NULL, NULL, NULL, err) < 0)
        return -1;
    struct watch watch = {.remote = remote,
                          .job = id,
                          .stream = options->stream,
                          .tail = options->tail,
                          .attempt = (int)options->attempt,
                          .on_message = on_message,
                          .arg = options};
    return watch_run(&watch, err);
}

int command_logs(int argc, char **argv) {
    struct logs_options options = {.tail = -1};
    struct err err = {0};
    int first = options_parse(table, ARRAY_LEN(table), &options, argc, argv, &err);
    if (first >= 0 && options.help) {
        puts("usage: berth logs [-f] [-n N] [-t] [--stream NAME] JOB");
        options_print(table, ARRAY_LEN(table));
        puts(
            "stdout goes to standard output, all else to standard error: stderr as it is, lines of a service "
            "with\n"
            "\"NAME | \" before them, Berth's own with \"system | \", unless --stream asks for one of them.");
        return EXIT_OK;
    }
    /* As with docker: options may stand behind the job, too. */
    if (first >= 0 && first + 1 < argc && argv[first + 1][0] == '-') {
        int more = options_parse(table, ARRAY_LEN(table), &options, argc - first, argv + first, &err);
        if (more >= 0 && first + more != argc)
            more = err_set(&err, ERR_USAGE, 0, "'%s' is one word too many", argv[first + more]);
        argc = more < 0 ? 0 : first + 1;
    }
    if (first >= 0 && argc && first + 1 != argc)
        err_set(&err, ERR_USAGE, 0, "name one job (its id or a unique beginning of it)");
    if (first < 0 || first + 1 != argc)
        return complain_usage("logs", &err);
    AUTO_REMOTE struct remote remote = {0};
    char id[ID_TEXT_MAX];
    options.printer.bare = options.stream;
    if (remote_open(&remote, &err) < 0 || job_resolve(&remote, argv[first], id, &err) < 0 ||
        (options.follow ? follow(&remote, id, &options, &err) : print_stored(&remote, id, &options, &err)) <
            0)
        return complain(EXIT_ERRORED, &err);
    return EXIT_OK;
}
