/* Whatever stands in a docker config.json, it is refused or gives a header of one line. The image is the
 * first line. */
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "runner/pull.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=";
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    if (!newline)
        return 0;
    AUTO_FREE char *image = mem_strndup((const char *)data, (size_t)(newline - data));
    AUTO_FREE char *auth = NULL;
    struct err err = {0};
    int got = pull_auth((const char *)newline + 1, size - (size_t)(newline + 1 - data), image, &auth, &err);
    if (got < 0 ? auth != NULL || err.kind != ERR_INVALID
                : auth && (strlen(auth) % 4 || auth[strspn(auth, allowed)]))
        abort();
    return 0;
}
