#include "orchestrator/gateway/query.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "base/utf8.h"
#include "proto/status.h"

enum { SHOWN_MAX = 80 };

int query_add(struct query *q, const char *text, size_t len, struct err *err) {
    if (len == 0)
        return 0;
    if (q->count == QUERY_ARGS_MAX)
        return err_set(err, ERR_LIMIT, 0, "there are more than %d query parameters", QUERY_ARGS_MAX);
    if (len > QUERY_ARG_MAX)
        return err_set(err, ERR_LIMIT, 0, "a query parameter is longer than %d bytes", QUERY_ARG_MAX);
    if (memchr(text, 0, len) || !utf8_valid(text, len))
        return err_set(err, ERR_INVALID, 0, "a query parameter is not UTF-8 text");
    char *name = mem_strndup(text, len);
    char *equals = strchr(name, '=');
    if (equals)
        *equals = '\0';
    q->args[q->count++] = (struct query_arg){.name = name, .value = equals ? equals + 1 : name + len};
    return 0;
}

void query_done(struct query *q) {
    for (size_t i = 0; i < q->count; i++)
        free(q->args[i].name);
    q->count = 0;
}

struct param {
    const char *name;
    int (*take)(void *out, const char *value, struct err *err);
    bool repeats;
};

static const struct param *param_find(const struct param *params, const char *name) {
    for (; params->name; params++)
        if (strcmp(params->name, name) == 0)
            return params;
    return NULL;
}

static int known_names(const struct param *params, const char *name, struct err *err) {
    char names[ERR_TEXT_MAX / 2] = "";
    size_t used = 0;
    for (; params->name; params++) {
        size_t len = strlen(params->name);
        if (used + len + 3 > sizeof names)
            break;
        memcpy(names + used, used ? ", " : "", used ? 2 : 0);
        used += used ? 2 : 0;
        memcpy(names + used, params->name, len + 1);
        used += len;
    }
    return err_set(err, ERR_INVALID, 0, "there is no query parameter \"%.*s\" here; known: %s", SHOWN_MAX,
                   name, used ? names : "none");
}

static int take_all(const struct query *q, const struct param *params, void *out, struct err *err) {
    for (size_t i = 0; i < q->count; i++) {
        const struct query_arg *arg = &q->args[i];
        const struct param *param = param_find(params, arg->name);
        if (!param)
            return known_names(params, arg->name, err);
        for (size_t k = 0; k < i && !param->repeats; k++)
            if (strcmp(q->args[k].name, arg->name) == 0)
                return err_set(err, ERR_INVALID, 0, "query parameter \"%s\" is given twice", param->name);
        if (param->take(out, arg->value, err) < 0)
            return err_wrap(err, "query parameter \"%s\"", param->name);
    }
    return 0;
}

static int take_int(const char *value, int64_t min, int64_t max, int64_t *ret, struct err *err) {
    char *end = NULL;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    bool digits = *value && value[strspn(value, "0123456789")] == '\0';
    if (!digits || errno || n < min || n > max)
        return err_set(err, ERR_INVALID, 0, "\"%.*s\" is not a whole number from %lld to %lld", SHOWN_MAX,
                       value, (long long)min, (long long)max);
    *ret = n;
    return 0;
}

int query_none(const struct query *q, struct err *err) {
    static const struct param none[] = {{0}};
    return take_all(q, none, NULL, err);
}

static int take_wait(void *out, const char *value, struct err *err) {
    int64_t ms;
    if (units_parse_duration_ms(value, &ms, err) < 0)
        return -1;
    if (ms > QUERY_WAIT_MAX_MS)
        return err_set(err, ERR_INVALID, 0, "\"%.*s\" is longer than %ds; ask again when the time is over",
                       SHOWN_MAX, value, QUERY_WAIT_MAX_MS / 1000);
    *(int64_t *)out = ms;
    return 0;
}

int query_wait(const struct query *q, int64_t *ret_ms, struct err *err) {
    static const struct param params[] = {{"wait", take_wait, false}, {0}};
    int64_t ms = 0;
    if (take_all(q, params, &ms, err) < 0)
        return -1;
    *ret_ms = ms;
    return 0;
}

static int take_status(void *out, const char *value, struct err *err) {
    struct list_query *list = out;
    if (strlen(value) >= sizeof list->statuses)
        return err_set(err, ERR_INVALID, 0, "the list is longer than %zu bytes", sizeof list->statuses - 1);
    AUTO_FREE char *words = mem_strdup(value);
    char *rest = words;
    for (char *word; (word = strsep(&rest, ","));) {
        enum status status;
        if (!status_parse(word, &status))
            return err_set(err, ERR_INVALID, 0, "\"%.*s\" is no status of a job", SHOWN_MAX, word);
    }
    memcpy(list->statuses, value, strlen(value) + 1);
    return 0;
}

static int take_label(void *out, const char *value, struct err *err) {
    struct list_query *list = out;
    const char *equals = strchr(value, '=');
    if (!equals || equals == value)
        return err_set(err, ERR_INVALID, 0, "\"%.*s\" is not of the form name=value", SHOWN_MAX, value);
    if (list->label_count == QUERY_LABELS_MAX)
        return err_set(err, ERR_INVALID, 0, "there are more than %d", QUERY_LABELS_MAX);
    list->labels[list->label_count++] = value;
    return 0;
}

static int take_name(void *out, const char *value, struct err *err) {
    (void)err;
    ((struct list_query *)out)->name = value;
    return 0;
}

static int take_list_limit(void *out, const char *value, struct err *err) {
    return take_int(value, 1, QUERY_LIMIT_MAX, &((struct list_query *)out)->limit, err);
}

static int take_cursor(void *out, const char *value, struct err *err) {
    struct list_query *list = out;
    return query_cursor_read(value, &list->cursor_us, list->cursor_id, err);
}

int query_list(const struct query *q, struct list_query *ret, struct err *err) {
    static const struct param params[] = {
        {"status", take_status, false},    {"label", take_label, true},    {"name", take_name, false},
        {"limit", take_list_limit, false}, {"cursor", take_cursor, false}, {0},
    };
    struct list_query list = {.limit = QUERY_LIMIT_DEFAULT};
    if (take_all(q, params, &list, err) < 0)
        return -1;
    *ret = list;
    return 0;
}

static int take_offset(void *out, const char *value, struct err *err) {
    return take_int(value, 0, INT64_MAX, &((struct logs_query *)out)->offset, err);
}
static int take_logs_limit(void *out, const char *value, struct err *err) {
    return take_int(value, 0, INT64_MAX, &((struct logs_query *)out)->limit, err);
}
static int take_tail(void *out, const char *value, struct err *err) {
    return take_int(value, 0, QUERY_TAIL_MAX, &((struct logs_query *)out)->tail, err);
}
static int take_attempt(void *out, const char *value, struct err *err) {
    return take_int(value, 1, QUERY_ATTEMPT_MAX, &((struct logs_query *)out)->attempt, err);
}
static int take_stream(void *out, const char *value, struct err *err) {
    struct logs_query *logs = out;
    if (!streams_name_ok(value))
        return err_set(err, ERR_INVALID, 0, "\"%.*s\" is none of stdout, stderr, system and service:NAME",
                       SHOWN_MAX, value);
    snprintf(logs->stream, sizeof logs->stream, "%s", value);
    return 0;
}
bool query_stays(const struct logs_query *logs) {
    return logs->attempt > 0 && logs->offset < 0;
}
static int take_follow(void *out, const char *value, struct err *err) {
    static const char *const yes[] = {"", "true", "1", "yes"}, *const no[] = {"false", "0", "no"};
    struct logs_query *logs = out;
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (strcmp(value, yes[i]) == 0) {
            logs->follow = true;
            return 0;
        }
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (strcmp(value, no[i]) == 0) {
            logs->follow = false;
            return 0;
        }
    return err_set(err, ERR_INVALID, 0, "\"%.*s\" is neither true nor false", SHOWN_MAX, value);
}

int query_logs(const struct query *q, bool live, struct logs_query *ret, struct err *err) {
#define LIVE_PARAMS                                                                                          \
    {"offset", take_offset, false}, {"tail", take_tail, false}, {"stream", take_stream, false}, {            \
        "attempt", take_attempt, false                                                                       \
    }
    static const struct param of_live[] = {LIVE_PARAMS, {0}};
    static const struct param of_logs[] = {
        LIVE_PARAMS, {"limit", take_logs_limit, false}, {"follow", take_follow, false}, {0}};
#undef LIVE_PARAMS
    struct logs_query logs = {.offset = -1, .limit = -1, .tail = -1, .follow = live};
    if (take_all(q, live ? of_live : of_logs, &logs, err) < 0)
        return -1;
    if (logs.tail >= 0 && logs.offset >= 0)
        return err_set(err, ERR_INVALID, 0, "query parameters \"tail\" and \"offset\" exclude each other");
    *ret = logs;
    return 0;
}
