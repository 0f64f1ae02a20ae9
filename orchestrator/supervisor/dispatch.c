/*
 * dispatch - when the database is asked what. A notification is a hint, the poll is the truth.
 *
 * Of each kind at most one statement is on its way. A look at what is ours (claim_owned) and changes of it
 * (claim, release) exclude each other, so that an attempt that is just being made or given back is never
 * taken for one whose directory was lost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "orchestrator/supervisor/supervisor_private.h"
#include "proto/fault_points.h"

static bool works(const struct supervisor *s) {
    return s->phase == PHASE_STARTING || s->phase == PHASE_RUNNING;
}

bool dispatch_send(struct supervisor *s, const struct claim *c, db_done *done, const char *what) {
    struct err err = {0};
    if (claim_send(s->pool, c, done, s, &err) == 0)
        return true;
    log_warn("statement not sent, repeated with the next poll", LS("statement", what), LERR(&err));
    return false;
}

void dispatch_complain(struct supervisor *s, const char *what, const struct err *err) {
    struct dispatch *d = &s->dispatch;
    int64_t now_ms = clock_boot_ms();
    bool told = d->complaint.at_ms && d->complaint.kind == (int)err->kind && d->complaint.code == err->code &&
                now_ms - d->complaint.at_ms < COMPLAIN_AGAIN_MS;
    if (err->kind == ERR_CANCELED)
        return;
    d->complaint.last_ms = now_ms;
    if (told)
        return;
    d->complaint.kind = (int)err->kind;
    d->complaint.code = err->code;
    d->complaint.at_ms = now_ms;
    log_warn("statement failed, repeated with the next poll", LS("statement", what), LERR(err));
}

/* Not at once: one kind of statement may go on failing while heartbeats do not. */
void dispatch_recovered(struct supervisor *s) {
    struct dispatch *d = &s->dispatch;
    if (!d->complaint.at_ms || clock_boot_ms() - d->complaint.last_ms < s->settings.lease_ms)
        return;
    log_info("the database does again what it is asked for");
    d->complaint.at_ms = 0;
}

/* --- claiming --- */

static void on_claimed(void *arg, const PGresult *result, const struct err *err) {
    struct supervisor *s = arg;
    struct dispatch *d = &s->dispatch;
    bool again = d->claim_again;
    d->claiming = d->claim_again = false;
    if (err) {
        dispatch_complain(s, "claim", err);
        d->owned_wanted = true; /* it may have taken effect */
        return;
    }
    FAULT_IF(PQntuples(result) > 0, PARENT_CLAIMED);
    admit_rows(s, result);
    if (again || PQntuples(result) > 0)
        dispatch_kick(s);
}

static int64_t at_least_0(int64_t n) {
    return n > 0 ? n : 0;
}

void dispatch_kick(struct supervisor *s) {
    struct dispatch *d = &s->dispatch;
    struct children_sum sum = children_sum(&s->children);
    const struct settings *set = &s->settings;
    int64_t room = set->slots - sum.runners;
    if (d->claiming)
        d->claim_again = true;
    if (s->phase != PHASE_RUNNING || s->draining || !db_pool_is_up(s->pool) || d->directory_retry_ms ||
        !health_has_room(s) || d->claiming || d->owning || d->fetching || d->changing || room <= 0)
        return;
    struct claim_want want = {
        .self = startup_self(s),
        .limit = room < CLAIM_BATCH_MAX ? room : CLAIM_BATCH_MAX,
        .memory_free = at_least_0(set->memory_bytes - sum.memory_bytes),
        .memory_total = set->memory_bytes,
        .cpus_free = at_least_0(set->cpus_milli - sum.cpus_milli),
        .cpus_total = set->cpus_milli,
        .default_memory = set->default_memory,
        .default_cpus_milli = set->default_cpus_milli,
        .default_log = set->default_log,
        .default_grace_ms = set->default_grace,
    };
    struct claim c;
    claim_take(&c, &want);
    d->claiming = dispatch_send(s, &c, on_claimed, "claim");
    FAULT(PARENT_CLAIM_SENT);
}

static int on_retry_timer(sd_event_source *source, uint64_t usec, void *arg) {
    struct supervisor *s = arg;
    struct err err = {0};
    (void)source;
    (void)usec;
    s->dispatch.directory_retry_ms = 0;
    if (health_try_room(s, &err) < 0) {
        dispatch_directory_failed(s, &err);
        return 0;
    }
    health_look(s);
    dispatch_kick(s);
    return 0;
}

void dispatch_directory_failed(struct supervisor *s, const struct err *err) {
    struct dispatch *d = &s->dispatch;
    if (d->directory_retry_ms)
        return;
    health_set(s, HEALTH_STATE_DIR, false, err->kind == ERR_SYS ? strerror(err->code) : err->text);
    int64_t pause_ms = d->directory_pause_ms ? d->directory_pause_ms * 2 : DIRECTORY_RETRY_MIN_MS;
    d->directory_pause_ms = pause_ms < DIRECTORY_RETRY_MAX_MS ? pause_ms : DIRECTORY_RETRY_MAX_MS;
    d->directory_retry_ms = d->directory_pause_ms;
    if (timer_arm(s->loop, &d->retry_timer, d->directory_retry_ms, on_retry_timer, s) < 0)
        d->directory_retry_ms = 0;
}

/* --- what is ours --- */

static void on_fetched(void *arg, const PGresult *result, const struct err *err) {
    struct supervisor *s = arg;
    s->dispatch.fetching--;
    if (err) {
        dispatch_complain(s, "fetch", err);
        s->dispatch.owned_wanted = true;
    } else if (works(s)) {
        FAULT(PARENT_FETCHED);
        admit_rows(s, result);
    }
    dispatch_kick(s);
}

static void fetch(struct supervisor *s, const struct claim_ours *row, const char *name) {
    struct claim c;
    if (s->dispatch.fetching >= CLAIM_BATCH_MAX) {
        s->dispatch.owned_wanted = true;
        return;
    }
    log_warn("attempt of ours without a directory, making it again", LS("attempt", name));
    struct claim_self self = startup_self(s);
    claim_fetch(&c, &self, row->job, row->attempt_id);
    if (dispatch_send(s, &c, on_fetched, "fetch"))
        s->dispatch.fetching++;
}

static void on_owned(void *arg, const PGresult *result, const struct err *err) {
    struct supervisor *s = arg;
    struct dispatch *d = &s->dispatch;
    d->owning = false;
    FAULT_IF(!err, PARENT_OWNED);
    if (err) {
        dispatch_complain(s, "owned", err);
        d->owned_wanted = true;
    } else {
        orders_fence(s, result);
    }
    for (int i = 0; !err && works(s) && i < PQntuples(result); i++) {
        struct claim_ours row = claim_owned_row(result, i);
        char name[ATTEMPT_NAME_MAX];
        if (!row.job)
            continue;
        attempt_dir_name(row.job, (int)row.number, name);
        if (children_find_runner(&s->children, name))
            continue;
        /* The scribe removes a directory only after the database says that the attempt has ended: one that
         * was missing before the database was asked, and has not ended there, is truly missing. */
        if (adopt_listed(d->listing, name))
            adopt_directory(s, name);
        else if (faccessat(s->state.attempts_fd, name, F_OK, 0) < 0)
            fetch(s, &row, name);
    }
    adopt_list_free(d->listing);
    d->listing = NULL;
    if (!err && d->owned_wanted)
        dispatch_look(s);
    dispatch_kick(s);
}

void dispatch_look(struct supervisor *s) {
    struct dispatch *d = &s->dispatch;
    int64_t now_ms = clock_boot_ms();
    if (!d->owned_wanted && now_ms - d->owned_at_ms < s->settings.lease_ms)
        return;
    if (!works(s) || d->claiming || d->owning || d->fetching || d->changing)
        return;
    struct claim c;
    d->listing = adopt_list(s);
    if (!d->listing)
        return;
    struct claim_self self = startup_self(s);
    claim_owned(&c, &self);
    d->owning = dispatch_send(s, &c, on_owned, "owned");
    if (!d->owning) {
        adopt_list_free(d->listing);
        d->listing = NULL;
        return;
    }
    d->owned_wanted = false;
    d->owned_at_ms = now_ms;
}

/* --- the poll --- */

static void sweep(struct supervisor *s);

static int on_due(sd_event_source *source, uint64_t usec, void *arg) {
    struct supervisor *s = arg;
    (void)source;
    (void)usec;
    sweep(s);
    dispatch_kick(s);
    return 0;
}

static void on_swept(void *arg, const PGresult *result, const struct err *err) {
    struct supervisor *s = arg;
    struct dispatch *d = &s->dispatch;
    d->sweeping = false;
    if (err) {
        dispatch_complain(s, "sweep", err);
        return;
    }
    struct claim_swept swept = claim_swept(result);
    if (swept.queued > 0)
        dispatch_kick(s);
    /* What is due later than the next poll is told by that again. */
    if (swept.next_ms >= 0 && swept.next_ms <= s->settings.poll_interval_ms)
        timer_arm(s->loop, &d->due_timer, swept.next_ms, on_due, s);
    if (d->sweep_again)
        sweep(s);
}

/* Also while nothing is claimed: it needs neither engine nor room. */
static void sweep(struct supervisor *s) {
    struct dispatch *d = &s->dispatch;
    struct claim c;
    d->sweep_again = d->sweeping;
    if (d->sweeping || !works(s) || !db_pool_is_up(s->pool))
        return;
    claim_sweep(&c);
    d->sweeping = dispatch_send(s, &c, on_swept, "sweep");
}

static int on_poll(sd_event_source *source, uint64_t usec, void *arg) {
    struct supervisor *s = arg;
    (void)source;
    (void)usec;
    timer_arm(s->loop, &s->dispatch.poll_timer, s->settings.poll_interval_ms, on_poll, s);
    if (s->phase == PHASE_CANCELING) /* once more, for those that were not there yet or did not read */
        leave_cancel_all(s);
    health_look(s);
    if (s->phase == PHASE_LEAVING || !db_pool_is_up(s->pool))
        return 0;
    sweep(s);
    orders_ask(s);
    license_ask(s);
    judge_others(s);
    dispatch_look(s);
    dispatch_kick(s);
    return 0;
}

void dispatch_hint(struct supervisor *s, const char *channel, const char *payload) {
    if (s->phase == PHASE_LEAVING)
        return;
    if (!channel) { /* before new claims: what is ours takes its slots first */
        s->dispatch.owned_wanted = true;
        dispatch_look(s);
    }
    if (payload && strcmp(payload, "drain") == 0)
        lease_beat(s);
    if (payload && strcmp(payload, "later") == 0)
        sweep(s);
    orders_ask(s);
    dispatch_kick(s);
}

int dispatch_begin(struct supervisor *s, struct err *err) {
    s->dispatch.owned_wanted = true;
    if (timer_arm(s->loop, &s->dispatch.poll_timer, 0, on_poll, s) < 0)
        return err_set(err, ERR_BUG, 0, "no timer for the poll");
    return 0;
}

void dispatch_end(struct supervisor *s) {
    struct dispatch *d = &s->dispatch;
    d->poll_timer = sd_event_source_disable_unref(d->poll_timer);
    d->retry_timer = sd_event_source_disable_unref(d->retry_timer);
    d->due_timer = sd_event_source_disable_unref(d->due_timer);
    admit_end(s);
    adopt_list_free(d->listing);
    d->listing = NULL;
}
