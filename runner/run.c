#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "proto/fault_points.h"
#include "runner/deadlines.h"
#include "runner/job_parts.h"

/* The grace begins with the stop, whichever runner that was; one of another boot does not count any more. */
static int64_t grace_end_ns(const struct job *job) {
    char boot_id[CLOCK_BOOT_ID_MAX];
    bool same_boot = clock_boot_id(boot_id, NULL) == 0 && strcmp(boot_id, job->journal.stopping_boot_id) == 0;
    int64_t begun_ns = same_boot ? job->journal.stopping_boot_ns : clock_boot_ns();
    return begun_ns + job->attempt->spec->stop.grace_ms * NS_PER_MS;
}

static int stop(struct job *job, enum reason cause, struct err *err) {
    const char *text = job->evidence.stop_text[0] ? job->evidence.stop_text : NULL;
    if (!journal_has(&job->journal, JOURNAL_STOPPING) &&
        job_note(job, JOURNAL_STOPPING,
                 json_pack("{s:s, s:o*}", "cause", reason_name(cause), "text", journal_text(text)), err) < 0)
        return -1;
    job->evidence.stop = job->journal.stopping;
    log_info("stopping the job", LS("cause", reason_name(job->evidence.stop)));
    part_stop(&job->main, job->attempt->spec->stop.signal, grace_end_ns(job));
    return 0;
}

/* An extension is written down as soon as it is known, so that the next runner knows it, too. */
static int take_extension(struct job *job, struct deadlines *deadlines, struct err *err) {
    int64_t ms = job->orders->extend_ms;
    if (ms && ms != job->journal.extended_ms &&
        job_note(job, JOURNAL_EXTENDED, json_pack("{s:I}", "run_ms", (json_int_t)ms), err) < 0)
        return -1;
    deadlines_extend(deadlines, job->attempt->spec, job->journal.extended_ms);
    return 0;
}

/* Why the job has to be stopped, as far as that is known now; REASON_NONE: it may go on. */
static int find_cause(struct job *job, struct deadlines *deadlines, enum reason *ret_cause, struct err *err) {
    if (take_extension(job, deadlines, err) < 0)
        return -1;
    deadlines_look(deadlines, job->dir_fd);
    if (job->orders->canceled)
        *ret_cause = job->orders->reason;
    else if (services_failed(job))
        *ret_cause = REASON_SERVICE_FAILED;
    else
        *ret_cause = deadlines_passed(deadlines, clock_boot_ns());
    return 0;
}

/* Whoever killed a service from outside may have meant all: an engine that ends does. Then the main
 * container's own end says why. */
static bool shares_the_end_of_a_service(struct job *job) {
    if (!job->services.from_outside)
        return false;
    struct ctx ctx = orders_fresh(job->orders, JOB_SETTLE_MAX_MS);
    return part_await_end(&job->main, &ctx) == 1;
}

/* Comes back from its wait whenever there is something to look at, and when a deadline that may have moved
 * meanwhile was reached. The deadlines began with the start, whichever runner that was. */
static int await_end_or_cause(struct job *job, enum reason *ret_cause, struct err *err) {
    struct deadlines deadlines;
    deadlines_begin(&deadlines, job->attempt->spec, job->journal.started_boot_ns);
    *ret_cause = REASON_NONE;
    for (;;) {
        orders_calm(job->orders);
        if (find_cause(job, &deadlines, ret_cause, err) < 0)
            return -1;
        if (*ret_cause != REASON_NONE)
            break;
        struct ctx ctx = ctx_child(&job->orders->calm);
        ctx_deadline_at(&ctx, deadlines_next_ns(&deadlines));
        ctx_deadline_at(&ctx, services_next_ns(job));
        if (part_await_end(&job->main, &ctx) == 1)
            return 0;
        ctx_pump(&job->orders->live); /* an extension may have come with the deadline */
    }
    if (part_ends_by_itself(&job->main) ||
        (*ret_cause == REASON_SERVICE_FAILED && shares_the_end_of_a_service(job)))
        *ret_cause = REASON_NONE;
    return 0;
}

/* Nobody may have watched when it ended: init has written down when that was. */
static int note_exit(struct job *job, struct err *err) {
    struct spool_end end;
    uint64_t time_us = 0;
    bool known = part_end(&job->main, &end, &time_us, NULL) > 0;
    int64_t since_us = known ? (int64_t)time_us : job->main.finished_us;
    return job_note(job, JOURNAL_EXITED,
                    since_us > 0 ? json_pack("{s:I}", "since_us", (json_int_t)since_us) : NULL, err);
}

int job_watch(struct job *job, struct err *err) {
    enum reason cause = job->evidence.stop;
    if (journal_has(&job->journal, JOURNAL_STOPPING))
        cause = job->journal.stopping;
    FAULT(RUNNER_WATCHING);
    services_watch(job);
    char boot_id[CLOCK_BOOT_ID_MAX];
    bool other_boot = clock_boot_id(boot_id, NULL) == 0 && strcmp(boot_id, job->journal.started_boot_id) != 0;
    bool first_look = !engine_api_version(job->engine)[0] || other_boot || cause != REASON_NONE;
    bool ended = first_look && part_look(&job->main, NULL) != PART_SEEN_RUNNING;
    if (!ended && cause == REASON_NONE && await_end_or_cause(job, &cause, err) < 0)
        return -1;
    if (!ended && cause != REASON_NONE && stop(job, cause, err) < 0)
        return -1;
    FAULT(RUNNER_END_SEEN);
    services_stop(job);
    return note_exit(job, err);
}
