/*
 * image_stream - the JSON lines that POST /images/create streams while it pulls or imports. Private.
 */
#ifndef BERTH_RUNNER_DOCKER_IMAGE_STREAM_H
#define BERTH_RUNNER_DOCKER_IMAGE_STREAM_H

#include "base/buf.h"
#include "runner/docker/image.h"

struct image_stream {
    struct buf line;
    void (*on_progress)(void *arg, const struct image_progress *progress); /* may be NULL */
    void *arg;
};
#define IMAGE_STREAM ((struct image_stream){.line = BUF(ENGINE_LINE_MAX)})
static inline void image_stream_done(struct image_stream *stream) {
    buf_done(&stream->line);
}
#define AUTO_IMAGE_STREAM CLEANUP(image_stream_done)

/* Takes bytes as they come, calls on_progress for each whole line. ERR_ENGINE when the engine reports its
 * failure in a line (code from image_failure_code), ERR_INVALID when a line is not JSON, ERR_LIMIT when it
 * is longer than ENGINE_LINE_MAX. */
int image_stream_feed(struct image_stream *stream, const char *bytes, size_t len, struct err *err);
/* At the end of the answer: the last line need not end with a newline. */
int image_stream_finish(struct image_stream *stream, struct err *err);

/* The status that the engine ought to have given for this message: 404, 403, or else `status`. Engines report
 * refusals of a registry as 500 or inside a 200 stream, and Docker Hub's "denied" for what is not there as
 * 404. */
int image_failure_code(int status, const char *message, bool with_auth);

#endif
