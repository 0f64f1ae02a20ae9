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

enum { MESSAGE_MAX = 1024 };

static void on_described(void *arg, const PGresult *result, const struct err *err) {
    (void)arg;
    (void)result;
    if (err && err->kind != ERR_CANCELED)
        log_warn("a job's columns were not filled in from its spec", LERR(err));
}

static void on_refused(void *arg, const PGresult *result, const struct err *err) {
    struct supervisor *s = arg;
    (void)result;
    s->dispatch.releasing--;
    if (err) {
        log_warn("a refusal was not recorded, repeated soon", LERR(err));
        s->dispatch.owned_wanted = true;
    }
    dispatch_kick(s);
}

static void refuse(struct supervisor *s, const struct claim_job *job, enum reason reason,
                   const char *message) {
    struct claim c;
    struct err err = {0};
    log_warn("job refused", LS("job", job->job), LS("reason", reason_name(reason)), LS("error", message));
    claim_refuse(&c, job, reason_name(reason), message);
    if (claim_send(s->pool, &c, on_refused, s, &err) == 0)
        s->dispatch.releasing++;
    else
        s->dispatch.owned_wanted = true;
}

static void release(struct supervisor *s, const struct claim_job *job, const struct claim_facts *facts) {
    struct claim c;
    struct err err = {0};
    claim_release(&c, job, facts);
    if (claim_send(s->pool, &c, on_refused, s, &err) == 0)
        s->dispatch.releasing++;
    else
        s->dispatch.owned_wanted = true;
}

/* *ret_labels: JSON text that facts borrows. */
static struct claim_facts facts_of(const struct spec *spec, char **ret_labels) {
    AUTO_JSON json_t *labels = json_object();
    for (size_t i = 0; i < spec->labels.count; i++)
        json_object_set_new(labels, spec->labels.items[i].key, json_string(spec->labels.items[i].value));
    *ret_labels = json_dumps(labels, JSON_COMPACT);
    return (struct claim_facts){
        .name = spec->name,
        .labels = *ret_labels,
        .memory_bytes = spec->limits.memory_bytes,
        .cpus_milli = spec->limits.cpus_milli,
        .priority = spec->priority,
        .run_at_us = spec->run_at_us,
        .log_bytes = spec->limits.log_bytes,
    };
}

/* A row put in by SQL was claimed without knowing what it needs. */
static bool must_wait(const struct supervisor *s, const struct spec *spec) {
    struct children_sum sum = children_sum(&s->children);
    const struct settings *set = &s->settings;
    return sum.memory_bytes + spec->limits.memory_bytes > set->memory_bytes ||
           (set->cpus_milli && sum.cpus_milli + spec->limits.cpus_milli > set->cpus_milli) ||
           spec->run_at_us > clock_real_us();
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
    if (fd >= 0 && attempt_load(fd, &there, NULL) == 0 && there->token == job->token)
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

static void on_directory_failed(struct supervisor *s, const struct claim_job *job,
                                const struct claim_facts *facts, const struct err *err) {
    if (!s->dispatch.directory_pause_ms)
        log_error("attempt directories cannot be made, claims pause; make room in the state directory",
                  LS("state_dir", s->settings.state_dir), LERR(err));
    release(s, job, facts);
    dispatch_directory_failed(s);
}

static void admit(struct supervisor *s, const struct claim_job *job) {
    AUTO_SPEC struct spec *spec = NULL;
    AUTO_FREE char *labels = NULL;
    char name[ATTEMPT_NAME_MAX];
    struct err err = {0};
    struct claim c;
    if (job->number > ATTEMPT_NUMBER_MAX) {
        refuse(s, job, REASON_INTERNAL, "the job has had as many attempts as there can be");
        return;
    }
    if (parse_spec(s, job, &spec) < 0)
        return;
    struct claim_facts facts = facts_of(spec, &labels);
    attempt_dir_name(job->job, (int)job->number, name);
    if (job->bare && must_wait(s, spec)) {
        release(s, job, &facts);
        return;
    }
    if (make_directory(s, job, spec, &err) < 0) {
        if (err.kind == ERR_SYS && err.code == EEXIST)
            meet_existing(s, job, name);
        else
            on_directory_failed(s, job, &facts, &err);
        return;
    }
    s->dispatch.directory_pause_ms = 0;
    log_info("job claimed", LS("job", job->job), LI("attempt", job->number), LI("token", job->token));
    if (job->bare || spec->limits.log_bytes != s->settings.default_log) {
        claim_describe(&c, job, &facts);
        claim_send(s->pool, &c, on_described, s, NULL);
    }
    if (care_add_runner(s, name, spec) < 0)
        log_error("too many children, the attempt waits", LS("attempt", name),
                  LI("children_max", CHILDREN_MAX));
}

void admit_rows(struct supervisor *s, const PGresult *rows) {
    for (int i = 0; i < PQntuples(rows); i++) {
        struct claim_job job = claim_row(rows, i);
        /* A stop came between the claim and its answer: others may have it. */
        if (s->phase != PHASE_RUNNING && s->phase != PHASE_STARTING)
            release(s, &job, NULL);
        else
            admit(s, &job);
    }
}
