/* judge - what becomes of the jobs of other orchestrators when those are heard of no more. Only one that has
 * itself been heard of for a whole lease judges: a database that was away makes nobody dead. */
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/mem.h"
#include "orchestrator/supervisor/supervisor_private.h"
#include "proto/retry.h"

static void on_ended(void *arg, const PGresult *result, const struct err *err) {
    (void)result;
    if (err)
        dispatch_complain(arg, "end of a lost attempt", err);
}

/* Milliseconds to its next attempt; -1: there is none, also for a spec that cannot be read. */
static int64_t retry_in(const struct claim_lost *lost, int64_t *ret_queue_ms) {
    const struct claim_job *job = &lost->job;
    static const struct verdict verdict = {
        .status = STATUS_ERRORED, .reason = REASON_ORCHESTRATOR_LOST, .exit_code = -1};
    struct spec_policy policy = spec_policy_unlimited();
    AUTO_FAULTS struct spec_faults faults = {0};
    AUTO_SPEC struct spec *spec = NULL;
    uint32_t random = 0;
    if (!job->spec || spec_parse_text(job->spec, strlen(job->spec), &policy, &spec, &faults) < 0)
        return -1;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
        random = (uint32_t)job->token;
    *ret_queue_ms = spec->deadlines.queue_ms;
    return retry_delay_ms(spec, &verdict, (int)(job->number - lost->freed), random);
}

static void end_lost(struct supervisor *s, const struct claim_lost *lost) {
    struct claim c;
    int64_t queue_ms = 0;
    int64_t retry_ms = retry_in(lost, &queue_ms);
    AUTO_FREE char *message =
        mem_printf("orchestrator %s did not come back; what the job did there after it was last heard of is "
                   "not known, and its log may be incomplete",
                   lost->orchestrator);
    log_warn("lost attempt ends", LS("job", lost->job.job), LI("attempt", lost->job.number),
             LS("orchestrator", lost->orchestrator), LI("retry_ms", retry_ms));
    claim_end_lost(&c, &lost->job, message, retry_ms, queue_ms);
    dispatch_send(s, &c, on_ended, "end of a lost attempt");
}

static void on_given_up(void *arg, const PGresult *result, const struct err *err) {
    struct supervisor *s = arg;
    s->dispatch.judging = false;
    if (err) {
        dispatch_complain(s, "lost attempts", err);
        return;
    }
    for (int i = 0; i < PQntuples(result); i++) {
        struct claim_lost lost = claim_lost_row(result, i);
        end_lost(s, &lost);
    }
}

static void on_judged(void *arg, const PGresult *result, const struct err *err) {
    struct supervisor *s = arg;
    struct claim c;
    s->dispatch.judging = false;
    if (err) {
        dispatch_complain(s, "judge", err);
        return;
    }
    struct claim_judged judged = claim_judged(result);
    if (judged.freed || judged.lost)
        log_warn("orchestrators are heard of no more", LI("jobs_lost", judged.lost),
                 LI("jobs_back_in_the_queue", judged.freed));
    if (judged.freed)
        dispatch_kick(s);
    claim_given_up(&c, s->settings.instance, s->settings.lost_after_ms);
    s->dispatch.judging = dispatch_send(s, &c, on_given_up, "lost attempts");
}

void judge_others(struct supervisor *s) {
    struct claim c;
    int64_t connected_ms = lease_connected_ms(s);
    if (s->dispatch.judging || connected_ms < s->settings.lease_ms ||
        (s->phase != PHASE_RUNNING && s->phase != PHASE_STARTING))
        return;
    claim_judge(&c, s->settings.instance, connected_ms);
    s->dispatch.judging = dispatch_send(s, &c, on_judged, "judge");
}
