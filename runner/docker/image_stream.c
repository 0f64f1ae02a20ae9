#include "runner/docker/image_stream.h"

#include <string.h>

#include "base/json.h"
#include "runner/docker/doc.h"

static int take_line(struct image_stream *stream, const char *line, size_t len, struct err *err) {
    while (len && strchr(" \t\r\n", line[len - 1]))
        len--;
    if (len == 0)
        return 0;
    json_error_t why;
    AUTO_JSON json_t *json = json_loadb(line, len, 0, &why);
    if (!json_is_object(json))
        return err_set(err, ERR_INVALID, 0,
                       "POST /images/create: a line of the answer is not a JSON object: %s",
                       json ? "another type" : why.text);
    const char *message = json_get_string(doc_map(json, "errorDetail"), "message");
    if (!message)
        message = json_get_string(json, "error");
    if (message)
        return err_set(err, ERR_ENGINE, 500, "POST /images/create: the Docker Engine broke off: %s", message);
    const json_t *detail = doc_map(json, "progressDetail");
    struct image_progress progress = {
        .status = doc_text(json, "status"),
        .layer = doc_text(json, "id"),
        .current_bytes = json_get_int(detail, "current", 0),
        .total_bytes = json_get_int(detail, "total", 0),
    };
    if (stream->on_progress)
        stream->on_progress(stream->arg, &progress);
    return 0;
}

int image_stream_feed(struct image_stream *stream, const char *bytes, size_t len, struct err *err) {
    while (len) {
        const char *newline = memchr(bytes, '\n', len);
        size_t part = newline ? (size_t)(newline + 1 - bytes) : len;
        if (buf_add(&stream->line, bytes, part) < 0)
            return err_set(err, ERR_LIMIT, 0,
                           "POST /images/create: a line of the answer is longer than %d bytes",
                           ENGINE_LINE_MAX);
        bytes += part;
        len -= part;
        if (newline && image_stream_finish(stream, err) < 0)
            return -1;
    }
    return 0;
}

int image_stream_finish(struct image_stream *stream, struct err *err) {
    int result = take_line(stream, buf_str(&stream->line), stream->line.len, err);
    buf_clear(&stream->line);
    return result;
}

static bool has_one_of(const char *text, const char *const *words) {
    for (; *words; words++)
        if (strcasestr(text, *words))
            return true;
    return false;
}

int image_failure_code(int status, const char *message, bool with_auth) {
    static const char *const denied[] = {
        "unauthorized",
        "authentication required",
        "no basic auth credentials",
        ": denied",
        "insufficient_scope",
        "authorization failed",
        "403 Forbidden",
        NULL,
    };
    static const char *const absent[] = {
        "manifest unknown", "name unknown", "repository name not known", ": not found", "no such image", NULL,
    };
    if (status == 401 || status == 403)
        return 403;
    if (strcasestr(message, "pull access denied")) /* "…, repository does not exist or may require …" */
        return with_auth ? 403 : 404;
    if (has_one_of(message, denied))
        return 403;
    return status == 404 || has_one_of(message, absent) ? 404 : status;
}
