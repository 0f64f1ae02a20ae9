#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "orchestrator/scribe/feed.h"
#include "proto/spool.h"

static const char job[] = "019a0f3e-7b1c-7d2e-8f30-0123456789ab";
static const char spec[] = "{\"image\": \"x\", \"services\": [{\"name\": \"db\", \"image\": \"y\"}]}";
static char dir[] = "/tmp/berth-test-feed-XXXXXX";
static int attempts_fd = -1;
static struct feed *feed;
static struct err err;

static void begin(void) {
    struct spec_policy policy = spec_policy_builtin();
    AUTO_FAULTS struct spec_faults faults = {0};
    AUTO_ATTEMPT struct attempt *a = mem_alloc(sizeof *a);
    char name[ATTEMPT_NAME_MAX];
    cr_assert_not_null(mkdtemp(dir));
    attempts_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(a->job, sizeof a->job, "%s", job);
    a->instance = mem_strdup("test");
    a->tenant = mem_strdup("default");
    a->number = 1;
    cr_assert_eq(spec_parse_text(spec, strlen(spec), &policy, &a->spec, &faults), 0);
    cr_assert_eq(attempt_create(attempts_fd, a, &err), 0, "%s", err.text);
    cr_assert_eq(feed_open(attempts_fd, attempt_dir_name(job, 1, name), &feed, &err), 0, "%s", err.text);
    cr_assert_eq(feed->state, FEED_NEW);
}

static void finish(void) {
    feed_free(feed);
    close(attempts_fd);
    dir_remove_tree(AT_FDCWD, dir, NULL);
}

TestSuite(feed, .init = begin, .fini = finish);

Test(feed, is_removed_when_nobody_works_on_it) {
    int lock = -1;
    cr_assert_eq(attempt_lock(attempts_fd, feed->name, &lock, &err), 0);
    cr_expect_eq(feed_remove(feed, attempts_fd, &err), 0);
    close(lock);
    cr_expect_eq(feed_remove(feed, attempts_fd, &err), 1, "%s", err.text);
    cr_expect_eq(feed_remove(feed, attempts_fd, &err), 1, "one that has gone is gone: %s", err.text);
}

Test(feed, is_left_when_nobody_can_tell_whether_a_runner_works_on_it) {
    cr_assert_eq(renameat(attempts_fd, feed->name, attempts_fd, "elsewhere"), 0);
    cr_assert_eq(symlinkat("elsewhere", attempts_fd, feed->name), 0);
    cr_expect_eq(feed_remove(feed, attempts_fd, &err), -1);
    cr_expect_eq(err.kind, ERR_SYS);
    cr_expect_eq(faccessat(attempts_fd, feed->name, F_OK, AT_SYMLINK_NOFOLLOW), 0);
}

/* As it is when all that init says was written has been read. */
static void read_all(unsigned source, const char *file, int64_t output_bytes) {
    unsigned char record[SPOOL_HEADER_BYTES + sizeof(struct spool_end)] = {0};
    struct spool_end end = {.output_bytes = output_bytes};
    spool_put_header(record, &(struct spool_header){SPOOL_END, 0, sizeof end, 1});
    memcpy(record + SPOOL_HEADER_BYTES, &end, sizeof end);
    int fd = feed->sources[source].fd = openat(feed->dir_fd, file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_eq(ftruncate(fd, 100), 0);
    cr_assert_eq(pwrite(fd, record, sizeof record, 100), (ssize_t)sizeof record);
    feed->at.raw_pos[source] = 100 + (int64_t)sizeof record;
    feed->at.output_bytes[source] = 50;
    feed->at.log_bytes += 50;
}

Test(feed, is_complete_when_as_many_bytes_were_read_as_init_has_written) {
    read_all(PACK_MAIN, ATTEMPT_SPOOL, 50);
    cr_expect_eq(feed_is_complete(feed, &err), 1);
}

Test(feed, is_not_complete_when_init_has_written_more_than_was_read) {
    read_all(PACK_MAIN, ATTEMPT_SPOOL, 51);
    cr_expect_eq(feed_is_complete(feed, &err), 0);
}

Test(feed, is_not_complete_when_its_spool_is_shorter_than_what_was_read_of_it) {
    read_all(PACK_MAIN, ATTEMPT_SPOOL, 50);
    feed->at.raw_pos[PACK_MAIN]++;
    cr_expect_eq(feed_is_complete(feed, &err), 0);
}

Test(feed, is_not_complete_when_bytes_were_lost) {
    read_all(PACK_MAIN, ATTEMPT_SPOOL, 45);
    feed->at.lost_bytes = 5;
    cr_expect_eq(feed_is_complete(feed, &err), 0);
}

Test(feed, knows_its_services_by_name) {
    cr_expect_str_eq(feed->key.services, "{\"db\"}", "one called null would be none without the quotes");
    cr_expect_eq(feed->source_count, PACK_SERVICE + 1);
}

Test(feed, is_not_complete_when_a_service_has_written_more_than_was_read) {
    read_all(PACK_MAIN, ATTEMPT_SPOOL, 50);
    cr_expect_eq(feed_is_complete(feed, &err), 1, "a service that was killed has no end record");
    read_all(PACK_SERVICE, ATTEMPT_SPOOL ".db", 50);
    cr_expect_eq(feed_is_complete(feed, &err), 1);
    feed->at.output_bytes[PACK_SERVICE]--;
    cr_expect_eq(feed_is_complete(feed, &err), 0);
}

static void end_journal(void) {
    struct journal journal = {0};
    struct verdict verdict = {.status = STATUS_SUCCEEDED, .exit_code = 0};
    cr_assert_eq(journal_append(feed->dir_fd, &journal, JOURNAL_STARTED, NULL, &err), 0);
    cr_assert_eq(
        journal_append(feed->dir_fd, &journal, JOURNAL_VERDICT, journal_verdict_fields(&verdict), &err), 0);
    cr_assert_eq(journal_append(feed->dir_fd, &journal, JOURNAL_CLEANED, NULL, &err), 0);
}

/* The end would be told without a byte of the log. */
Test(feed, does_not_take_a_spool_that_cannot_be_looked_at_for_an_empty_one) {
    enum { NO_DESCRIPTOR = 1000 };
    bool more = false;
    end_journal();
    feed->sources[PACK_MAIN].fd = NO_DESCRIPTOR;
    cr_expect_eq(feed_fill(feed, &more, &err), -1);
    cr_expect_eq(err.code, EBADF);
    cr_expect_not(feed->at_end);
    feed->sources[PACK_MAIN].fd = -1;
    cr_expect_eq(feed_fill(feed, &more, &err), 1, "%s", err.text);
    cr_expect(feed->at_end);
}

static void write_output(size_t len) {
    unsigned char header[SPOOL_HEADER_BYTES];
    AUTO_FREE unsigned char *bytes = mem_alloc(len);
    int fd = openat(feed->dir_fd, ATTEMPT_SPOOL, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    spool_put_header(header, &(struct spool_header){SPOOL_OUTPUT, SPOOL_STDOUT, (uint32_t)len, 1});
    cr_assert_eq(write(fd, header, sizeof header), (ssize_t)sizeof header);
    cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

static bool ends_at_once(int64_t log_limit) {
    bool more = false;
    feed->log_limit = log_limit;
    cr_assert_eq(feed_fill(feed, &more, &err), 1, "%s", err.text);
    bool at_end = feed->at_end;
    feed_committed(feed);
    return at_end;
}

Test(feed, ends_with_the_last_bytes_of_a_log_within_its_limit) {
    end_journal();
    write_output(100);
    cr_expect(ends_at_once(100));
}

Test(feed, shows_bytes_that_the_end_takes_away_for_a_while_before) {
    bool more = false;
    end_journal();
    write_output(100);
    cr_expect_not(ends_at_once(50));
    cr_expect_eq(feed_fill(feed, &more, &err), 0, "they have only just been stored");
    cr_expect(more);
    cr_expect_gt(feed->not_before_ns, clock_boot_ns() - FEED_WINDOW_MS * NS_PER_MS);
    feed->moved_ms -= FEED_WINDOW_MS;
    cr_expect_eq(feed_fill(feed, &more, &err), 1, "%s", err.text);
    cr_expect(feed->at_end);
}

Test(feed, cannot_tell_whether_it_is_complete_when_its_spool_cannot_be_read) {
    bool more = false;
    end_journal();
    read_all(PACK_MAIN, ATTEMPT_SPOOL, 50);
    cr_assert_eq(feed_fill(feed, &more, &err), 1, "%s", err.text);
    cr_expect(feed->complete);
    int only_written = openat(feed->dir_fd, ATTEMPT_SPOOL, O_WRONLY | O_CLOEXEC);
    cr_assert_eq(dup2(only_written, feed->sources[PACK_MAIN].fd), feed->sources[PACK_MAIN].fd);
    close(only_written);
    cr_expect_eq(feed_is_complete(feed, &err), -1);
    cr_expect_eq(feed_fill(feed, &more, &err), -1);
}

/* One that is given up for good is never stored, as long as this scribe lives. */
Test(feed, is_not_opened_when_its_spec_cannot_be_read_now) {
    struct feed *other = NULL;
    struct rlimit before, few;
    int next = dup(attempts_fd);
    close(next);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){.rlim_cur = (rlim_t)next + 1, .rlim_max = before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    int opened = feed_open(attempts_fd, feed->name, &other, &err);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_expect_eq(opened, -1);
    cr_expect_eq(err.code, EMFILE);
    cr_assert_eq(unlinkat(feed->dir_fd, ATTEMPT_SPEC, 0), 0);
    cr_assert_eq(feed_open(attempts_fd, feed->name, &other, &err), 0);
    cr_expect_eq(other->state, FEED_BROKEN, "what is not there will not come");
    feed_free(other);
}

/* What hashes the log may be exchanged between two versions: the hash is then given up, not wrong. */
Test(feed, gives_up_a_hash_that_it_cannot_go_on_with) {
    struct ship_attempt known = {.ours = true, .at = {.sha_len = 0}};
    feed_load(feed, &known);
    cr_expect_not(feed->at.unhashed, "nothing is hashed yet");
    known.at.sha_len = sizeof feed->at.sha;
    feed_load(feed, &known);
    cr_expect_not(feed->at.unhashed);
    known.at.sha_len = sizeof feed->at.sha - 1;
    feed_load(feed, &known);
    cr_expect(feed->at.unhashed);
}
