#include "orchestrator/scribe/walk.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/pread.h"
#include "proto/spool.h"

/* The one payload that has to be seen. */
enum { WALK_SEEN_BYTES = SPOOL_HEADER_BYTES + sizeof(struct spool_lost) };

void walk_begin(struct walk *walk, int fd, int64_t pos, int64_t size) {
    walk->fd = fd;
    walk->pos = walk->window_pos = pos;
    walk->size = size;
    walk->window_len = 0;
}

/* How much of what lies at the position is in the window: enough to see what it is, or all there is. */
static ssize_t fill(struct walk *walk, struct err *err) {
    int64_t in = walk->pos - walk->window_pos, left = walk->size - walk->pos;
    int64_t have = in < (int64_t)walk->window_len ? (int64_t)walk->window_len - in : 0;
    if (have >= WALK_SEEN_BYTES || have >= left)
        return have < left ? (ssize_t)have : (ssize_t)(left > 0 ? left : 0);
    size_t want = left < WALK_WINDOW_BYTES ? (size_t)left : WALK_WINDOW_BYTES;
    ssize_t got = pread_whole(walk->fd, walk->window, want, walk->pos);
    if (got < 0)
        return err_sys(err, "read the spool");
    walk->window_pos = walk->pos;
    walk->window_len = (size_t)got;
    return got;
}

int64_t walk_hole(int fd, int64_t pos, int64_t size) {
    off_t data = lseek(fd, pos, SEEK_DATA);
    if (data < 0)
        return errno == ENXIO && size > pos ? size : pos;
    return data < size ? data : size > pos ? size : pos;
}

int walk_look(struct walk *walk, struct walk_piece *ret, struct err *err) {
    struct walk_piece piece = {0};
    struct spool_header header;
    ssize_t have = fill(walk, err);
    if (have <= 0)
        return (int)have;
    const unsigned char *at = walk->window + (walk->pos - walk->window_pos);
    if (have >= SPOOL_HEADER_BYTES && spool_get_header(at, &header)) {
        piece.raw_bytes = SPOOL_HEADER_BYTES + (int64_t)header.len;
        if (walk->pos + piece.raw_bytes > walk->size)
            return 0;
        piece.output_bytes = header.type == SPOOL_OUTPUT ? header.len : 0;
        if (header.type == SPOOL_LOST) {
            struct spool_lost lost;
            if (have < (ssize_t)WALK_SEEN_BYTES)
                return 0;
            memcpy(&lost, at + SPOOL_HEADER_BYTES, sizeof lost);
            piece.lost_bytes = lost.bytes < 1 ? piece.raw_bytes : lost.bytes;
        }
    } else {
        const unsigned char *payload;
        size_t used = 0;
        if (spool_next(at, (size_t)have, &header, &payload, &used) == SPOOL_PARTIAL)
            return 0;
        int64_t hole = at[0] == 0 ? walk_hole(walk->fd, walk->pos, walk->size) - walk->pos : 0;
        piece.raw_bytes = piece.lost_bytes = hole > (int64_t)used ? hole : (int64_t)used;
    }
    *ret = piece;
    return 1;
}

void walk_over(struct walk *walk, const struct walk_piece *piece) {
    walk->pos += piece->raw_bytes;
}
