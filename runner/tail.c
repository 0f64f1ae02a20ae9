#include "runner/tail.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "proto/spool.h"

void tail_clean(char *text) {
    for (size_t left = strlen(text); left;) {
        size_t len = utf8_char_len(text, left);
        bool foul = len == 0 || utf8_is_control(text, len);
        len = len ? len : 1;
        if (foul)
            memset(text, *text == '\t' ? ' ' : '?', len);
        text += len;
        left -= len;
    }
}

/* What the records in these bytes say was written; bytes that are no record are skipped. */
static void take_output(const unsigned char *bytes, size_t len, struct buf *out) {
    for (size_t at = 0; at < len;) {
        struct spool_header header;
        const unsigned char *payload;
        size_t used = 0;
        enum spool_next next = spool_next(bytes + at, len - at, &header, &payload, &used);
        if (next == SPOOL_PARTIAL)
            used = 1; /* what looks like the beginning of a record may be anything here */
        if (next == SPOOL_RECORD && header.type == SPOOL_OUTPUT)
            buf_add(out, payload, header.len);
        at += used;
    }
}

/* Puts one line in front of what is there already. 0: it fits; 1: its end does; nothing more does. */
static int put_front(const char *line, size_t len, char *text, size_t max) {
    size_t have = strlen(text);
    size_t joint = have ? TAIL_JOINT_BYTES : 0;
    if (max < have + joint + 2)
        return 1;
    size_t room = max - 1 - have - joint;
    size_t take = len < room ? len : room;
    const char *from = line + (len - take);
    if (have && take < len)
        return 1; /* half a line is worth something only where it is all there is */
    while (take && take < len && ((unsigned char)*from & 0xc0) == 0x80) { /* not inside a character */
        from++;
        take--;
    }
    memmove(text + take + joint, text, have + 1);
    memcpy(text, from, take);
    memcpy(text + take, " | ", joint);
    return take < len;
}

static void last_lines(const char *output, size_t len, size_t lines, char *text, size_t max) {
    while (lines && len) {
        while (len && (output[len - 1] == '\n' || output[len - 1] == '\r'))
            len--;
        const char *end = len ? memrchr(output, '\n', len) : NULL;
        size_t begin = end ? (size_t)(end - output) + 1 : 0;
        if (len > begin && put_front(output + begin, len - begin, text, max) != 0)
            return;
        len = begin;
        lines--;
    }
}

void tail_read(int spool_fd, size_t lines, char *ret_text, size_t max) {
    struct stat st;
    AUTO_BUF struct buf output = BUF(TAIL_READ_BYTES);
    ret_text[0] = '\0';
    if (fstat(spool_fd, &st) < 0 || st.st_size <= 0)
        return;
    off_t from = st.st_size > TAIL_READ_BYTES ? st.st_size - TAIL_READ_BYTES : 0;
    AUTO_FREE unsigned char *bytes = mem_alloc(TAIL_READ_BYTES);
    ssize_t got = pread(spool_fd, bytes, TAIL_READ_BYTES, from);
    if (got <= 0)
        return;
    take_output(bytes, (size_t)got, &output);
    for (size_t i = 0; i < output.len; i++)
        if (output.data[i] == '\0')
            output.data[i] = '?';
    if (output.len)
        last_lines(output.data, output.len, lines, ret_text, max);
    tail_clean(ret_text);
}
