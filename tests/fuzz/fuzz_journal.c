/* The first byte says where a reader came by while the rest was being written: it sees the same as one who
 * came at the end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    size_t len = size - 1;
    size_t cut = len * data[0] / 255;
    static struct journal whole, parts; /* static: padding is zero in both */
    memset(&whole, 0, sizeof whole);
    memset(&parts, 0, sizeof parts);
    int skipped = journal_fold(&whole, text, len);
    int seen = journal_fold(&parts, text, cut);
    seen += journal_fold(&parts, text + parts.used, len - parts.used);
    if (seen != skipped || memcmp(&whole, &parts, sizeof whole) != 0 || whole.used > len)
        abort();
    return 0;
}
