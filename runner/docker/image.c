#include "runner/docker/image.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "runner/docker/call.h"
#include "runner/docker/doc.h"
#include "runner/docker/image_stream.h"
#include "runner/docker/url.h"

static bool has_healthcheck(const json_t *config) {
    const char *kind = json_string_value(json_array_get(doc_list(doc_map(config, "Healthcheck"), "Test"), 0));
    return kind && *kind && strcmp(kind, "NONE") != 0;
}

/* An image may have come from several repositories: the digest of the one that was asked for, else the first.
 */
static const char *repo_digest(const json_t *digests, const char *ref) {
    struct image_ref parts;
    size_t len = image_ref_parse(ref, &parts, NULL) == 0 ? strlen(parts.name) : 0;
    for (size_t i = 0; len && i < json_array_size(digests); i++) {
        const char *digest = json_string_value(json_array_get(digests, i));
        if (digest && strncmp(digest, parts.name, len) == 0 && digest[len] == '@')
            return digest;
    }
    const char *first = json_string_value(json_array_get(digests, 0));
    return first ? first : "";
}

int image_inspect(struct engine *engine, const struct ctx *ctx, const char *ref, struct image_info *ret_info,
                  struct err *err) {
    AUTO_BUF struct buf path = BUF(URL_MAX);
    AUTO_JSON json_t *json = NULL;
    if (url_format(&path, err, "/images/{}/json", ref) < 0 ||
        call_get_json(engine, ctx, buf_str(&path), &json, err) < 0)
        return -1;
    if (!*doc_text(json, "Id"))
        return err_set(err, ERR_INVALID, 0, "GET /images/%s/json: the answer has no Id", ref);
    const json_t *config = doc_map(json, "Config");
    *ret_info = (struct image_info){
        .id = doc_text(json, "Id"),
        .repo_digest = repo_digest(doc_list(json, "RepoDigests"), ref),
        .entrypoint = doc_list(config, "Entrypoint"),
        .cmd = doc_list(config, "Cmd"),
        .env = doc_list(config, "Env"),
        .user = doc_text(config, "User"),
        .workdir = doc_text(config, "WorkingDir"),
        .stop_signal = doc_text(config, "StopSignal"),
        .has_healthcheck = has_healthcheck(config),
        .health = doc_list(doc_map(config, "Healthcheck"), "Test"),
        .size_bytes = json_get_int(json, "Size", 0),
        .labels = doc_map(config, "Labels"),
        .tags = doc_list(json, "RepoTags"),
        .owner = json_incref(json),
    };
    return 0;
}

void image_info_done(struct image_info *info) {
    json_decref(info->owner);
    *info = (struct image_info){0};
}

static int feed(void *arg, const char *bytes, size_t len, struct err *err) {
    return image_stream_feed(arg, bytes, len, err);
}

/* POST /images/create, which pulls or imports, and streams either way. */
static int create(struct engine *engine, const struct ctx *ctx, struct call *call,
                  struct image_stream *stream, struct err *err) {
    AUTO_ANSWER struct call_answer answer = CALL_ANSWER;
    call->method = "POST";
    call->on_bytes = feed;
    call->arg = stream;
    if (call_run(engine, ctx, call, &answer, err) < 0)
        return -1;
    return image_stream_finish(stream, err);
}

int image_pull(struct engine *engine, const struct ctx *ctx, const char *ref, const char *auth,
               void (*on_progress)(void *arg, const struct image_progress *progress), void *arg,
               struct err *err) {
    struct image_ref parts;
    AUTO_BUF struct buf path = BUF(URL_MAX);
    if (image_ref_parse(ref, &parts, err) < 0 ||
        url_format(&path, err, "/images/create?fromImage={}&tag={}", parts.name,
                   parts.digest[0] ? parts.digest : parts.tag) < 0)
        return -1;
    if (auth && strpbrk(auth, "\r\n"))
        return err_set(err, ERR_INVALID, 0, "pulling %s: the registry credentials have a line break", ref);
    AUTO_FREE char *header = auth ? mem_printf("X-Registry-Auth: %s", auth) : NULL;
    AUTO_IMAGE_STREAM struct image_stream stream = IMAGE_STREAM;
    stream.on_progress = on_progress;
    stream.arg = arg;
    struct call call = {.path = buf_str(&path), .header = header};
    struct err why;
    if (create(engine, ctx, &call, &stream, &why) == 0)
        return 0;
    if (why.kind == ERR_ENGINE)
        why.code = image_failure_code(why.code, why.text, auth != NULL);
    err_wrap(&why, "pulling %s", ref);
    if (err)
        *err = why;
    return -1;
}

enum image_failure image_pull_failure(const struct err *pull_err) {
    if (engine_status_is(pull_err, 404))
        return IMAGE_NOT_FOUND;
    if (engine_status_is(pull_err, 401) || engine_status_is(pull_err, 403))
        return IMAGE_DENIED;
    return IMAGE_FAILED;
}

/* A word of a Dockerfile in double quotes; nothing in it is expanded. */
static int add_quoted(struct buf *out, const char *text, struct err *err) {
    if (strpbrk(text, "\r\n"))
        return err_set(err, ERR_INVALID, 0, "importing an image: a label has a line break");
    int bad = buf_adds(out, "\"");
    for (; *text; text++)
        bad |= buf_addf(out, "%s%c", strchr("\"\\$", *text) ? "\\" : "", *text);
    return (bad | buf_adds(out, "\"")) ? err_set(err, ERR_LIMIT, 0, "importing an image: labels too long")
                                       : 0;
}

static int add_changes(struct buf *path, const char *const *changes, struct engine_pairs labels,
                       struct err *err) {
    for (; changes && *changes; changes++)
        if (url_format(path, err, "&changes={}", *changes) < 0)
            return -1;
    for (size_t i = 0; i < labels.count; i++) {
        AUTO_BUF struct buf line = BUF(URL_MAX);
        if (buf_adds(&line, "LABEL ") < 0 || add_quoted(&line, labels.items[i].key, err) < 0 ||
            buf_adds(&line, "=") < 0 || add_quoted(&line, labels.items[i].value, err) < 0 ||
            url_format(path, err, "&changes={}", buf_str(&line)) < 0)
            return -1;
    }
    return 0;
}

struct imported {
    char *id;
};

static void on_import(void *arg, const struct image_progress *progress) {
    struct imported *imported = arg;
    if (strncmp(progress->status, "sha256:", 7) == 0) {
        free(imported->id);
        imported->id = mem_strdup(progress->status);
    }
}

int image_import(struct engine *engine, const struct ctx *ctx, const void *tar, size_t tar_bytes,
                 const char *repo, const char *tag, const char *const *changes, struct engine_pairs labels,
                 char **ret_id, struct err *err) {
    AUTO_BUF struct buf path = BUF(URL_MAX);
    if (url_format(&path, err, "/images/create?fromSrc=-&repo={}&tag={}", repo, tag) < 0 ||
        add_changes(&path, changes, labels, err) < 0)
        return -1;
    struct imported imported = {0};
    AUTO_IMAGE_STREAM struct image_stream stream = IMAGE_STREAM;
    stream.on_progress = on_import;
    stream.arg = &imported;
    struct call call = {.path = buf_str(&path), .body = tar, .body_bytes = tar_bytes};
    call.content_type = "application/x-tar";
    int result = create(engine, ctx, &call, &stream, err);
    AUTO_FREE char *id = imported.id;
    if (result == 0 && !id)
        result = err_set(err, ERR_INVALID, 0, "importing %s:%s: the answer has no image id", repo, tag);
    if (result == 0)
        *ret_id = STEAL(id);
    return result;
}

int image_remove(struct engine *engine, const struct ctx *ctx, const char *ref, bool force, struct err *err) {
    AUTO_BUF struct buf path = BUF(URL_MAX);
    if (url_format(&path, err, "/images/{}?force={}", ref, force ? "1" : "0") < 0)
        return -1;
    return call_delete(engine, ctx, buf_str(&path), err);
}
