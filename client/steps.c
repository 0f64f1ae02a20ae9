/* explain, extend, retry: where a job is, and what can be done to it but canceling it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "client/jobs.h"
#include "proto/status.h"

const char *text_of(const json_t *doc, const char *key) {
    const char *text = json_get_string(doc, key);
    return text ? text : "";
}

/* Whether the word only fills the reason's place. */
static bool is_plain(const char *status, const char *word) {
#define X(of, plain)                                                                                         \
    if (strcmp(status, of) == 0 && strcmp(word, plain) == 0)                                                 \
        return true;
    PLAIN_REASON_TABLE(X)
#undef X
    return false;
}

char *state_of(const json_t *doc) {
    const char *status = text_of(doc, "status"), *word = text_of(doc, "reason");
    bool told = *word && !is_plain(status, word);
    return mem_printf("%s%s%s", status, told ? "/" : "", told ? word : "");
}

static void print_line(const char *what, const char *text) {
    if (*text)
        printf("%-8s  %s\n", what, text);
}

static void print_explanation(const json_t *doc) {
    AUTO_FREE char *state = state_of(doc);
    print_line("job", text_of(doc, "id"));
    print_line("status", state);
    print_line("message", text_of(doc, "message"));
    if (json_is_integer(json_object_get(doc, "position")))
        printf("%-8s  %" PRId64 "\n", "position", json_get_int(doc, "position", 0));
    size_t i;
    const json_t *wait;
    json_array_foreach(json_object_get(doc, "waiting_for"), i, wait) {
        AUTO_FREE char *line = mem_printf("%s: %s", text_of(wait, "limit"), text_of(wait, "detail"));
        print_line(i ? "" : "waits", line);
    }
    print_line("next", text_of(doc, "next"));
}

static int explain_one(struct remote *remote, const char *id, const struct jobs_options *options,
                       struct err *err) {
    AUTO_JSON json_t *doc = NULL;
    AUTO_FREE char *path = mem_printf("/v1/jobs/%s/explain", id);
    if (remote_call(remote, "GET", path, NULL, NULL, &doc, err) < 0)
        return -1;
    if (options->common.output == OUTPUT_JSON)
        print_json(doc);
    else if (options->common.output == OUTPUT_NAME)
        puts(text_of(doc, "id"));
    else
        print_explanation(doc);
    return 0;
}

int command_explain(int argc, char **argv) {
    static const struct option_spec table[] = {OPTION_OUTPUT, OPTION_HELP};
    struct jobs_options options = {0};
    AUTO_REMOTE struct remote remote = {0};
    int first;
    int status;
    if (!jobs_begin(table, ARRAY_LEN(table), "explain JOB…", &options, argc, argv, &first, &remote, &status))
        return status;
    return first == argc ? jobs_missing(argv[0])
                         : jobs_each(&remote, argc, argv, first, &options, explain_one);
}

/* One call that answers with a job; The table form says this member of it. keyed: the server remembers its
 * key, so that it may be repeated. */
static int change_job(struct remote *remote, const char *name, const char *call, bool keyed,
                      const json_t *body, const struct jobs_options *options, const char *member,
                      struct err *err) {
    AUTO_JSON json_t *job = NULL;
    char id[ID_TEXT_MAX];
    if (job_resolve(remote, name, id, err) < 0)
        return -1;
    AUTO_FREE char *path = mem_printf("/v1/jobs/%s/%s", id, call);
    int status = keyed ? remote_post_once(remote, path, body, &job, err)
                       : remote_call(remote, "POST", path, body, NULL, &job, err);
    if (status < 0)
        return -1;
    if (options->common.output == OUTPUT_JSON)
        print_json(job);
    else if (!options->common.quiet)
        puts(text_of(job, options->common.output == OUTPUT_NAME ? "id" : member));
    return 0;
}

int command_extend(int argc, char **argv) {
    static const struct option_spec table[] = {OPTION_OUTPUT, OPTION_QUIET, OPTION_HELP};
    struct jobs_options options = {0};
    AUTO_REMOTE struct remote remote = {0};
    struct err err = {0};
    int first;
    int status;
    if (!jobs_begin(table, ARRAY_LEN(table), "extend JOB DURATION", &options, argc, argv, &first, &remote,
                    &status))
        return status;
    if (first + 2 != argc) {
        err_set(&err, ERR_USAGE, 0, "name one job, and how much longer it may run: 10m");
        return complain_usage(argv[0], &err);
    }
    AUTO_JSON json_t *body = json_pack("{s:s}", "run", argv[first + 1]);
    if (!body) {
        err_set(&err, ERR_USAGE, 0, "the duration is not UTF-8");
        return complain_usage(argv[0], &err);
    }
    /* Repeated, it would move the deadline again. */
    status = change_job(&remote, argv[first], "extend", false, body, &options, "deadline_at", &err);
    return status < 0 ? complain(EXIT_ERRORED, &err) : EXIT_OK;
}

int command_retry(int argc, char **argv) {
    static const struct option_spec table[] = {OPTION_OUTPUT, OPTION_QUIET, OPTION_HELP};
    struct jobs_options options = {0};
    AUTO_REMOTE struct remote remote = {0};
    struct err err = {0};
    int first;
    int status;
    if (!jobs_begin(table, ARRAY_LEN(table), "retry JOB", &options, argc, argv, &first, &remote, &status))
        return status;
    if (first + 1 != argc) {
        err_set(&err, ERR_USAGE, 0, "name one job (its id or a unique beginning of it)");
        return complain_usage(argv[0], &err);
    }
    status = change_job(&remote, argv[first], "retry", true, NULL, &options, "id", &err);
    return status < 0 ? complain(EXIT_ERRORED, &err) : EXIT_OK;
}
