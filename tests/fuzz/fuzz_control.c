/* Any datagram is a message or an error. */
#include <stdint.h>
#include <stdlib.h>

#include "proto/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct control message = {0};
    struct err err = {0};
    if (control_decode((const char *)data, size, &message, &err) < 0 && err.kind != ERR_INVALID)
        abort();
    control_done(&message);
    return 0;
}
