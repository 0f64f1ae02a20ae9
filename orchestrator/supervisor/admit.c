/* admit - a claimed row becomes an attempt's directory and a runner, or ends right here. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "orchestrator/supervisor/supervisor_private.h"
#include "proto/fault_points.h"

/* Each attempt waits for the disk: a claim in one go would hold up the heartbeat on a slow one. */
enum { MESSAGE_MAX = 1024, ADMIT_TURN_MAX = 4 /* attempts made in one turn of the loop */ };

static void on_given_back(void *arg, const PGresult *result, const struct err *err) {
    struct supervisor *s = arg;
    (void)result;
    s->dispatch.changing--;
    FAULT_IF(!err, PARENT_REFUSED);
    if (err) {
        log_warn("a refusal was not recorded, repeated soon", LERR(err));
        s->dispatch.owned_wanted = true;
    }
    dispatch_kick(s);
}

static void give_back(struct supervisor *s, const struct claim *c) {
    FAULT(PARENT_REFUSING);
    if (claim_send(s->pool, c, on_given_back, s, NULL) == 0)
        s->dispatch.changing++;
    else
        s->dispatch.owned_wanted = true;
}

static void refuse(struct supervisor *s, const struct claim_job *job, enum reason reason,
                   const char *message) {
    struct claim c;
    log_warn("job refused", LS("job", job->job), LS("reason", reason_name(reason)), LS("error", message));
    claim_refuse(&c, job, reason, message);
    give_back(s, &c);
}

static void release(struct supervisor *s, const struct claim_job *job) {
    struct claim c;
    claim_release(&c, job);
    give_back(s, &c);
}

/* *ret_labels: JSON text that facts borrows. */
static struct claim_facts facts_of(const struct spec *spec, char **ret_labels) {
    *ret_labels = spec_labels_text(spec);
    return (struct claim_facts){
        .name = spec->name,
        .labels = *ret_labels,
        .memory_bytes = spec_memory_bytes(spec),
        .cpus_milli = spec_cpus_milli(spec),
        .priority = spec->priority,
        .run_at_us = spec->run_at_us,
        .queue_ms = spec->deadlines.queue_ms,
        .log_bytes = spec->limits.log_bytes,
        .grace_ms = spec->stop.grace_ms,
        .key = spec->concurrency.key,
        .key_max = spec->concurrency.max,
        .on_conflict = spec_conflict_words[spec->concurrency.on_conflict],
    };
}

/* A row put in by SQL was claimed without knowing what it needs. */
static bool must_wait(const struct supervisor *s, const struct claim_facts *facts) {
    struct children_sum sum = children_sum(&s->children);
    const struct settings *set = &s->settings;
    return sum.memory_bytes + facts->memory_bytes > set->memory_bytes ||
           (set->cpus_milli && sum.cpus_milli + facts->cpus_milli > set->cpus_milli);
}

static int parse_spec(struct supervisor *s, const struct claim_job *job, struct spec **ret_spec) {
    struct spec_policy policy = settings_policy(&s->settings);
    AUTO_FAULTS struct spec_faults faults = {0};
    AUTO_FREE char *text = NULL;
    if (job->spec && spec_parse_text(job->spec, strlen(job->spec), &policy, ret_spec, &faults) == 0)
        return 0;
    if (job->spec)
        text = spec_faults_text(&faults, MESSAGE_MAX);
    else
        text = mem_printf("the spec has %" PRId64 " bytes, at most %d are allowed", job->spec_bytes,
                          SPEC_BYTES_MAX);
    refuse(s, job, REASON_SPEC_REFUSED, text);
    return -1;
}

/* There is a directory of this name: of this very attempt, or of another life of the database. */
static void meet_existing(struct supervisor *s, const struct claim_job *job, const char *name) {
    AUTO_ATTEMPT struct attempt *there = NULL;
    AUTO_FD int fd = openat(s->state.attempts_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && attempt_load(fd, &there, NULL) == 0 && there->token == job->token &&
        strcmp(there->cluster, s->cluster) == 0)
        adopt_directory(s, name);
    else
        refuse(
            s, job, REASON_INTERNAL,
            "the state directory has an attempt of this name that is not of this database; the operator must "
            "remove it");
}

static int make_directory(struct supervisor *s, const struct claim_job *job, struct spec *spec,
                          struct err *err) {
    struct attempt attempt = {
        .instance = s->settings.instance,
        .tenant = (char *)job->tenant,
        .number = (int)job->number,
        .id = job->attempt_id,
        .token = job->token,
        .claimed_us = job->claimed_us,
        .spec = spec,
    };
    snprintf(attempt.job, sizeof attempt.job, "%s", job->job);
    snprintf(attempt.cluster, sizeof attempt.cluster, "%s", s->cluster);
    return attempt_create(s->state.attempts_fd, &attempt, err);
}

static void on_directory_failed(struct supervisor *s, const struct claim_job *job, const struct err *err) {
    if (!s->dispatch.directory_pause_ms)
        log_error("attempt directories cannot be made, claims pause; make room in the state directory",
                  LS("state_dir", s->settings.state_dir), LERR(err));
    release(s, job);
    dispatch_directory_failed(s, err);
}

/* An attempt that is about to get its directory. Its child is in the table already, so that its slot and
 * memory are taken; the child is looked up by name, for it may be gone when the database has answered. One
 * that has to wait has none: it is given back as soon as the database knows what it needs. */
struct coming {
    struct supervisor *supervisor;
    struct claim_job job; /* strings: below */
    char *job_id, *tenant, *labels;
    struct claim_facts facts;
    struct spec *spec;
    bool wait;
    char name[ATTEMPT_NAME_MAX];
};

static void coming_free(struct coming *c) {
    free(c->job_id);
    free(c->tenant);
    free(c->labels);
    spec_free(c->spec);
    free(c);
}

static void coming_free_p(struct coming **c) {
    if (*c)
        coming_free(*c);
}
#define AUTO_COMING CLEANUP(coming_free_p)

static void make_and_start(const struct coming *c, struct child *child) {
    struct supervisor *s = c->supervisor;
    struct err err = {0};
    if (make_directory(s, &c->job, c->spec, &err) == 0) {
        s->dispatch.directory_pause_ms = 0;
        FAULT(PARENT_DIRECTORY_MADE);
        log_info("job claimed", LS("job", c->job.job), LI("attempt", c->job.number),
                 LI("token", c->job.token));
        care_start(s, child);
        return;
    }
    children_remove(&s->children, child); /* was never started */
    if (err.kind == ERR_SYS && err.code == EEXIST)
        meet_existing(s, &c->job, c->name);
    else
        on_directory_failed(s, &c->job, &err);
}

static bool may_begin(const struct supervisor *s) {
    return s->phase == PHASE_RUNNING || s->phase == PHASE_STARTING;
}

static void on_describe_failed(const struct coming *c, const struct err *err) {
    char holder[MESSAGE_MAX];
    if (claim_key_refused(err, holder, sizeof holder)) {
        refuse(c->supervisor, &c->job, REASON_SUPERSEDED, holder);
        return;
    }
    log_warn("a job's columns were not filled in, repeated soon", LS("job", c->job.job), LERR(err));
    c->supervisor->dispatch.owned_wanted = true;
}

static void on_described(void *arg, const PGresult *result, const struct err *err) {
    AUTO_COMING struct coming *c = arg;
    struct supervisor *s = c->supervisor;
    struct child *child = children_find_runner(&s->children, c->name);
    bool wait = c->wait || (!err && c->job.bare && claim_not_now(result));
    s->dispatch.changing--;
    if ((!child && !c->wait) || s->phase == PHASE_LEAVING)
        return; /* the next start finds it without a directory */
    if (!err && !wait && may_begin(s)) {
        FAULT(PARENT_DESCRIBED);
        make_and_start(c, child);
        dispatch_kick(s);
        return;
    }
    if (child)
        children_remove(&s->children, child);
    if (err)
        on_describe_failed(c, err);
    else
        release(s, &c->job);
    leave_check(s);
}

/* The scribe reads the log limit from the attempt's row when it first sees the directory, so the row goes
 * first. */
static void describe(struct coming *coming) {
    struct supervisor *s = coming->supervisor;
    struct claim c;
    claim_describe(&c, &coming->job, &coming->facts);
    if (claim_send(s->pool, &c, on_described, coming, NULL) == 0) {
        s->dispatch.changing++;
        return;
    }
    struct child *child = children_find_runner(&s->children, coming->name);
    if (child)
        children_remove(&s->children, child);
    s->dispatch.owned_wanted = true;
    coming_free(coming);
}

static struct coming *coming_new(struct supervisor *s, const struct claim_job *job, struct spec *spec) {
    struct coming *c = mem_alloc(sizeof *c);
    c->supervisor = s;
    c->job = *job;
    c->job.job = c->job_id = mem_strdup(job->job);
    c->job.tenant = c->tenant = mem_strdup(job->tenant);
    c->job.spec = NULL;
    c->spec = spec;
    c->facts = facts_of(spec, &c->labels);
    attempt_dir_name(job->job, (int)job->number, c->name);
    return c;
}

/* NULL: there is no room in the table. */
static struct child *take_slot(struct supervisor *s, const struct coming *c) {
    struct child *child = care_add(s, CHILD_RUNNER, c->name);
    if (!child) {
        log_error("no room for another child, the job goes back", LS("attempt", c->name),
                  LI("children_max", CHILDREN_MAX));
        return NULL;
    }
    child->memory_bytes = c->facts.memory_bytes;
    child->cpus_milli = c->facts.cpus_milli;
    return child;
}

static void admit(struct supervisor *s, const struct claim_job *job) {
    struct spec *spec = NULL;
    char name[ATTEMPT_NAME_MAX];
    if (children_find_runner(&s->children, attempt_dir_name(job->job, (int)job->number, name)))
        return;
    if (job->number > ATTEMPT_NUMBER_MAX) {
        refuse(s, job, REASON_INTERNAL, "the job has had as many attempts as there can be");
        return;
    }
    if (job->not_now) {
        release(s, job);
        return;
    }
    if (parse_spec(s, job, &spec) < 0)
        return;
    AUTO_COMING struct coming *c = coming_new(s, job, spec);
    c->wait = job->bare && must_wait(s, &c->facts);
    struct child *child = c->wait ? NULL : take_slot(s, c);
    c->wait = !child;
    if (c->wait && !job->bare)
        release(s, job);
    else if (job->bare || spec->limits.log_bytes != s->settings.default_log ||
             spec->stop.grace_ms != s->settings.default_grace)
        describe(STEAL(c));
    else
        make_and_start(c, child);
}

static void admit_row(struct supervisor *s, const PGresult *rows, int row) {
    struct claim_job job = claim_row(rows, row);
    if (may_begin(s))
        admit(s, &job);
    else /* a stop came between the claim and this row's turn: others may have it */
        release(s, &job);
}

/* --- a few at a time --- */

/* Counts as one of dispatch.changing, so that nothing is claimed or looked at before the last row's turn;
 * so there are at most as many as there were fetches, CLAIM_BATCH_MAX. */
struct backlog {
    struct backlog *next;
    PGresult *rows;
    int at;
};

static void backlog_free(struct backlog *b) {
    PQclear(b->rows);
    free(b);
}

static int on_turn(sd_event_source *source, void *arg) {
    struct supervisor *s = arg;
    struct dispatch *d = &s->dispatch;
    for (int made = 0; d->backlog && (made < ADMIT_TURN_MAX || !may_begin(s)); made++) {
        struct backlog *b = d->backlog;
        admit_row(s, b->rows, b->at++);
        if (b->at < PQntuples(b->rows))
            continue;
        d->backlog = b->next;
        backlog_free(b);
        d->changing--;
    }
    if (d->backlog)
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    dispatch_kick(s);
    return 0;
}

static int wake_turn(struct supervisor *s) {
    struct dispatch *d = &s->dispatch;
    return d->backlog_turn ? sd_event_source_set_enabled(d->backlog_turn, SD_EVENT_ONESHOT)
                           : sd_event_add_defer(s->loop, &d->backlog_turn, on_turn, s);
}

static void put_off(struct supervisor *s, const PGresult *rows, int at) {
    struct dispatch *d = &s->dispatch;
    PGresult *copy = PQcopyResult(rows, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
    if (!copy || wake_turn(s) < 0) {
        PQclear(copy);
        d->owned_wanted = true; /* they are met again as ours without a directory */
        return;
    }
    struct backlog *b = mem_alloc(sizeof *b);
    *b = (struct backlog){.next = d->backlog, .rows = copy, .at = at};
    d->backlog = b;
    d->changing++;
}

void admit_rows(struct supervisor *s, const PGresult *rows) {
    int count = PQntuples(rows), now = s->dispatch.backlog ? 0 : count;
    if (now > ADMIT_TURN_MAX)
        now = ADMIT_TURN_MAX;
    for (int i = 0; i < now; i++)
        admit_row(s, rows, i);
    if (now < count)
        put_off(s, rows, now);
}

void admit_end(struct supervisor *s) {
    struct dispatch *d = &s->dispatch;
    d->backlog_turn = sd_event_source_disable_unref(d->backlog_turn);
    for (struct backlog *b; (b = d->backlog);) {
        d->backlog = b->next;
        backlog_free(b);
    }
}
