#include "orchestrator/scribe/source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/pread.h"
#include "orchestrator/scribe/walk.h"
#include "proto/fault_points.h"

enum {
    SOURCE_WINDOW_BYTES = 256 * 1024,
    SOURCE_BLOCK_BYTES = 4096,
    SOURCE_CLOCK_EVERY = 256, /* pieces walked over between two looks at the clock */
};
_Static_assert(SOURCE_WINDOW_BYTES > SPOOL_HEADER_BYTES + SPOOL_PAYLOAD_MAX, "a whole record fits");

/* The runner makes a spool some time after the directory. Opened for writing only to give space back. */
int source_open(struct source *source, int dir_fd, const char *file, struct err *err) {
    if (source->fd >= 0)
        return 0;
    AUTO_FD int fd = openat(dir_fd, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_sys(err, "open %s", file);
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, 0, "%s is no regular file", file);
    source->fd = STEAL_FD(fd);
    return 0;
}

void source_close(struct source *source) {
    if (source->fd >= 0)
        close(source->fd);
    source->fd = -1;
}

static int size_of(const struct source *source, int64_t *ret_size, struct err *err) {
    struct stat st = {.st_size = 0};
    if (source->fd >= 0 && fstat(source->fd, &st) < 0)
        return err_sys(err, "look at a spool");
    *ret_size = st.st_size;
    return 0;
}

int64_t source_unread(const struct source *source, int64_t raw_pos) {
    int64_t size = 0;
    if (size_of(source, &size, NULL) < 0)
        return 1;
    return size > raw_pos ? size - raw_pos : 0;
}

void source_reset(struct source *source, int64_t raw_pos) {
    source->counted = 0;
    source->counted_to = raw_pos;
}

/* Counts on from where the last visit stopped. */
static int count_ahead(struct source *source, int64_t size, struct err *err) {
    static struct walk walk;
    struct walk_piece piece;
    int64_t until_ms = clock_boot_ms() + SOURCE_COUNT_MS;
    int r = 1;
    walk_begin(&walk, source->fd, source->counted_to, size);
    for (unsigned n = 1; r > 0 && (n % SOURCE_CLOCK_EVERY || clock_boot_ms() < until_ms); n++) {
        r = walk_look(&walk, &piece, err);
        if (r <= 0)
            break;
        walk_over(&walk, &piece);
        source->counted += piece.output_bytes;
    }
    source->counted_to = walk.pos;
    return r;
}

/* Goes unread over what is certain to slide out. */
static int pass_over(struct source *source, struct pack *pack, int64_t size, int64_t until_ms,
                     struct err *err) {
    static struct walk walk;
    struct walk_piece piece;
    int64_t from = pack->at.raw_pos[pack->source], output = 0, lost = 0, certain = pack_certain(pack);
    int r = 1;
    walk_begin(&walk, source->fd, from, size);
    for (unsigned n = 1; r > 0 && (n % SOURCE_CLOCK_EVERY || clock_boot_ms() < until_ms); n++) {
        r = walk_look(&walk, &piece, err);
        if (r <= 0 || piece.output_bytes > certain - output)
            break;
        walk_over(&walk, &piece);
        output += piece.output_bytes;
        lost += lost < PACK_LOG_BYTES_MAX - piece.lost_bytes ? piece.lost_bytes : 0;
    }
    if (walk.pos > from)
        pack_pass(pack, walk.pos - from, output, lost);
    return r;
}

/* The size first: what init appends meanwhile lies behind it. */
static int pass_hole(const struct source *source, struct pack *pack, struct err *err) {
    int64_t size = 0, pos = pack->at.raw_pos[pack->source];
    if (size_of(source, &size, err) < 0)
        return -1;
    int64_t end = walk_hole(source->fd, pos, size);
    if (end > pos)
        pack_hole(pack, end - pos);
    return 0;
}

/* Window by window, until nothing whole is left, or share or time are used up. */
static int read_on(const struct source *source, struct pack *pack, bool final, int64_t until_ms,
                   struct err *err) {
    static unsigned char window[SOURCE_WINDOW_BYTES];
    for (;;) {
        if (pass_hole(source, pack, err) < 0)
            return -1;
        ssize_t got = pread_whole(source->fd, window, sizeof window, pack->at.raw_pos[pack->source]);
        if (got < 0)
            return err_sys(err, "read a spool");
        bool last = (size_t)got < sizeof window;
        size_t used = pack_take(pack, window, (size_t)got, final && last);
        if (pack_is_full(pack))
            return SOURCE_MORE;
        if (last)
            return used < (size_t)got ? SOURCE_TORN : SOURCE_END;
        if (clock_boot_ms() >= until_ms)
            return SOURCE_MORE;
    }
}

int source_take(struct source *source, struct pack *pack, unsigned which, unsigned shares, bool final,
                struct err *err) {
    int64_t size = 0, raw_pos = pack->at.raw_pos[which];
    if (size_of(source, &size, err) < 0)
        return -1;
    if (size < source->counted_to || source->counted_to < raw_pos)
        source_reset(source, raw_pos); /* it was shortened, or was not counted */
    if (size - raw_pos > pack->window && count_ahead(source, size, err) < 0)
        return -1;
    pack_source(pack, which, shares, source->counted);
    int64_t until_ms = clock_boot_ms() + SOURCE_TAKE_MS;
    bool unread = pack->at.unhashed || size - raw_pos > SOURCE_BACKLOG_MAX;
    if (unread && pack_certain(pack) > 0 && pass_over(source, pack, size, until_ms, err) < 0)
        return -1;
    return read_on(source, pack, final, until_ms, err);
}

/* Files that cannot give space back keep it until the directory goes. What may be the END record stays: the
 * runner reads it for its verdict, maybe after all was taken over. */
static void punch(struct source *source, int64_t raw_pos) {
    int64_t before_end = raw_pos - SPOOL_HEADER_BYTES - (int64_t)sizeof(struct spool_end);
    int64_t whole = before_end / SOURCE_BLOCK_BYTES * SOURCE_BLOCK_BYTES;
    if (source->fd < 0 || whole - source->punched < SOURCE_PUNCH_BYTES)
        return;
    (void)fallocate(source->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, source->punched,
                    whole - source->punched);
    source->punched = whole;
    FAULT(SCRIBE_PUNCHED);
}

void source_committed(struct source *source, const struct pack *pack, unsigned which) {
    int64_t raw_pos = pack->at.raw_pos[which];
    source->counted -= pack->at.output_bytes[which] - pack->from.output_bytes[which];
    if (source->counted_to <= raw_pos || source->counted < 0)
        source_reset(source, raw_pos);
    punch(source, raw_pos);
}

/* 1: *ret is there; 0; -1. */
static int read_end(const struct source *source, struct spool_end *ret, struct err *err) {
    int there = source->fd < 0 ? 0 : spool_read_end(source->fd, ret, NULL);
    return there < 0 ? err_sys(err, "read a spool's last record") : there;
}

int source_has_end(const struct source *source, struct err *err) {
    struct spool_end end;
    return read_end(source, &end, err);
}

int source_is_complete(const struct source *source, int64_t raw_pos, int64_t output_bytes, struct err *err) {
    struct spool_end end;
    int64_t size = 0;
    int there = read_end(source, &end, err);
    if (there <= 0)
        return there;
    if (size_of(source, &size, err) < 0)
        return -1;
    return size >= raw_pos && end.output_bytes == output_bytes;
}
