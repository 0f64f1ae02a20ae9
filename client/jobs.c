/* submit, wait, ps, inspect, cancel: one call each, and how its answer is shown. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "client/jobs.h"
#include "proto/spec.h"

int jobs_take_output(void *arg, const struct option_spec *self, const char *value, struct err *err) {
    (void)self;
    return options_take_output(&((struct jobs_options *)arg)->common, value, err);
}

int jobs_begin(const struct option_spec *table, size_t count, const char *usage, struct jobs_options *options,
               int argc, char **argv, int *ret_first, struct remote *remote, int *ret_exit) {
    struct err err = {0};
    int first = options_parse(table, count, options, argc, argv, &err);
    if (first < 0) {
        *ret_exit = complain_usage(argv[0], &err);
        return 0;
    }
    if (options->help) {
        printf("usage: berth %s\n", usage);
        options_print(table, count);
        *ret_exit = EXIT_OK;
        return 0;
    }
    if (remote_open(remote, &err) < 0) {
        *ret_exit = complain(EXIT_ERRORED, &err);
        return 0;
    }
    *ret_first = first;
    return 1;
}

int jobs_missing(const char *command) {
    struct err err;
    err_set(&err, ERR_USAGE, 0, "name at least one job (its id or a unique beginning of it)");
    return complain_usage(command, &err);
}

static int load_spec(const char *file, json_t **ret, struct err *err) {
    AUTO_BUF struct buf text = BUF(SPEC_BYTES_MAX);
    bool standard = strcmp(file, "-") == 0;
    if (standard ? fd_read_all(STDIN_FILENO, &text, err) < 0
                 : file_read(AT_FDCWD, file, SPEC_BYTES_MAX, &text, err) < 0)
        return err_wrap(err, "read the job");
    json_error_t where;
    json_t *doc = json_loadb(buf_str(&text), text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    if (!doc)
        return err_set(err, ERR_INVALID, 0, "%s is not JSON: %s (line %d, column %d)",
                       standard ? "standard input" : file, where.text, where.line, where.column);
    *ret = doc;
    return 0;
}

int command_submit(int argc, char **argv) {
    static const struct option_spec table[] = {{"--file", 'f', true, option_take_text,
                                                "FILE the job as JSON; - is standard input",
                                                .offset = offsetof(struct jobs_options, file)},
                                               OPTION_OUTPUT,
                                               OPTION_HELP};
    struct jobs_options options = {.common.output = OUTPUT_NAME};
    AUTO_REMOTE struct remote remote = {0};
    struct err err = {0};
    int first;
    int status;
    if (!jobs_begin(table, ARRAY_LEN(table), "submit -f FILE|-", &options, argc, argv, &first, &remote,
                    &status))
        return status;
    if (!options.file || first < argc) {
        err_set(&err, ERR_USAGE, 0, options.file ? "'%s' is one word too many" : "-f FILE is missing",
                argv[first < argc ? first : 0]);
        return complain_usage(argv[0], &err);
    }
    AUTO_JSON json_t *spec = NULL;
    AUTO_JSON json_t *job = NULL;
    if (load_spec(options.file, &spec, &err) < 0 ||
        remote_post_once(&remote, "/v1/jobs", spec, &job, &err) < 0)
        return complain(EXIT_ERRORED, &err);
    if (options.common.output == OUTPUT_JSON)
        print_json(job);
    else
        puts(json_get_string(job, "id") ? json_get_string(job, "id") : "");
    return EXIT_OK;
}

int command_wait(int argc, char **argv) {
    static const struct option_spec table[] = {OPTION_OUTPUT, OPTION_QUIET, OPTION_HELP};
    struct jobs_options options = {0};
    AUTO_REMOTE struct remote remote = {0};
    struct err err = {0};
    char id[ID_TEXT_MAX];
    int first;
    int status;
    if (!jobs_begin(table, ARRAY_LEN(table), "wait JOB", &options, argc, argv, &first, &remote, &status))
        return status;
    if (first + 1 != argc) {
        err_set(&err, ERR_USAGE, 0, "name one job (its id or a unique beginning of it)");
        return complain_usage(argv[0], &err);
    }
    AUTO_JSON json_t *job = NULL;
    if (job_resolve(&remote, argv[first], id, &err) < 0 || job_wait(&remote, id, &job, &err) < 0)
        return complain(EXIT_ERRORED, &err);
    if (options.common.output == OUTPUT_JSON)
        print_json(job);
    else if (!options.common.quiet)
        fprintf(stderr, "%s%s%s\n", json_get_string(job, "status"),
                json_get_string(job, "message") ? ": " : "",
                json_get_string(job, "message") ? json_get_string(job, "message") : "");
    return job_exit_status(job);
}

static void print_age(const json_t *job, char out[32]) {
    int64_t created_us = 0;
    const char *text = json_get_string(job, "created_at");
    if (!text || clock_parse_rfc3339(text, &created_us, NULL) < 0) {
        snprintf(out, 32, "-");
        return;
    }
    int64_t s = (clock_real_us() - created_us) / US_PER_S;
    static const struct {
        int64_t below, unit;
        char letter;
    } steps[] = {{120, 1, 's'}, {7200, 60, 'm'}, {172800, 3600, 'h'}, {INT64_MAX, 86400, 'd'}};
    size_t i = 0;
    while (s >= steps[i].below)
        i++;
    snprintf(out, 32, "%lld%c", (long long)(s / steps[i].unit), steps[i].letter);
}

static void print_row(const json_t *job) {
    char age[32];
    print_age(job, age);
    AUTO_FREE char *state = state_of(job);
    const char *name = json_get_string(job, "name");
    const char *image = json_get_string(json_object_get(job, "spec"), "image");
    printf("%-36s  %-26s  %-5s  %-20.20s  %s\n", json_get_string(job, "id"), state, age, name ? name : "-",
           image ? image : "-");
}

static void print_heading(const struct jobs_options *options) {
    if (options->common.output == OUTPUT_TABLE && !options->common.quiet)
        printf("%-36s  %-26s  %-5s  %-20s  %s\n", "ID", "STATUS", "AGE", "NAME", "IMAGE");
}

/* One page after the other; *ret_all collects the items for JSON. */
static int list_jobs(struct remote *remote, const struct jobs_options *options, json_t *ret_all,
                     struct err *err) {
    static const char active[] = "&status=scheduled,queued,preparing,running,retrying,canceling,lost";
    AUTO_FREE char *cursor = NULL;
    for (int pages = 0; pages < COMMAND_PAGES_MAX; pages++) {
        AUTO_JSON json_t *page = NULL;
        AUTO_FREE char *escaped = cursor ? remote_escape(remote, cursor) : NULL;
        AUTO_FREE char *path = mem_printf("/v1/jobs?limit=%d%s%s%s", COMMAND_PAGE, options->all ? "" : active,
                                          escaped ? "&cursor=" : "", escaped ? escaped : "");
        if (remote_call(remote, "GET", path, NULL, NULL, &page, err) < 0)
            return -1;
        if (pages == 0)
            print_heading(options);
        size_t i;
        json_t *job;
        json_array_foreach(json_object_get(page, "items"), i, job) {
            if (options->common.output == OUTPUT_JSON)
                json_array_append(ret_all, job);
            else if (options->common.output == OUTPUT_NAME || options->common.quiet)
                puts(json_get_string(job, "id"));
            else
                print_row(job);
        }
        const char *next = json_get_string(page, "next");
        if (!next)
            return 0;
        free(cursor);
        cursor = mem_strdup(next);
    }
    return 0;
}

int command_ps(int argc, char **argv) {
    static const struct option_spec table[] = {{"--all", 'a', false, option_take_flag, "ended jobs too",
                                                .offset = offsetof(struct jobs_options, all)},
                                               OPTION_OUTPUT,
                                               OPTION_QUIET,
                                               OPTION_HELP};
    struct jobs_options options = {0};
    AUTO_REMOTE struct remote remote = {0};
    struct err err = {0};
    int first;
    int status;
    if (!jobs_begin(table, ARRAY_LEN(table), "ps [-a]", &options, argc, argv, &first, &remote, &status))
        return status;
    if (first < argc) {
        err_set(&err, ERR_USAGE, 0, "'%s' is one word too many", argv[first]);
        return complain_usage(argv[0], &err);
    }
    AUTO_JSON json_t *all = json_array();
    if (list_jobs(&remote, &options, all, &err) < 0)
        return complain(EXIT_ERRORED, &err);
    if (options.common.output == OUTPUT_JSON)
        print_json(all);
    return EXIT_OK;
}

int jobs_each(struct remote *remote, int argc, char **argv, int first, const struct jobs_options *options,
              jobs_act *act) {
    int status = EXIT_OK;
    for (int i = first; i < argc; i++) {
        struct err err = {0};
        char id[ID_TEXT_MAX];
        if (job_resolve(remote, argv[i], id, &err) < 0 || act(remote, id, options, &err) < 0)
            status = complain(EXIT_ERRORED, &err);
    }
    return status;
}

static int inspect_one(struct remote *remote, const char *id, const struct jobs_options *options,
                       struct err *err) {
    (void)options;
    AUTO_JSON json_t *job = NULL;
    AUTO_FREE char *path = mem_printf("/v1/jobs/%s", id);
    if (remote_call(remote, "GET", path, NULL, NULL, &job, err) < 0)
        return -1;
    print_json(job);
    return 0;
}

int command_inspect(int argc, char **argv) {
    static const struct option_spec table[] = {OPTION_HELP};
    struct jobs_options options = {0};
    AUTO_REMOTE struct remote remote = {0};
    int first;
    int status;
    if (!jobs_begin(table, ARRAY_LEN(table), "inspect JOB…", &options, argc, argv, &first, &remote, &status))
        return status;
    return first == argc ? jobs_missing(argv[0])
                         : jobs_each(&remote, argc, argv, first, &options, inspect_one);
}

static int cancel_one(struct remote *remote, const char *id, const struct jobs_options *options,
                      struct err *err) {
    AUTO_JSON json_t *body = json_pack("{s:b}", "force", options->force);
    AUTO_FREE char *path = mem_printf("/v1/jobs/%s/cancel", id);
    return remote_call(remote, "POST", path, body, NULL, NULL, err) < 0 ? -1 : 0;
}

int command_cancel(int argc, char **argv) {
    static const struct option_spec table[] = {{"--force", 'f', false, option_take_flag, "kill without grace",
                                                .offset = offsetof(struct jobs_options, force)},
                                               OPTION_HELP};
    struct jobs_options options = {0};
    AUTO_REMOTE struct remote remote = {0};
    int first;
    int status;
    if (!jobs_begin(table, ARRAY_LEN(table), "cancel [--force] JOB…", &options, argc, argv, &first, &remote,
                    &status))
        return status;
    return first == argc ? jobs_missing(argv[0])
                         : jobs_each(&remote, argc, argv, first, &options, cancel_one);
}
