#include "runner/docker/container.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "runner/docker/call.h"
#include "runner/docker/container_body.h"
#include "runner/docker/doc.h"
#include "runner/docker/url.h"

int container_create(struct engine *engine, const struct ctx *ctx, const struct container_spec *spec,
                     char ret_id[ENGINE_ID_MAX], struct err *err) {
    AUTO_JSON json_t *body = NULL, *answer = NULL;
    AUTO_BUF struct buf path = BUF(URL_MAX);
    if (container_body(spec, &body, err) < 0 ||
        url_format(&path, err, "/containers/create?name={}", spec->name) < 0 ||
        call_post_json(engine, ctx, buf_str(&path), body, &answer, err) < 0)
        return -1;
    return doc_copy(answer, "Id", ret_id, ENGINE_ID_MAX, "POST /containers/create", err);
}

/* POST /containers/{id}/{verb} without a body. */
static int post_verb(struct engine *engine, const struct ctx *ctx, const char *id, const char *verb,
                     struct err *err) {
    AUTO_BUF struct buf path = BUF(URL_MAX);
    if (url_format(&path, err, "/containers/{}/{}", id, verb) < 0)
        return -1;
    return call_post_json(engine, ctx, buf_str(&path), NULL, NULL, err);
}

int container_start(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err) {
    return post_verb(engine, ctx, id, "start", err); /* 304, already started, counts as success */
}

int container_pause(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err) {
    return post_verb(engine, ctx, id, "pause", err);
}

int container_unpause(struct engine *engine, const struct ctx *ctx, const char *id, struct err *err) {
    return post_verb(engine, ctx, id, "unpause", err);
}

int container_kill(struct engine *engine, const struct ctx *ctx, const char *id, const char *signal,
                   struct err *err) {
    AUTO_BUF struct buf path = BUF(URL_MAX);
    if (url_format(&path, err, "/containers/{}/kill?signal={}", id, signal) < 0)
        return -1;
    return call_post_json(engine, ctx, buf_str(&path), NULL, NULL, err);
}

int container_wait(struct engine *engine, const struct ctx *ctx, const char *id,
                   struct container_exit *ret_exit, struct err *err) {
    AUTO_BUF struct buf path = BUF(URL_MAX);
    AUTO_ANSWER struct call_answer answer = CALL_ANSWER;
    if (url_format(&path, err, "/containers/{}/wait?condition=not-running", id) < 0)
        return -1;
    struct call call = {.method = "POST", .path = buf_str(&path)};
    if (call_run(engine, ctx, &call, &answer, err) < 0)
        return -1;
    const char *text = buf_str(&answer.body);
    if (!text[strspn(text, " \t\r\n")])
        return err_set(err, ERR_AWAY, 0, "the Docker Engine ended its wait for %s without an exit code", id);
    AUTO_JSON json_t *json = json_loads(text, 0, NULL);
    const json_t *code = json_object_get(json, "StatusCode");
    if (!json_is_integer(code))
        return err_set(err, ERR_INVALID, 0, "POST /containers/%s/wait: the answer has no StatusCode", id);
    ret_exit->status_code = (int)json_integer_value(code);
    snprintf(ret_exit->error, sizeof ret_exit->error, "%s", doc_text(doc_map(json, "Error"), "Message"));
    return 0;
}

static const char *without_slash(const char *name) {
    return name[0] == '/' ? name + 1 : name;
}

int container_inspect(struct engine *engine, const struct ctx *ctx, const char *id,
                      struct container_info *ret_info, struct err *err) {
    AUTO_BUF struct buf path = BUF(URL_MAX);
    AUTO_JSON json_t *json = NULL;
    if (url_format(&path, err, "/containers/{}/json", id) < 0 ||
        call_get_json(engine, ctx, buf_str(&path), &json, err) < 0)
        return -1;
    const json_t *state = json_object_get(json, "State");
    if (!json_is_object(state) || !*doc_text(json, "Id") || !*doc_text(state, "Status"))
        return err_set(err, ERR_INVALID, 0, "GET /containers/%s/json: the answer has no Id or no State", id);
    *ret_info = (struct container_info){
        .id = doc_text(json, "Id"),
        .name = without_slash(doc_text(json, "Name")),
        .image = doc_text(json, "Image"),
        .status = doc_text(state, "Status"),
        .running = json_get_bool(state, "Running", false),
        .paused = json_get_bool(state, "Paused", false),
        .oom_killed = json_get_bool(state, "OOMKilled", false),
        .exit_code = (int)json_get_int(state, "ExitCode", 0),
        .pid = json_get_int(state, "Pid", 0),
        .error = doc_text(state, "Error"),
        .health = doc_text(doc_map(state, "Health"), "Status"),
        .created_us = doc_time_us(json, "Created"),
        .started_us = doc_time_us(state, "StartedAt"),
        .finished_us = doc_time_us(state, "FinishedAt"),
        .labels = doc_map(doc_map(json, "Config"), "Labels"),
        .networks = doc_map(doc_map(json, "NetworkSettings"), "Networks"),
        .owner = json_incref(json),
    };
    if (strcmp(ret_info->health, "none") == 0)
        ret_info->health = "";
    return 0;
}

void container_info_done(struct container_info *info) {
    json_decref(info->owner);
    *info = (struct container_info){0};
}

const char *container_label(const json_t *labels, const char *key) {
    return json_string_value(json_object_get(labels, key));
}

int container_remove(struct engine *engine, const struct ctx *ctx, const char *id, bool force, bool volumes,
                     struct err *err) {
    AUTO_BUF struct buf path = BUF(URL_MAX);
    if (url_format(&path, err, "/containers/{}?force={}&v={}", id, force ? "1" : "0", volumes ? "1" : "0") <
        0)
        return -1;
    struct err why;
    if (call_delete(engine, ctx, buf_str(&path), &why) == 0)
        return 0;
    if (engine_status_is(&why, 409) && strstr(why.text, "is already in progress"))
        return 0;
    if (err)
        *err = why;
    return -1;
}

static void fill_summary(const json_t *item, struct container_summary *ret) {
    const json_t *names = doc_list(item, "Names");
    const char *name = "";
    /* Links give a container more names ("/other/alias"); its own is the one without a second slash. */
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *text = json_string_value(json_array_get(names, i));
        if (text && !strchr(without_slash(text), '/'))
            name = without_slash(text);
    }
    *ret = (struct container_summary){
        .id = doc_text(item, "Id"),
        .name = name,
        .image = doc_text(item, "Image"),
        .image_id = doc_text(item, "ImageID"),
        .state = doc_text(item, "State"),
        .labels = doc_map(item, "Labels"),
        .mounts = doc_list(item, "Mounts"),
        .created_us = json_get_int(item, "Created", 0) * INT64_C(1000000),
    };
}

int container_list(struct engine *engine, const struct ctx *ctx, struct engine_pairs labels, bool all,
                   struct container_list *ret_list, struct err *err) {
    AUTO_FREE char *filters = NULL;
    AUTO_BUF struct buf path = BUF(URL_MAX);
    AUTO_JSON json_t *json = NULL;
    if (doc_filters(labels, NULL, 0, &filters, err) < 0 ||
        url_format(&path, err, "/containers/json?all={}&filters={}", all ? "1" : "0", filters) < 0 ||
        call_get_json(engine, ctx, buf_str(&path), &json, err) < 0)
        return -1;
    if (!json_is_array(json))
        return err_set(err, ERR_INVALID, 0, "GET /containers/json: the answer is not a list");
    size_t count = json_array_size(json);
    struct container_summary *items = mem_alloc(count * sizeof *items);
    for (size_t i = 0; i < count; i++)
        fill_summary(json_array_get(json, i), &items[i]);
    *ret_list = (struct container_list){.items = items, .count = count, .owner = json_incref(json)};
    return 0;
}

void container_list_done(struct container_list *list) {
    free(list->items);
    json_decref(list->owner);
    *list = (struct container_list){0};
}
