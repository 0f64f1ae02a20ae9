/* The parts of berth-init that can be tried alone: launch file, counters, writer. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/launch.h"
#include "runner/init/counters.h"
#include "runner/init/launchfile.h"
#include "runner/init/writer.h"

static const char *parse(const char *bytes, size_t len, struct launchfile *ret) {
    char *copy = malloc(len + 1);
    memcpy(copy, bytes, len);
    copy[len] = '\0';
    const char *wrong = launchfile_parse(copy, len, ret);
    if (wrong)
        free(copy);
    return wrong;
}
#define PARSE(text, ret) parse(text, sizeof(text) - 1, ret)
#define V LAUNCH_VERSION "\0"

Test(launch, a_whole_file) {
    struct launchfile launch;
    cr_assert_null(PARSE(V "ash\0a-c\0a\0eA=b=c\0i\0.\0", &launch));
    cr_assert_str_eq(launch.argv[0], "sh");
    cr_assert_str_eq(launch.argv[2], "");
    cr_assert_null(launch.argv[3]);
    cr_assert_str_eq(launch.env[0], "A=b=c");
    cr_assert(launch.has_input);
    char *inherited[] = {"AA=1", "A=old", "PATH=/bin", NULL};
    char **env = launchfile_environment(&launch, inherited);
    cr_assert_str_eq(env[0], "AA=1");
    cr_assert_str_eq(env[1], "PATH=/bin");
    cr_assert_str_eq(env[2], "A=b=c");
    cr_assert_null(env[3]);
    free(env);
    launchfile_done(&launch);
}

Test(launch, every_torn_file_is_refused) {
    static const char whole[] = V "ash\0eA=b\0i\0.\0";
    struct launchfile launch;
    for (size_t len = 0; len < sizeof whole - 1; len++)
        cr_assert_not_null(parse(whole, len, &launch), "cut at %zu", len);
}

Test(launch, what_is_wrong_is_said) {
    struct launchfile launch;
    cr_assert_str_eq(PARSE(V ".\0", &launch), "it names no command");
    cr_assert_str_eq(PARSE(V "ax\0e=b\0.\0", &launch), "an environment entry is not NAME=value");
    cr_assert_str_eq(PARSE(V "ax\0zb\0.\0", &launch), "an entry has an unknown key");
    cr_assert_str_eq(PARSE(V "ax\0.\0x\0", &launch), "bytes follow its end");
    cr_assert_str_eq(PARSE("berth-launch-2\0ax\0.\0", &launch), "it does not begin with " LAUNCH_VERSION);
}

Test(launch, of_a_service) {
    struct launchfile launch;
    cr_assert_null(PARSE(V "ash\0cx\0c\0cy z\0b1:2:/a:b\0b18446744073709551615:0:/\0.\0", &launch));
    cr_expect_eq(launch.ready, LAUNCHFILE_READY_COMMAND);
    cr_expect_str_eq(launch.command[1], "");
    cr_expect_str_eq(launch.command[2], "y z");
    cr_expect_null(launch.command[3]);
    cr_assert_eq(launch.bind_count, 2);
    cr_expect(launch.binds[0].dev == 1 && launch.binds[0].inode == 2);
    cr_expect_str_eq(launch.binds[0].target, "/a:b");
    cr_expect(launch.binds[1].dev == UINT64_MAX && launch.binds[1].inode == 0);
    launchfile_done(&launch);
    cr_assert_null(PARSE(V "ash\0h8080/a?b\0.\0", &launch));
    cr_expect(launch.ready == LAUNCHFILE_READY_HTTP && launch.port == 8080);
    cr_expect_str_eq(launch.path, "/a?b");
    launchfile_done(&launch);
    cr_assert_null(PARSE(V "ash\0t65535\0.\0", &launch));
    cr_expect(launch.ready == LAUNCHFILE_READY_TCP && launch.port == 65535);
    launchfile_done(&launch);
}

Test(launch, what_is_wrong_with_a_service_is_said) {
    static const char port[] = "its port is no port";
    static const char bind[] = "a bind is not DEV:INODE:/TARGET";
    static const char twice[] = "it says twice when the service is ready";
    struct launchfile launch;
    cr_expect_str_eq(PARSE(V "ax\0t\0.\0", &launch), port);
    cr_expect_str_eq(PARSE(V "ax\0t0\0.\0", &launch), port);
    cr_expect_str_eq(PARSE(V "ax\0t-1\0.\0", &launch), port);
    cr_expect_str_eq(PARSE(V "ax\0t65536\0.\0", &launch), port);
    cr_expect_str_eq(PARSE(V "ax\0t80/\0.\0", &launch), port);
    cr_expect_str_eq(PARSE(V "ax\0h80\0.\0", &launch), "its HTTP path does not begin with / or is too long");
    cr_expect_str_eq(PARSE(V "ax\0t80\0ly\0.\0", &launch), twice);
    cr_expect_str_eq(PARSE(V "ax\0ly\0ly\0.\0", &launch), twice);
    cr_expect_str_eq(PARSE(V "ax\0cx\0t1\0cy\0.\0", &launch), twice);
    cr_expect_str_eq(PARSE(V "ax\0b1:2\0.\0", &launch), bind);
    cr_expect_str_eq(PARSE(V "ax\0b1:2:a\0.\0", &launch), bind);
    cr_expect_str_eq(PARSE(V "ax\0b:2:/a\0.\0", &launch), bind);
    cr_expect_str_eq(PARSE(V "ax\0b1:18446744073709551616:/a\0.\0", &launch), bind);
}

static char dir[] = "/tmp/test_init.XXXXXX";

static void file_put(const char *name, const char *text) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    for (char *slash = strchr(path + sizeof dir, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

static struct spool_end counters(void) {
    struct spool_end end = {0};
    char membership[100];
    char mount[100];
    snprintf(membership, sizeof membership, "%s/membership", dir);
    snprintf(mount, sizeof mount, "%s/mount", dir);
    counters_read(membership, mount, &end);
    return end;
}

Test(counters, version_1_at_the_root_of_the_mount) {
    mkdtemp(dir);
    file_put("membership", "9:memory:/docker/x\n8:cpu,cpuacct:/docker/x\n2:pids:/docker/x\n0::/docker/x\n");
    file_put("mount/memory/memory.max_usage_in_bytes", "1048576\n");
    file_put("mount/memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    file_put("mount/cpuacct/cpuacct.usage", "5000000\n");
    file_put("mount/cpu/cpu.stat", "nr_periods 1\nnr_throttled 1\nthrottled_time 7000\n");
    struct spool_end end = counters();
    cr_assert_eq(end.memory_peak_bytes, 1048576);
    cr_assert_eq(end.oom_kills, 3);
    cr_assert_eq(end.cpu_us, 5000);
    cr_assert_eq(end.throttled_us, 7);
    cr_assert_eq(end.pids_peak, SPOOL_UNKNOWN);
}

Test(counters, version_2_at_its_path_before_the_root) {
    mkdtemp(dir);
    file_put("membership", "0::/a/b\n");
    file_put("mount/memory.peak", "1\n");
    file_put("mount/a/b/memory.peak", "4096\n");
    file_put("mount/a/b/memory.events", "low 0\noom 2\noom_kill 1\noom_group_kill 0\n");
    file_put("mount/a/b/cpu.stat", "usage_usec 77\nuser_usec 1\nthrottled_usec 5\n");
    file_put("mount/pids.peak", "9\n");
    struct spool_end end = counters();
    cr_assert_eq(end.memory_peak_bytes, 4096);
    cr_assert_eq(end.oom_kills, 1);
    cr_assert_eq(end.cpu_us, 77);
    cr_assert_eq(end.throttled_us, 5);
    cr_assert_eq(end.pids_peak, 9);
}

Test(counters, nothing_to_read_is_unknown) {
    mkdtemp(dir);
    struct spool_end end = counters();
    cr_assert(end.memory_peak_bytes == SPOOL_UNKNOWN && end.oom_kills == SPOOL_UNKNOWN &&
              end.cpu_us == SPOOL_UNKNOWN && end.pids_peak == SPOOL_UNKNOWN &&
              end.throttled_us == SPOOL_UNKNOWN);
    file_put("membership", "nonsense\n::::\n0::/\n4:memory:/\n");
    file_put("mount/memory.peak", "max\n");
    cr_assert_eq(counters().memory_peak_bytes, SPOOL_UNKNOWN);
}

static struct writer writer;

static void limit_spool(rlim_t limit) {
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = limit, .rlim_max = RLIM_INFINITY});
}

/* The spool takes `limit` bytes and no more. */
static int limited_spool(size_t limit) {
    char path[] = "/tmp/test_init_spool.XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    signal(SIGXFSZ, SIG_IGN);
    limit_spool(limit);
    writer_init(&writer, fd);
    return fd;
}

/* Patience is long over. */
static void flush_without_hope(void) {
    if (writer_flush(&writer)) {
        writer.stuck_since_ms -= WRITER_PATIENCE_MS;
        cr_assert_eq(writer_flush(&writer), 0);
    }
}

struct expected {
    enum spool_type type;
    enum spool_stream stream;
    uint32_t len;
    int64_t lost;
};

static void expect_records(int fd, const struct expected *expected, size_t count) {
    static unsigned char bytes[400000];
    size_t len = (size_t)pread(fd, bytes, sizeof bytes, 0);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        struct spool_header header;
        const unsigned char *payload;
        size_t used;
        cr_assert_eq(spool_next(bytes + at, len - at, &header, &payload, &used), SPOOL_RECORD, "record %zu",
                     i);
        cr_assert(header.type == expected[i].type && header.stream == expected[i].stream &&
                      header.len == expected[i].len,
                  "record %zu", i);
        if (header.type == SPOOL_LOST) {
            struct spool_lost lost;
            memcpy(&lost, payload, sizeof lost);
            cr_assert(lost.bytes == expected[i].lost && lost.error == EFBIG, "record %zu", i);
        }
        at += used;
    }
    cr_assert_eq(at, len);
}

static char chunk[100000];

Test(writer, a_full_spool_keeps_whole_records_and_says_what_is_missing) {
    struct spool_started started = {.pid = 7};
    int fd = limited_spool(50000);
    writer_output(&writer, SPOOL_STDOUT, chunk, sizeof chunk); /* its first record is written in part */
    flush_without_hope();
    writer_record(&writer, SPOOL_STARTED, &started, sizeof started);
    writer_output(&writer, SPOOL_STDERR, chunk, 1000);
    flush_without_hope();
    writer_output(&writer, SPOOL_STDOUT, chunk, 10);
    writer_output(&writer, SPOOL_STDERR, chunk, 1);
    flush_without_hope();
    limit_spool(RLIM_INFINITY);
    writer_output(&writer, SPOOL_STDERR, "back", 4);
    cr_assert_eq(writer_flush(&writer), 0);
    static const struct expected expected[] = {
        {SPOOL_OUTPUT, SPOOL_STDOUT, 65536, 0},
        {SPOOL_LOST, SPOOL_STDOUT, sizeof(struct spool_lost), 100000 - 65536 + 10},
        {SPOOL_STARTED, 0, sizeof started, 0},
        {SPOOL_LOST, SPOOL_STDERR, sizeof(struct spool_lost), 1001},
        {SPOOL_OUTPUT, SPOOL_STDERR, 4, 0}};
    expect_records(fd, expected, sizeof expected / sizeof *expected);
    cr_assert_eq(writer.output_bytes, 65536 + 4);
}

/* What nobody reads grows up to a bound, and goes on when it was read and given back. */
Test(writer, a_spool_that_nobody_reads_has_a_bound) {
    int fd = limited_spool(RLIM_INFINITY);
    int64_t written = 0;
    writer.spool_max_bytes = 1024 * 1024;
    for (int stuck = 0; !stuck; written += stuck ? 0 : (int64_t)sizeof chunk) {
        writer_output(&writer, SPOOL_STDOUT, chunk, sizeof chunk);
        stuck = writer_flush(&writer);
        cr_assert_lt(written, 4 * 1024 * 1024, "it has no bound");
    }
    cr_expect_geq(written, 1024 * 1024 - (int64_t)sizeof chunk);
    writer.stuck_since_ms -= WRITER_PATIENCE_MS;
    cr_assert_eq(writer_flush(&writer), 0); /* that chunk is lost */
    cr_assert_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, written), 0);
    writer_output(&writer, SPOOL_STDOUT, chunk, 10);
    cr_assert_eq(writer_flush(&writer), 0);
    cr_expect_eq(writer.output_bytes, written + 10);
    cr_expect_eq(writer.lost[0].bytes, 0, "it was told");
    close(fd);
}

Test(writer, the_end_of_a_full_spool_has_room) {
    struct spool_end end = {.output_bytes = 3};
    int fd = limited_spool(RLIM_INFINITY);
    writer_output(&writer, SPOOL_STDOUT, "abc", 3);
    cr_assert_eq(writer_flush(&writer), 0);
    struct stat st;
    cr_assert_eq(fstat(fd, &st), 0);
    cr_expect_geq(st.st_blocks * 512, st.st_size + WRITER_RESERVE_BYTES, "room is kept behind it");
    writer.spool_max_bytes = writer.room = 0;
    writer_end(&writer);
    cr_assert_eq(writer_record(&writer, SPOOL_END, &end, sizeof end), 0);
    cr_assert_eq(writer_flush(&writer), 0);
    close(fd);
}

Test(writer, what_both_streams_lost_moves_along_when_the_spool_takes_a_little) {
    enum { RECORD_BYTES = SPOOL_HEADER_BYTES + 200 };
    int fd = limited_spool(100);
    writer_output(&writer, SPOOL_STDOUT, chunk, 200);
    writer_output(&writer, SPOOL_STDERR, chunk, 50);
    writer_output(&writer, SPOOL_STDOUT, chunk, 30);
    flush_without_hope();
    limit_spool(RECORD_BYTES); /* the first record gets whole, and nothing behind it */
    writer_output(&writer, SPOOL_STDERR, chunk, 5);
    cr_assert_eq(writer_flush(&writer), 0);
    limit_spool(RECORD_BYTES + 10); /* stdout's loss is begun, so what it loses from now on is told apart */
    writer_output(&writer, SPOOL_STDOUT, chunk, 7);
    cr_assert_eq(writer_flush(&writer), 0);
    limit_spool(RLIM_INFINITY);
    writer_output(&writer, SPOOL_STDOUT, "back", 4);
    cr_assert_eq(writer_flush(&writer), 0);
    static const struct expected expected[] = {{SPOOL_OUTPUT, SPOOL_STDOUT, 200, 0},
                                               {SPOOL_LOST, SPOOL_STDOUT, sizeof(struct spool_lost), 30},
                                               {SPOOL_LOST, SPOOL_STDERR, sizeof(struct spool_lost), 55},
                                               {SPOOL_LOST, SPOOL_STDOUT, sizeof(struct spool_lost), 7},
                                               {SPOOL_OUTPUT, SPOOL_STDOUT, 4, 0}};
    expect_records(fd, expected, sizeof expected / sizeof *expected);
    cr_assert_eq(writer.output_bytes, 204);
}
