#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "orchestrator/gateway/asking.h"
#include "orchestrator/gateway/handlers.h"
#include "orchestrator/gateway/job_view.h"
#include "orchestrator/gateway/wait.h"

static void on_job(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    struct api_job job;
    enum status status;
    if (!asking_found(request, request->id, result, err, &job))
        return;
    if (request->wait_ms > 0 && status_parse(job.status, &status) && !status_is_terminal(status))
        wait_for_job(request, request->id, 200);
    else
        http_respond_json(request, 200, job_view(&job));
}

void jobs_get(struct request *request) {
    struct err err;
    if (query_wait(&request->query, &request->wait_ms, &err) < 0) {
        http_problem(request, 400, "%s", err.text);
        return;
    }
    asking_sent(request, api_get_job(request->gateway->db, AUTH_TENANT, request->id, on_job, request, &err),
                &err);
}

/* The same list from where this page ends. */
static void add_link(struct request *request, const char *cursor) {
    AUTO_BUF struct buf link = BUF(HTTP_HEADER_VALUE_MAX - 64);
    buf_adds(&link, "/v1/jobs?");
    for (size_t i = 0; i < request->query.count; i++) {
        const struct query_arg *arg = &request->query.args[i];
        AUTO_FREE char *value = mem_alloc(3 * strlen(arg->value) + 1);
        if (strcmp(arg->name, "cursor") == 0)
            continue;
        lws_urlencode(value, arg->value, (int)(3 * strlen(arg->value) + 1));
        if (buf_addf(&link, "%s=%s&", arg->name, value) < 0)
            return; /* too long for a header; "next" in the body is there all the same */
    }
    if (buf_addf(&link, "cursor=%s", cursor) == 0)
        http_add_header(request, "Link", "<%s>; rel=\"next\"", buf_str(&link));
}

static void on_list(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    const struct list_query *list = request->state;
    if (asking_failed(request, err))
        return;
    int rows = PQntuples(result), shown = rows > list->limit ? (int)list->limit : rows;
    json_t *items = json_array(), *next = json_null();
    for (int row = 0; row < shown; row++) {
        struct api_job job;
        api_read_job(result, row, &job);
        json_array_append_new(items, job_view(&job));
    }
    if (rows > shown) {
        char cursor[QUERY_CURSOR_MAX];
        struct api_job last;
        api_read_job(result, shown - 1, &last);
        query_cursor_make(last.created_us, last.id, cursor);
        next = json_string(cursor);
        add_link(request, cursor);
    }
    http_respond_json(request, 200, json_pack("{s:o, s:o}", "items", items, "next", next));
}

static char *labels_text(const struct list_query *list) {
    AUTO_JSON json_t *labels = json_object();
    for (size_t i = 0; i < list->label_count; i++) {
        const char *value = strchr(list->labels[i], '=') + 1;
        AUTO_FREE char *key = mem_strndup(list->labels[i], (size_t)(value - 1 - list->labels[i]));
        json_object_set_new(labels, key, json_string(value));
    }
    return json_dumps(labels, JSON_COMPACT);
}

void jobs_list(struct request *request) {
    struct list_query *list = mem_alloc(sizeof *list);
    struct err err;
    request->state = list;
    if (query_list(&request->query, list, &err) < 0) {
        http_problem(request, 400, "%s", err.text);
        return;
    }
    AUTO_FREE char *labels = list->label_count ? labels_text(list) : NULL;
    struct api_list ask = {
        .tenant = AUTH_TENANT,
        .name = list->name,
        .statuses = *list->statuses ? list->statuses : NULL,
        .labels = labels,
        .before_id = *list->cursor_id ? list->cursor_id : NULL,
        .before_us = list->cursor_us,
        .limit = list->limit + 1,
    };
    asking_sent(request, api_list_jobs(request->gateway->db, &ask, on_list, request, &err), &err);
}
