#include "client/command.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/ctx.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "client/remote.h"
#include "client/watch.h"
#include "proto/status.h"

int complain(int status, const struct err *err) {
    bool spec_is_wrong = err->kind == ERR_INVALID && err->code == REMOTE_SPEC_WRONG;
    fprintf(stderr, "berth: %s\n", err->text);
    return err->kind == ERR_USAGE || spec_is_wrong ? EXIT_WRONG_USAGE : status;
}

int complain_usage(const char *command, const struct err *err) {
    fprintf(stderr, "berth %s: %s\nSee 'berth %s --help'.\n", command, err->text, command);
    return EXIT_WRONG_USAGE;
}

void print_json(const json_t *doc) {
    json_dumpf(doc, stdout, JSON_INDENT(2));
    putchar('\n');
}

/* Counts the jobs of one page that begin with `name`; keeps the first. Only ids are compared. */
static int count_matches(const json_t *page, const char *name, char ret_id[ID_TEXT_MAX]) {
    int matches = 0;
    size_t i;
    json_t *job;
    json_array_foreach(json_object_get(page, "items"), i, job) {
        const char *id = json_get_string(job, "id");
        if (id && strncmp(id, name, strlen(name)) == 0 && matches++ == 0)
            snprintf(ret_id, ID_TEXT_MAX, "%s", id);
    }
    return matches;
}

static int next_page(struct remote *remote, const char *cursor, json_t **ret_page, struct err *err) {
    AUTO_FREE char *escaped = cursor ? remote_escape(remote, cursor) : NULL;
    AUTO_FREE char *path =
        mem_printf("/v1/jobs?limit=%d%s%s", COMMAND_PAGE, escaped ? "&cursor=" : "", escaped ? escaped : "");
    return remote_call(remote, "GET", path, NULL, NULL, ret_page, err);
}

int job_resolve(struct remote *remote, const char *name, char ret_id[ID_TEXT_MAX], struct err *err) {
    if (id_valid(name)) {
        snprintf(ret_id, ID_TEXT_MAX, "%s", name);
        return 0;
    }
    if (!*name || strspn(name, "0123456789abcdef-") != strlen(name))
        return err_set(err, ERR_INVALID, 0, "'%s' is no job's id and no beginning of one", name);
    int matches = 0;
    AUTO_FREE char *cursor = NULL;
    for (int pages = 0; pages < COMMAND_PAGES_MAX && matches < 2; pages++) {
        AUTO_JSON json_t *page = NULL;
        char id[ID_TEXT_MAX];
        if (next_page(remote, cursor, &page, err) < 0)
            return -1;
        int here = count_matches(page, name, id);
        if (here && !matches)
            memcpy(ret_id, id, sizeof id);
        matches += here;
        const char *next = json_get_string(page, "next");
        if (!next)
            break;
        free(cursor);
        cursor = mem_strdup(next);
    }
    if (matches == 0)
        return err_set(err, ERR_INVALID, 404, "no job's id begins with '%s'", name);
    if (matches > 1)
        return err_set(err, ERR_INVALID, 409, "more than one job's id begins with '%s': give more of it",
                       name);
    return 0;
}

int job_wait(struct remote *remote, const char *id, json_t **ret_job, struct err *err) {
    AUTO_FREE char *path = mem_printf("/v1/jobs/%s?wait=%ds", id, COMMAND_WAIT_S);
    struct ctx patience = ctx_root(NULL);
    int64_t pause_ms = WATCH_BACKOFF_MIN_MS;
    ctx_deadline_in(&patience, WATCH_AWAY_MAX_MS);
    for (;;) {
        AUTO_JSON json_t *job = NULL;
        int64_t asked_ms = clock_boot_ms();
        int status = remote_call(remote, "GET", path, NULL, NULL, &job, err);
        if (status < 0 && (err->kind != ERR_AWAY || ctx_state(&patience) != CTX_LIVE))
            return -1;
        enum status word;
        if (status > 0 &&
            status_parse(json_get_string(job, "status") ? json_get_string(job, "status") : "", &word) &&
            status_is_terminal(word)) {
            *ret_job = STEAL(job);
            return 0;
        }
        if (status > 0) {
            patience = ctx_root(NULL);
            ctx_deadline_in(&patience, WATCH_AWAY_MAX_MS);
        }
        if (status > 0 && clock_boot_ms() - asked_ms >= COMMAND_WAITED_MIN_MS) {
            pause_ms = WATCH_BACKOFF_MIN_MS;
            continue;
        }
        struct ctx pause = ctx_child(&patience);
        ctx_deadline_in(&pause, pause_ms);
        ctx_poll(&pause, NULL, 0, "wait for the server", NULL);
        pause_ms = pause_ms * 2 > WATCH_BACKOFF_MAX_MS ? WATCH_BACKOFF_MAX_MS : pause_ms * 2;
    }
}

int job_exit_status(const json_t *job) {
    static const struct {
        enum status status;
        int exit;
    } fixed[] = {{STATUS_SUCCEEDED, EXIT_OK},
                 {STATUS_TIMED_OUT, EXIT_TIMED_OUT},
                 {STATUS_CANCELED, EXIT_CANCELED},
                 {STATUS_ERRORED, EXIT_ERRORED}};
    const char *word = json_get_string(job, "status");
    enum status status;
    if (!word || !status_parse(word, &status))
        return EXIT_ERRORED;
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        if (fixed[i].status == status)
            return fixed[i].exit;
    int64_t code = json_get_int(job, "exit_code", -1);
    int64_t number = json_get_int(job, "signal", 0);
    return code >= 0 ? (int)code : number > 0 ? EXIT_SIGNAL_BASE + (int)number : EXIT_ERRORED;
}

static int put(FILE *to, const unsigned char *bytes, size_t len, struct err *err) {
    if (fwrite(bytes, 1, len, to) != len || fflush(to) != 0)
        return err_sys(err, "write the log");
    return 0;
}

/* What stands before each line of this stream; its length in *ret_len. */
static const char *label_of(const struct printer *printer, const char *stream, int *ret_len) {
    static const size_t service = sizeof STREAM_SERVICE_PREFIX - 1;
    const char *label = strncmp(stream, STREAM_SERVICE_PREFIX, service) == 0 ? stream + service
                        : strcmp(stream, "system") == 0                      ? stream
                                                                             : "";
    *ret_len = printer->bare ? 0 : (int)strlen(label);
    return label;
}

static int put_lines(struct printer *printer, int which, FILE *to, const struct message *m, struct err *err) {
    char stamp[CLOCK_RFC3339_MAX];
    int label_len;
    const char *label = label_of(printer, m->stream, &label_len);
    clock_format_rfc3339(m->time_us, stamp);
    for (size_t at = 0; at < m->data_len;) {
        const unsigned char *newline = memchr(m->data + at, '\n', m->data_len - at);
        size_t len = newline ? (size_t)(newline - m->data) + 1 - at : m->data_len - at;
        if (!printer->midline[which])
            fprintf(to, "%s%s%.*s%s", printer->timestamps ? stamp : "", printer->timestamps ? " " : "",
                    label_len, label, label_len ? " | " : "");
        printer->midline[which] = !newline;
        if (put(to, m->data + at, len, err) < 0)
            return -1;
        at += len;
    }
    return 0;
}

/* A labelled line does not begin in the middle of another stream's, nor go on in it. */
static void change_stream(struct printer *printer, const char *stream) {
    int last, now;
    label_of(printer, printer->last, &last);
    label_of(printer, stream, &now);
    if (printer->midline[1] && (last || now) && strcmp(printer->last, stream) != 0) {
        fputc('\n', stderr);
        printer->midline[1] = false;
    }
    snprintf(printer->last, sizeof printer->last, "%s", stream);
}

int print_message(struct printer *printer, const struct message *m, struct err *err) {
    if (m->type == MESSAGE_GAP)
        fprintf(stderr, "berth: %lld bytes of the log are not here (%s)\n", (long long)m->bytes,
                m->cause ? m->cause : "");
    if (m->type != MESSAGE_LOG || m->data_len == 0)
        return 0;
    if (!m->stream)
        return err_set(err, ERR_INVALID, 0, "a piece of the log without its stream");
    if (printer->quiet && strcmp(m->stream, "system") == 0)
        return 0;
    int which = strcmp(m->stream, "stdout") != 0, label_len;
    FILE *to = which ? stderr : stdout;
    if (which)
        change_stream(printer, m->stream);
    label_of(printer, m->stream, &label_len);
    if (printer->timestamps || label_len)
        return put_lines(printer, which, to, m, err);
    printer->midline[which] = m->data[m->data_len - 1] != '\n';
    return put(to, m->data, m->data_len, err);
}
