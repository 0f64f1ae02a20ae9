/* What the engine client parses by hand: image references, lines of a pull, lines of events. The first byte
 * says which. */
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "runner/docker/event_parse.h"
#include "runner/docker/image_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_ref(const char *bytes, size_t len) {
    AUTO_FREE char *text = mem_strndup(bytes, len);
    struct image_ref ref, again;
    struct err err;
    if (image_ref_parse(text, &ref, &err) < 0)
        return;
    /* What was taken apart and put together again is the same. */
    AUTO_FREE char *whole = mem_printf("%s%s%s%s%s", ref.name, ref.tag[0] ? ":" : "", ref.tag,
                                       ref.digest[0] ? "@" : "", ref.digest);
    if (strlen(whole) >= IMAGE_REF_MAX) /* "latest" was added to it */
        return;
    if (image_ref_parse(whole, &again, &err) < 0 || strcmp(ref.name, again.name) != 0 ||
        strcmp(ref.tag, again.tag) != 0 || strcmp(ref.digest, again.digest) != 0 ||
        strcmp(ref.registry, again.registry) != 0)
        abort();
}

static void fuzz_stream(const char *bytes, size_t len) {
    AUTO_IMAGE_STREAM struct image_stream stream = IMAGE_STREAM;
    struct err err = {0};
    size_t half = len / 2;
    if (image_stream_feed(&stream, bytes, half, &err) == 0 &&
        image_stream_feed(&stream, bytes + half, len - half, &err) == 0)
        image_stream_finish(&stream, &err);
    image_failure_code(500, err.text, len & 1);
}

static void fuzz_event(const char *bytes, size_t len) {
    AUTO_EVENT struct event event = {0};
    event_parse(bytes, len, &event, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const targets[])(const char *, size_t) = {fuzz_ref, fuzz_stream, fuzz_event};
    if (size > 0)
        targets[data[0] % ARRAY_LEN(targets)]((const char *)data + 1, size - 1);
    return 0;
}
