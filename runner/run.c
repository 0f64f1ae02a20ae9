#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "runner/job_parts.h"

/* The grace begins with the stop, whichever runner that was; one of another boot does not count any more. */
static int64_t grace_end_ns(const struct job *job) {
    char boot_id[CLOCK_BOOT_ID_MAX];
    bool same_boot = clock_boot_id(boot_id, NULL) == 0 && strcmp(boot_id, job->journal.stopping_boot_id) == 0;
    int64_t begun_ns = same_boot ? job->journal.stopping_boot_ns : clock_boot_ns();
    return begun_ns + job->attempt->spec->stop.grace_ms * NS_PER_MS;
}

static int stop(struct job *job, enum reason cause, struct err *err) {
    if (!journal_has(&job->journal, JOURNAL_STOPPING) &&
        job_note(job, JOURNAL_STOPPING, json_pack("{s:s}", "cause", reason_name(cause)), err) < 0)
        return -1;
    job->evidence.stop = job->journal.stopping;
    log_info("stopping the job", LS("cause", reason_name(job->evidence.stop)));
    part_stop(&job->main, job->attempt->spec->stop.signal, grace_end_ns(job));
    return 0;
}

/* Under the run deadline, which began with the start, whichever runner that was. Comes back from its wait
 * whenever there is something to look at. */
static enum reason await_end_or_cause(struct job *job) {
    int64_t run_ms = job->attempt->spec->deadlines.run_ms;
    for (;;) {
        orders_calm(job->orders);
        if (services_failed(job))
            return REASON_SERVICE_FAILED;
        struct ctx ctx = ctx_child(&job->orders->calm);
        if (run_ms > 0)
            ctx_deadline_at(&ctx, job->journal.started_boot_ns + run_ms * NS_PER_MS);
        if (part_await_end(&job->main, &ctx) == 1 || part_ends_by_itself(&job->main))
            return REASON_NONE;
        if (job->orders->canceled)
            return job->orders->reason;
        if (ctx_state(&ctx) == CTX_EXPIRED)
            return REASON_RUN_DEADLINE;
    }
}

int job_watch(struct job *job, struct err *err) {
    enum reason cause = job->evidence.stop;
    if (journal_has(&job->journal, JOURNAL_STOPPING))
        cause = job->journal.stopping;
    services_watch(job);
    char boot_id[CLOCK_BOOT_ID_MAX];
    bool other_boot = clock_boot_id(boot_id, NULL) == 0 && strcmp(boot_id, job->journal.started_boot_id) != 0;
    bool first_look = !engine_api_version(job->engine)[0] || other_boot || cause != REASON_NONE;
    bool ended = first_look && part_look(&job->main, NULL) != PART_SEEN_RUNNING;
    if (!ended && cause == REASON_SERVICE_FAILED)
        services_failed(job); /* which one it was, a runner before this one has seen */
    if (!ended && cause == REASON_NONE)
        cause = await_end_or_cause(job);
    if (!ended && cause != REASON_NONE && stop(job, cause, err) < 0)
        return -1;
    services_stop(job);
    return job_note(job, JOURNAL_EXITED, NULL, err);
}
