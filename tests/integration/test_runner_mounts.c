/* Volumes and binds on a real engine, with init as the judge of what was mounted. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "proto/labels.h"
#include "proto/launch.h"
#include "proto/spool.h"
#include "runner/docker/network.h"
#include "runner/launch_file.h"
#include "runner/mounts.h"
#include "runner_rig.h"

static struct err err;
static struct spec spec;
static struct attempt attempt = {
    .instance = (char *)"rig", .tenant = (char *)"a_b", .number = 1, .spec = &spec};

#define OK(call) cr_assert((call) >= 0, "%s: %s", #call, err.text)

static char *below(const char *name) {
    return mem_printf("%s/%s", rig.state, name);
}

static void begin(void) {
    rig_begin();
    memcpy(attempt.cluster, rig.cluster, sizeof attempt.cluster);
}

static void end(void) {
    AUTO_VOLUME_LIST struct volume_list list = {0};
    const struct engine_pair label = {LABEL_CLUSTER, rig.cluster};
    OK(volume_list(rig.engine, &rig.ctx, (struct engine_pairs){&label, 1}, &list, &err));
    for (size_t i = 0; i < list.count; i++)
        volume_remove(rig.engine, &rig.ctx, list.items[i].name, NULL);
    rig_end();
}

TestSuite(mounts, .init = begin, .fini = end, .timeout = 120);

static enum reason resolve(struct spec_mount *mounts, size_t count, const char *roots,
                           struct mounts *ret_mounts) {
    enum reason reason = REASON_COUNT;
    spec.mounts = mounts;
    spec.mounts_count = count;
    int got = mounts_resolve(&attempt, roots, NULL, rig.engine, &rig.ctx, ret_mounts, &reason, &err);
    cr_assert_eq(got < 0, reason != REASON_NONE, "%s", err.text);
    return reason;
}

Test(mounts, volumes_are_made_and_labelled_once) {
    struct spec_mount wanted[] = {
        {.type = SPEC_MOUNT_VOLUME, .source = (char *)"cache", .target = (char *)"/cache"},
        {.type = SPEC_MOUNT_TMPFS, .target = (char *)"/t", .bytes = 1048576}};
    AUTO_MOUNTS struct mounts first = {0}, second = {0};
    cr_assert_eq(resolve(wanted, 2, NULL, &first), REASON_NONE, "%s", err.text);
    cr_assert_eq(resolve(wanted, 2, NULL, &second), REASON_NONE, "%s", err.text);
    cr_expect_str_eq(first.items[0].source, "berth_a.5fb_cache");
    cr_expect_str_eq(second.items[0].source, first.items[0].source);
    AUTO_VOLUME_LIST struct volume_list list = {0};
    const struct engine_pair labels[] = {{LABEL_CLUSTER, rig.cluster}, {LABEL_ROLE, ROLE_VOLUME}};
    OK(volume_list(rig.engine, &rig.ctx, (struct engine_pairs){labels, 2}, &list, &err));
    cr_assert_eq(list.count, 1);
    cr_expect_str_eq(container_label(list.items[0].labels, LABEL_MANAGED), "true");
    cr_expect_str_eq(container_label(list.items[0].labels, LABEL_INSTANCE), "rig");
    cr_expect_null(container_label(list.items[0].labels, LABEL_JOB));
}

Test(mounts, a_volume_of_someone_else_is_not_taken) {
    struct spec_mount wanted = {
        .type = SPEC_MOUNT_VOLUME, .source = (char *)"theirs", .target = (char *)"/cache"};
    AUTO_MOUNTS struct mounts mounts = {0};
    OK(volume_create(rig.engine, &rig.ctx, "berth_a.5fb_theirs", (struct engine_pairs){0}, &err));
    cr_expect_eq(resolve(&wanted, 1, NULL, &mounts), REASON_SPEC_REFUSED);
    cr_expect(strstr(err.text, "not of this Berth"), "%s", err.text);
    OK(volume_remove(rig.engine, &rig.ctx, "berth_a.5fb_theirs", &err));
}

static void file_put(const char *name, const void *bytes, size_t len) {
    AUTO_FREE char *path = below(name);
    OK(file_write_atomic(AT_FDCWD, path, bytes, len, 0666, &err));
}

static void launch_put(const struct mounts *mounts) {
    const char *words[] = {"cat", "/mnt/name"};
    const struct argv argv = {words, ARRAY_LEN(words)};
    const struct launch_plan plan = {.attempt = &attempt, .argv = &argv, .env = &spec.env, .mounts = mounts};
    AUTO_BUF struct buf bytes = BUF(LAUNCH_BYTES_MAX);
    OK(launch_file_build(&plan, &bytes, &err));
    file_put("launch", bytes.data, bytes.len);
    file_put("spool", "", 0);
}

/* Runs the launch file with these mounts; the container's exit status. */
static int run(const struct mounts *mounts) {
    static const char *const entrypoint[] = {LAUNCH_INIT_PATH, NULL};
    AUTO_FREE char *launch = below("launch");
    AUTO_FREE char *spool = below("spool");
    struct container_mount all[] = {
        {.source = BERTH_INIT_PATH, .target = LAUNCH_INIT_PATH, .read_only = true},
        {.source = launch, .target = LAUNCH_FILE_PATH, .read_only = true},
        {.source = spool, .target = LAUNCH_SPOOL_PATH},
        mounts->items[0]};
    const struct engine_pair label = {LABEL_CLUSTER, rig.cluster};
    AUTO_FREE char *name = mem_printf("berth-test-mounts-%d", (int)getpid());
    const struct container_spec container = {.name = name,
                                             .image = rig_image(),
                                             .entrypoint = entrypoint,
                                             .labels = {&label, 1},
                                             .mounts = all,
                                             .mount_count = ARRAY_LEN(all),
                                             .network_mode = "none"};
    char id[ENGINE_ID_MAX];
    struct container_exit ended;
    OK(container_create(rig.engine, &rig.ctx, &container, id, &err));
    OK(container_start(rig.engine, &rig.ctx, id, &err));
    OK(container_wait(rig.engine, &rig.ctx, id, &ended, &err));
    OK(container_remove(rig.engine, &rig.ctx, id, true, true, &err));
    return ended.status_code;
}

static void directory_put(const char *name) {
    AUTO_FREE char *path = below(name);
    AUTO_FREE char *file = mem_printf("%s/name", name);
    OK(dir_make(path, 0755, &err));
    file_put(file, name, strlen(name));
}

static void resolve_bind(const char *source, struct mounts *ret_mounts) {
    AUTO_FREE char *path = below(source);
    struct spec_mount wanted = {
        .type = SPEC_MOUNT_BIND, .source = path, .target = (char *)"/mnt", .read_only = true};
    cr_assert_eq(resolve(&wanted, 1, rig.state, ret_mounts), REASON_NONE, "%s", err.text);
}

Test(mounts, a_bind_is_what_it_was_when_it_was_looked_at) {
    AUTO_MOUNTS struct mounts mounts = {0};
    directory_put("right");
    resolve_bind("right", &mounts);
    launch_put(&mounts);
    cr_expect_eq(run(&mounts), 0);
}

Test(mounts, a_name_that_was_moved_meanwhile_starts_nothing) {
    AUTO_MOUNTS struct mounts mounts = {0};
    AUTO_FREE char *right = below("right");
    AUTO_FREE char *wrong = below("wrong");
    AUTO_FREE char *spool = below("spool");
    struct stat st;
    directory_put("right");
    directory_put("wrong");
    resolve_bind("right", &mounts);
    launch_put(&mounts);
    cr_assert_eq(renameat2(AT_FDCWD, right, AT_FDCWD, wrong, RENAME_EXCHANGE), 0);
    cr_expect_eq(run(&mounts), LAUNCH_EXIT_BIND_CHANGED);
    cr_assert_eq(stat(spool, &st), 0);
    cr_expect_eq(st.st_size, 0);
}
