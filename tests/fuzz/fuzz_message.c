/* Output of a job becomes a message that gives the same bytes back; any bytes are a message or an error. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_comes_back(const uint8_t *data, size_t size) {
    AUTO_BUF struct buf out = BUF(SIZE_MAX / 2);
    struct message message = {0};
    if (message_put_log(&out, 7, 1, "stdout", data, size) < 0 ||
        message_parse(out.data, out.len, &message, NULL) < 0 || message.data_len != size ||
        (size && memcmp(message.data, data, size) != 0))
        abort();
    message_done(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct message message = {0};
    if (message_parse((const char *)data, size, &message, NULL) == 0 && message.type >= MESSAGE_TYPE_COUNT)
        abort();
    message_done(&message);
    check_comes_back(data, size);
    return 0;
}
