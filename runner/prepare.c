#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/json.h"
#include "proto/launch.h"
#include "runner/docker/image.h"
#include "runner/job_parts.h"
#include "runner/launch_file.h"

/* The container's user, whoever it is, reads the one and appends to the other; nobody else on the host can
 * enter the directories above. */
enum { READ_MODE = 0644, SPOOL_MODE = 0666 };

static int pull_fault(struct job *job, const struct err *err) {
    const char *image = job->attempt->spec->image;
    if (engine_status_is(err, 400))
        return job_fault(job, REASON_SPEC_REFUSED, "The engine does not take \"%s\" as an image: %.300s",
                         image, err->text);
    switch (image_pull_failure(err)) {
    case IMAGE_NOT_FOUND:
        return job_fault(
            job, REASON_IMAGE_NOT_FOUND,
            "The image \"%s\" does not exist, or its registry hides it without credentials: %.300s", image,
            err->text);
    case IMAGE_DENIED:
        return job_fault(job, REASON_IMAGE_DENIED,
                         "The registry refused the image \"%s\": %.300s. Check credentials.", image,
                         err->text);
    case IMAGE_FAILED:
        break;
    }
    return job_fault(job, REASON_PULL_FAILED, "The image \"%s\" could not be pulled: %.300s", image,
                     err->text);
}

static int pull(struct job *job, const struct ctx *ctx, struct err *err) {
    if (image_pull(job->engine, ctx, job->attempt->spec->image, NULL, NULL, NULL, err) == 0)
        return 0;
    if (err->kind == ERR_ENGINE || err->kind == ERR_INVALID || err->kind == ERR_LIMIT)
        return pull_fault(job, err);
    return -1;
}

static int never_pulled(struct job *job) {
    return job_fault(
        job, REASON_IMAGE_NOT_FOUND,
        "The image \"%s\" is not on this engine, and the job says pull: never. Load it there, or use "
        "pull: missing.",
        job->attempt->spec->image);
}

/* Looks at the image, after pulling it where the job's rule says so. */
static int find_image(struct job *job, const struct ctx *ctx, struct image_info *ret_info, struct err *err) {
    const struct spec *spec = job->attempt->spec;
    bool known = journal_has(&job->journal, JOURNAL_PULLED);
    const char *ref = known && job->journal.digest[0] ? job->journal.digest : spec->image;
    if (!known && spec->pull == SPEC_PULL_ALWAYS && pull(job, ctx, err) < 0)
        return -1;
    if (image_inspect(job->engine, ctx, ref, ret_info, err) == 0)
        return 0;
    if (engine_status_is(err, 400))
        return pull_fault(job, err);
    if (!engine_status_is(err, 404))
        return -1;
    if (spec->pull == SPEC_PULL_NEVER)
        return never_pulled(job);
    if (pull(job, ctx, err) < 0)
        return -1;
    return image_inspect(job->engine, ctx, spec->image, ret_info, err);
}

static int write_launch(struct job *job, const struct image_info *image, struct err *err) {
    AUTO_ARGV struct argv argv = {0};
    AUTO_BUF struct buf bytes = BUF(LAUNCH_BYTES_MAX);
    int64_t deadline_us = clock_real_us() + job->attempt->spec->deadlines.run_ms * US_PER_MS;
    struct err why = {0};
    const struct launch_plan plan = {.attempt = job->attempt,
                                     .argv = &argv,
                                     .env = &job->attempt->spec->env,
                                     .has_input = job->attempt->spec->input != NULL,
                                     .deadline_us = deadline_us};
    if (argv_resolve(argv_own_main(job->attempt->spec), image->entrypoint, image->cmd, &argv, &why) < 0 ||
        launch_file_build(&plan, &bytes, &why) < 0)
        return job_fault(job, REASON_SPEC_REFUSED, "%s", why.text);
    return file_write_atomic(job->dir_fd, ATTEMPT_LAUNCH, bytes.data, bytes.len, READ_MODE, err);
}

static int write_input(struct job *job, struct err *err) {
    const char *input = job->attempt->spec->input;
    if (!input)
        return 0;
    AUTO_BUF struct buf line = BUF(SPEC_BYTES_MAX + 1);
    if (buf_adds(&line, input) < 0 || buf_adds(&line, "\n") < 0)
        return job_fault(job, REASON_SPEC_REFUSED, "The input is longer than %d bytes.", SPEC_BYTES_MAX);
    return file_write_atomic(job->dir_fd, ATTEMPT_INPUT, line.data, line.len, READ_MODE, err);
}

/* Never a new one in place of one that is there: it may hold records already. */
static int make_spool(struct job *job, struct err *err) {
    AUTO_FD int fd = openat(job->dir_fd, ATTEMPT_SPOOL,
                            O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, SPOOL_MODE);
    if (fd < 0 || fchmod(fd, SPOOL_MODE) < 0)
        return err_sys(err, "make the spool");
    return 0;
}

int job_prepare_image(struct job *job, struct err *err) {
    AUTO_IMAGE_INFO struct image_info image = {0};
    struct ctx ctx = ctx_child(&job->orders->live);
    ctx_deadline_in(&ctx, job->attempt->spec->deadlines.pull_ms);
    job->stage = REASON_PULL_DEADLINE;
    if (find_image(job, &ctx, &image, err) < 0)
        return -1;
    snprintf(job->main.image, sizeof job->main.image, "%s", image.id);
    const char *digest = image.repo_digest[0] ? image.repo_digest : image.id;
    if (!journal_has(&job->journal, JOURNAL_PULLED) &&
        job_note(job, JOURNAL_PULLED, json_pack("{s:s}", "digest", digest), err) < 0)
        return -1;
    if (write_launch(job, &image, err) < 0 || write_input(job, err) < 0 || make_spool(job, err) < 0)
        return -1;
    return 0;
}
