#include "runner/docker/call.h"

#include <string.h>

#include "base/json.h"

static int run_in(struct engine *engine, struct call_slot *slot, const struct ctx *ctx,
                  const struct call *call, struct call_answer *answer, struct err *err) {
    AUTO_TRANSFER struct transfer transfer = {0};
    CURLcode code = CURLE_OK;
    if (transfer_begin(engine, slot, call, answer, &transfer, err) < 0)
        return -1;
    int over = ctx_check(ctx, call->path, err);
    while (over == 0 && (over = transfer_step(&transfer, &code, err)) == 0)
        over = transfer_wait(&transfer, ctx, err);
    return over < 0 ? -1 : transfer_verdict(&transfer, code, err);
}

int call_run(struct engine *engine, const struct ctx *ctx, const struct call *call,
             struct call_answer *answer, struct err *err) {
    if (engine->depth >= ENGINE_NEST_MAX)
        return err_set(err, ERR_BUG, 0, "%s %s: more than %d engine calls inside each other", call->method,
                       call->path, ENGINE_NEST_MAX);
    struct call_slot *slot = &engine->slots[engine->depth++];
    int result = run_in(engine, slot, ctx, call, answer, err);
    engine->depth--;
    return result;
}

int call_json(struct engine *engine, const struct ctx *ctx, const struct call *call, json_t **ret_json,
              struct err *err) {
    AUTO_ANSWER struct call_answer answer = CALL_ANSWER;
    if (call_run(engine, ctx, call, &answer, err) < 0)
        return -1;
    json_error_t why = {.text = "the body is empty"};
    json_t *json = answer.body.len ? json_loadb(answer.body.data, answer.body.len, 0, &why) : NULL;
    if (!json)
        return err_set(err, ERR_INVALID, 0, "%s %.*s: the answer is not JSON: %s (byte %d)", call->method,
                       (int)strcspn(call->path, "?"), call->path, why.text, why.position);
    *ret_json = json;
    return 0;
}

int call_get_json(struct engine *engine, const struct ctx *ctx, const char *path, json_t **ret_json,
                  struct err *err) {
    struct call call = {.method = "GET", .path = path};
    return call_json(engine, ctx, &call, ret_json, err);
}

int call_post_json(struct engine *engine, const struct ctx *ctx, const char *path, const json_t *body,
                   json_t **ret_json, struct err *err) {
    AUTO_FREE char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    if (body && !text)
        return err_set(err, ERR_BUG, 0, "POST %s: the body cannot be written as JSON", path);
    struct call call = {.method = "POST", .path = path, .body = text, .body_bytes = text ? strlen(text) : 0};
    call.content_type = text ? "application/json" : NULL;
    if (ret_json)
        return call_json(engine, ctx, &call, ret_json, err);
    AUTO_ANSWER struct call_answer answer = CALL_ANSWER;
    return call_run(engine, ctx, &call, &answer, err);
}

int call_delete(struct engine *engine, const struct ctx *ctx, const char *path, struct err *err) {
    AUTO_ANSWER struct call_answer answer = CALL_ANSWER;
    struct call call = {.method = "DELETE", .path = path};
    struct err why;
    if (call_run(engine, ctx, &call, &answer, &why) == 0 || engine_status_is(&why, 404))
        return 0;
    if (err)
        *err = why;
    return -1;
}
