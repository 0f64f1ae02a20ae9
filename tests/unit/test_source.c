/* Spools read in visits, against a log that remembers everything. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "orchestrator/scribe/source.h"
#include "orchestrator/scribe/walk.h"
#include "proto/stream.h"

enum { LOG_MAX = 4 * 1024 * 1024, ROWS_MAX = 4096, ROUNDS = 60 };

static char dir[] = "/tmp/berth-test-source-XXXXXX";
static int dir_fd = -1;
static struct err err;

static struct {
    unsigned char bytes[LOG_MAX];
    struct row {
        int64_t offset, len;
        bool gap;
    } rows[ROWS_MAX];
    size_t count;
} stored; /* what the database would have */

static struct buf written; /* all output of the main source */
static struct source sources[PACK_SOURCES_MAX];
static struct pack_position at;
static int write_fd[PACK_SOURCES_MAX];

/* In place of libc's. A kernel may be interrupted, and give less than it was asked for. */
static bool stingy;
ssize_t pread(int fd, void *bytes, size_t len, off_t from) {
    static bool turn;
    turn = stingy && !turn;
    if (turn) {
        errno = EINTR;
        return -1;
    }
    return syscall(SYS_pread64, fd, bytes, stingy && len > 1 ? len / 2 : len, from);
}

/* Numbers that are the same in every run (xorshift64). */
static uint64_t dice_state;
static void seed(uint64_t from) {
    dice_state = from;
}
static int dice(void) {
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return (int)(dice_state & INT32_MAX);
}

static void begin(void) {
    cr_assert_not_null(mkdtemp(dir));
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    written = BUF(LOG_MAX);
}
static void finish(void) {
    buf_done(&written);
    close(dir_fd);
    dir_remove_tree(AT_FDCWD, dir, NULL);
}
TestSuite(source, .init = begin, .fini = finish);

static void start(unsigned count, bool unhashed) {
    at = (struct pack_position){.unhashed = unhashed};
    sha256_init(&at.sha);
    stored.count = 0;
    buf_clear(&written);
    for (unsigned i = 0; i < count; i++) {
        char name[] = "spool.0";
        name[6] = (char)('0' + i);
        write_fd[i] = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        sources[i] = (struct source){.fd = -1};
        cr_assert_eq(source_open(&sources[i], dir_fd, name, &err), 0, "%s", err.text);
        source_reset(&sources[i], 0);
    }
}
static void stop(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        close(write_fd[i]);
        source_close(&sources[i]);
    }
}

static void put(unsigned source, enum spool_type type, enum spool_stream stream, const void *bytes,
                size_t len) {
    unsigned char record[SPOOL_HEADER_BYTES + SPOOL_PAYLOAD_MAX];
    static uint64_t time_us;
    time_us += (uint64_t)(dice() % 900);
    spool_put_header(record, &(struct spool_header){type, stream, (uint32_t)len, time_us});
    memcpy(record + SPOOL_HEADER_BYTES, bytes, len);
    cr_assert_eq(fd_write_all(write_fd[source], record, SPOOL_HEADER_BYTES + len, &err), 0);
}

static void say_something(unsigned source, size_t most) {
    static unsigned char bytes[SPOOL_PAYLOAD_MAX];
    size_t len = (size_t)dice() % (most < sizeof bytes ? most : sizeof bytes) + 1;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)dice();
    put(source, SPOOL_OUTPUT, dice() % 3 ? SPOOL_STDOUT : SPOOL_STDERR, bytes, len);
    if (source == PACK_MAIN)
        cr_assert_eq(buf_add(&written, bytes, len), 0);
}

/* As ship_log and ship_slide do. */
static void store(const struct pack *pack, int64_t limit) {
    int64_t head_end = pack_head_end(limit), tail = pack_tail_begin(limit, pack->at.log_bytes);
    size_t kept = 0;
    for (size_t i = 0; i < pack->count; i++) {
        const struct pack_chunk *c = &pack->chunks[i];
        int64_t len = c->gap_bytes ? c->gap_bytes : (int64_t)c->bytes.len;
        cr_assert_lt(stored.count, ROWS_MAX);
        if (stored.count > 0) {
            const struct row *last = &stored.rows[stored.count - 1];
            cr_assert_geq(c->log_offset, last->offset + last->len, "rows lie one behind the other");
        }
        stored.rows[stored.count++] = (struct row){c->log_offset, len, c->gap_bytes > 0};
        if (!c->gap_bytes)
            memcpy(stored.bytes + c->log_offset, c->bytes.data, c->bytes.len);
    }
    for (size_t i = 0; i < stored.count; i++) {
        struct row row = stored.rows[i];
        if (row.offset < head_end || row.offset + row.len > tail)
            stored.rows[kept++] = row;
    }
    stored.count = kept;
}

/* One visit; one time in some the commit fails, and nothing has happened. */
static void visit(unsigned count, int64_t limit, bool final) {
    struct pack *pack = mem_alloc(sizeof *pack);
    pack_begin(pack, &at, limit, 0);
    for (unsigned i = count; i-- > 0;)
        cr_assert_geq(source_take(&sources[i], pack, i, PACK_SOURCES_MAX, final, &err), 0, "%s", err.text);
    pack_finish(pack);
    if (dice() % 5 == 0) {
        for (unsigned i = 0; i < count; i++)
            source_reset(&sources[i], at.raw_pos[i]);
    } else {
        store(pack, limit);
        for (unsigned i = 0; i < count; i++)
            source_committed(&sources[i], pack, i);
        at = pack->at;
    }
    pack_done(pack);
    free(pack);
}

static bool waits(unsigned count) {
    for (unsigned i = 0; i < count; i++)
        if (source_unread(&sources[i], at.raw_pos[i]) > 0)
            return true;
    return false;
}

/* Every byte of head and tail is there, and no row lies anywhere but where bytes belong. */
static void check(int64_t limit, bool unhashed) {
    int64_t total = (int64_t)written.len, head_end = pack_head_end(limit),
            tail = pack_tail_begin(limit, total);
    cr_assert_eq(at.log_bytes, total);
    cr_assert_eq(at.lost_bytes, 0);
    cr_assert_eq(at.output_bytes[PACK_MAIN], total);
    AUTO_FREE bool *covered = mem_alloc((size_t)total + 1);
    for (size_t i = 0; i < stored.count; i++) {
        struct row row = stored.rows[i];
        cr_assert_leq(row.offset + row.len, total);
        cr_assert_eq(memcmp(stored.bytes + row.offset, written.data + row.offset, (size_t)row.len), 0,
                     "row at %lld", (long long)row.offset);
        memset(covered + row.offset, 1, (size_t)row.len);
    }
    for (int64_t i = 0; i < total; i++)
        if (i < head_end || i >= tail)
            cr_assert(covered[i], "byte %lld of %lld, limit %lld", (long long)i, (long long)total,
                      (long long)limit);
    if (unhashed)
        return;
    unsigned char got[32], want[32];
    cr_assert_not(at.unhashed);
    sha256_digest(&at.sha, sizeof got, got);
    crypto_hash_sha256(want, (const unsigned char *)buf_str(&written), written.len);
    cr_assert_eq(memcmp(got, want, 32), 0);
}

static void run_randomly(bool unhashed) {
    for (int round = 0; round < ROUNDS; round++) {
        int64_t limit = dice() % 4 ? dice() % 1500000 : dice() % 20;
        size_t total = (size_t)(dice() % (LOG_MAX / 2)), most = dice() % 2 ? 100 : SPOOL_PAYLOAD_MAX;
        start(1, unhashed);
        while (written.len < total) {
            for (int n = dice() % (dice() % 2 ? 20 : 2000); n > 0 && written.len < total; n--)
                say_something(PACK_MAIN, most);
            visit(1, limit, false);
        }
        while (waits(1))
            visit(1, limit, false);
        check(limit, unhashed);
        stop(1);
    }
}

Test(source, head_and_tail_are_exact_however_much_was_skipped) {
    seed(4711);
    run_randomly(false);
}

Test(source, head_and_tail_are_exact_when_what_slides_out_is_not_even_read) {
    seed(4712);
    run_randomly(true);
}

/* All that was ever written lies there, so what comes behind a record that was read in part is no garbage. */
Test(source, a_short_read_is_not_the_end) {
    enum { LIMIT = 1000000 };
    seed(4713);
    start(1, false);
    while (written.len < LIMIT)
        say_something(PACK_MAIN, SPOOL_PAYLOAD_MAX);
    stingy = true;
    while (waits(1))
        visit(1, LIMIT, true);
    stingy = false;
    check(LIMIT, false);
    stop(1);
}

Test(source, what_is_certain_to_slide_out_is_not_stored) {
    enum { LIMIT = 100000, RECORDS = 300 };
    static unsigned char bytes[10000];
    seed(4710);
    start(1, false);
    for (int i = 0; i < RECORDS; i++)
        put(PACK_MAIN, SPOOL_OUTPUT, SPOOL_STDOUT, bytes, sizeof bytes);
    while (waits(1)) { /* in one visit, or in several where the time of one was not enough */
        struct pack *pack = mem_alloc(sizeof *pack);
        int64_t held = 0;
        pack_begin(pack, &at, LIMIT, 0);
        cr_assert_geq(source_take(&sources[0], pack, 0, 1, false, &err), 0);
        for (size_t i = 0; i < pack->count; i++)
            held += (int64_t)pack->chunks[i].bytes.len;
        cr_expect_leq(held, LIMIT + (int64_t)sizeof bytes, "%lld", (long long)held);
        source_committed(&sources[0], pack, 0);
        at = pack->at;
        pack_done(pack);
        free(pack);
    }
    cr_expect_eq(at.log_bytes, (int64_t)RECORDS * (int64_t)sizeof bytes);
    stop(1);
}

/* It is read again after all was taken over: by the runner, for the verdict, and when the log is complete. */
Test(source, the_end_is_not_given_back_to_the_disk) {
    enum { LIMIT = 100000, BLOCK = 4096, RECORDS = 2 * SOURCE_PUNCH_BYTES / SPOOL_PAYLOAD_MAX };
    static unsigned char bytes[SPOOL_PAYLOAD_MAX];
    struct spool_end end = {.output_bytes = 4711}, there = {0};
    for (int before = 0; before < (int)sizeof end + SPOOL_HEADER_BYTES; before += 10) {
        seed(4716);
        start(1, false);
        int64_t size = 0;
        for (int i = 0; i < RECORDS; i++, size += SPOOL_HEADER_BYTES + (int64_t)sizeof bytes)
            put(PACK_MAIN, SPOOL_OUTPUT, SPOOL_STDOUT, bytes, sizeof bytes);
        size_t pad = (size_t)(BLOCK - (size + SPOOL_HEADER_BYTES + before) % BLOCK);
        put(PACK_MAIN, SPOOL_OUTPUT, SPOOL_STDOUT, bytes, pad);
        put(PACK_MAIN, SPOOL_END, 0, &end, sizeof end);
        while (waits(1))
            visit(1, LIMIT, false);
        cr_expect_geq(sources[0].punched, SOURCE_PUNCH_BYTES, "something was given back");
        cr_assert_eq(spool_read_end(sources[0].fd, &there, NULL), 1, "%d bytes before a block's end", before);
        cr_expect_eq(there.output_bytes, 4711);
        stop(1);
    }
}

Test(source, each_gets_its_share_and_its_stream) {
    static unsigned char bytes[50000];
    seed(4715);
    start(3, false);
    for (int i = 0; i < 100; i++)
        for (unsigned s = 0; s < 3; s++) {
            memset(bytes, (int)('a' + s), sizeof bytes);
            put(s, SPOOL_OUTPUT, SPOOL_SYSTEM, bytes, sizeof bytes); /* whatever it calls itself */
        }
    struct pack *pack = mem_alloc(sizeof *pack);
    pack_begin(pack, &at, 1 << 30, 0);
    for (unsigned i = 0; i < 3; i++) {
        cr_expect_eq(source_take(&sources[i], pack, i, 3, false, &err), SOURCE_MORE);
        cr_expect_lt(pack->at.raw_pos[i], PACK_RAW_BYTES_MAX / 3 + SPOOL_PAYLOAD_MAX + SPOOL_HEADER_BYTES);
        cr_expect_gt(pack->at.raw_pos[i], 0);
    }
    pack_finish(pack);
    static const int streams[] = {STREAM_STDOUT, STREAM_SYSTEM, STREAM_SERVICE};
    for (size_t i = 0; i < pack->count; i++) {
        const unsigned char *segments = (unsigned char *)pack->chunks[i].segments.data;
        size_t byte = 0;
        for (size_t s = 0; s < pack->chunks[i].segments.len; s += PACK_SEGMENT_BYTES) {
            uint32_t len;
            memcpy(&len, segments + s, sizeof len);
            cr_assert_eq(segments[s + 4], streams[pack->chunks[i].bytes.data[byte] - 'a']);
            byte += len;
        }
    }
    pack_done(pack);
    free(pack);
    stop(3);
}

/* The same bytes in the same pieces, whether they are read or walked over. */
Test(source, a_walk_sees_what_a_reader_sees) {
    seed(4713);
    start(1, false);
    int64_t output = 0, lost = 0;
    for (int i = 0; i < 3000; i++) {
        unsigned char noise[300];
        size_t len = (size_t)dice() % sizeof noise + 1;
        for (size_t k = 0; k < len; k++)
            noise[k] = dice() % 3 ? (unsigned char)dice() : SPOOL_MAGIC;
        if (i % 5 == 0)
            cr_assert_eq(fd_write_all(write_fd[0], noise, len, &err), 0);
        else if (i % 7 == 0)
            put(0, SPOOL_LOST, SPOOL_STDOUT, &(struct spool_lost){.bytes = dice() % 9},
                sizeof(struct spool_lost));
        else
            put(0, SPOOL_OUTPUT, SPOOL_STDOUT, noise, i % 11 ? len : 1);
    }
    struct walk walk;
    struct walk_piece piece;
    walk_begin(&walk, sources[0].fd, 0, source_unread(&sources[0], 0));
    while (walk_look(&walk, &piece, &err) == 1) {
        output += piece.output_bytes;
        lost += piece.lost_bytes;
        walk_over(&walk, &piece);
    }
    for (int idle = 0; idle < 50 && waits(1);) { /* what then still waits is an incomplete record */
        int64_t before = at.raw_pos[0];
        visit(1, 1 << 30, false);
        idle = at.raw_pos[0] == before ? idle + 1 : 0;
    }
    cr_expect_eq(walk.pos, at.raw_pos[0]);
    cr_expect_eq(output, at.output_bytes[0]);
    cr_expect_eq(lost, at.lost_bytes);
    stop(1);
}

Test(source, one_that_is_shortened_is_counted_anew) {
    enum { LIMIT = 50000 };
    seed(4714);
    start(1, false);
    while (written.len < 200000)
        say_something(0, 1000);
    struct pack *pack = mem_alloc(sizeof *pack);
    pack_begin(pack, &at, LIMIT, 0);
    cr_expect_eq(source_take(&sources[0], pack, 0, 1, false, &err), SOURCE_END);
    cr_expect_gt(sources[0].counted, 0);
    pack_done(pack);
    cr_assert_eq(ftruncate(write_fd[0], 10), 0);
    pack_begin(pack, &at, LIMIT, 0);
    cr_expect_eq(source_take(&sources[0], pack, 0, 1, false, &err), SOURCE_TORN);
    cr_expect_eq(sources[0].counted, 0);
    cr_expect_eq(pack->at.log_bytes, 0);
    pack_done(pack);
    free(pack);
    stop(1);
}

/* No time would do for reading it. */
Test(source, a_hole_is_gone_over_at_once) {
    enum { WIDE_LIMIT = 1024 * 1024 };
    static const int64_t hole = INT64_C(4) << 40;
    start(1, false);
    put(0, SPOOL_OUTPUT, SPOOL_STDOUT, "before", 6);
    off_t size = lseek(write_fd[0], 0, SEEK_END);
    cr_assert_eq(ftruncate(write_fd[0], size + hole), 0);
    put(0, SPOOL_OUTPUT, SPOOL_STDOUT, "after", 5);
    struct pack *pack = mem_alloc(sizeof *pack);
    pack_begin(pack, &at, WIDE_LIMIT, 0);
    int taken = SOURCE_MORE;
    while (taken == SOURCE_MORE)
        taken = source_take(&sources[0], pack, 0, 1, true, &err);
    cr_expect_eq(taken, SOURCE_END, "%s", err.text);
    cr_expect_eq(pack->at.output_bytes[0], 11);
    pack_finish(pack);
    cr_expect(pack->at.lost_bytes >= hole - 4096 && pack->at.lost_bytes <= hole, "%lld",
              (long long)pack->at.lost_bytes);
    pack_done(pack);
    free(pack);
    stop(1);
}
