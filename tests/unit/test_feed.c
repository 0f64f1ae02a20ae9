#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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
    cr_expect(feed_is_complete(feed));
}

Test(feed, is_not_complete_when_init_has_written_more_than_was_read) {
    read_all(PACK_MAIN, ATTEMPT_SPOOL, 51);
    cr_expect_not(feed_is_complete(feed));
}

Test(feed, is_not_complete_when_its_spool_is_shorter_than_what_was_read_of_it) {
    read_all(PACK_MAIN, ATTEMPT_SPOOL, 50);
    feed->at.raw_pos[PACK_MAIN]++;
    cr_expect_not(feed_is_complete(feed));
}

Test(feed, is_not_complete_when_bytes_were_lost) {
    read_all(PACK_MAIN, ATTEMPT_SPOOL, 45);
    feed->at.lost_bytes = 5;
    cr_expect_not(feed_is_complete(feed));
}

Test(feed, knows_its_services_by_name) {
    cr_expect_str_eq(feed->key.services, "{\"db\"}", "one called null would be none without the quotes");
    cr_expect_eq(feed->source_count, PACK_SERVICE + 1);
}

Test(feed, is_not_complete_when_a_service_has_written_more_than_was_read) {
    read_all(PACK_MAIN, ATTEMPT_SPOOL, 50);
    cr_expect(feed_is_complete(feed), "a service that was killed has no end record");
    read_all(PACK_SERVICE, ATTEMPT_SPOOL ".db", 50);
    cr_expect(feed_is_complete(feed));
    feed->at.output_bytes[PACK_SERVICE]--;
    cr_expect_not(feed_is_complete(feed));
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
