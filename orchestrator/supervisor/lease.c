/* lease - the heartbeat that shows others that we live, on a timer of its own. */
#include "base/clock.h"
#include "base/log.h"
#include "orchestrator/supervisor/supervisor.h"
#include "orchestrator/supervisor/supervisor_private.h"
#include "proto/fault_points.h"

static int on_heartbeat_timer(sd_event_source *source, uint64_t usec, void *arg);

static void arm(struct supervisor *s) {
    timer_arm(s->loop, &s->heartbeat_timer, s->settings.lease_ms / HEARTBEATS_PER_LEASE, on_heartbeat_timer,
              s);
}

static void on_registered(void *arg, const PGresult *result, const struct err *err) {
    struct supervisor *s = arg;
    struct claim_holder holder;
    if (err) {
        log_warn("registering again failed, repeated with the next heartbeat", LERR(err));
        return;
    }
    if (claim_registered(result, &holder)) {
        log_warn("our name had been lost and is ours again", LS("instance", s->settings.instance));
        return;
    }
    log_error("another berthd has taken our name; give this one another with BERTH_INSTANCE; berthd ends",
              LS("instance", s->settings.instance),
              LS("holder", holder.copy ? "a copy of our state directory" : "another state directory"),
              LI("exit", SUPERVISOR_EXIT_AGAIN));
    leave_now(s, SUPERVISOR_EXIT_AGAIN);
}

static void register_again(struct supervisor *s) {
    struct claim c;
    struct err err = {0};
    struct claim_self self = startup_self(s);
    claim_register(&c, &self, s->settings.slots, s->settings.lease_ms);
    if (claim_send(s->pool, &c, on_registered, s, &err) < 0)
        log_warn("registering again failed, repeated with the next heartbeat", LERR(&err));
}

int64_t lease_connected_ms(const struct supervisor *s) {
    int64_t now_ms = clock_boot_ms();
    if (!s->beating_since_ms || now_ms - s->beat_ms > s->settings.lease_ms)
        return 0;
    return now_ms - s->beating_since_ms;
}

/* Behind a gap others may have been given what is ours. */
static void note_beat(struct supervisor *s) {
    if (!lease_connected_ms(s)) {
        s->beating_since_ms = clock_boot_ms();
        s->dispatch.owned_wanted = true;
    }
    s->beat_ms = s->beat_sent_ms;
}

static void on_heartbeat(void *arg, const PGresult *result, const struct err *err) {
    struct supervisor *s = arg;
    s->heartbeat_sent = false;
    if (err) {
        s->beating_since_ms = 0;
        dispatch_complain(s, "heartbeat", err);
        return;
    }
    if (PQntuples(result) == 0) {
        s->beating_since_ms = 0;
        register_again(s);
        return;
    }
    FAULT(PARENT_BEATEN);
    note_beat(s);
    dispatch_recovered(s);
    if (s->dispatch.owned_wanted)
        dispatch_look(s);
    int64_t back = claim_come_back(result);
    if (back) {
        log_warn("jobs of ours were taken for lost and go on", LI("jobs", back));
        s->dispatch.owned_wanted = true;
    }
    bool draining = claim_draining(result);
    if (draining != s->draining)
        log_info(draining ? "draining, no more claims" : "no longer draining");
    s->draining = draining;
    if (s->heartbeat_again) /* the row may have been changed behind this look at it */
        lease_beat(s);
    if (!draining)
        dispatch_kick(s);
}

void lease_beat(struct supervisor *s) {
    struct claim c;
    s->heartbeat_again = s->heartbeat_sent;
    if (s->heartbeat_sent || s->phase == PHASE_LEAVING)
        return;
    struct children_sum sum = children_sum(&s->children);
    struct claim_beat beat = {
        .slots = s->settings.slots,
        .used = sum.runners,
        .memory_bytes = s->settings.memory_bytes,
        .memory_used = sum.memory_bytes,
        .cpus_milli = s->settings.cpus_milli,
        .cpus_used = sum.cpus_milli,
        .lost_after_ms = s->settings.lost_after_ms,
    };
    struct claim_self self = startup_self(s);
    s->beat_sent_ms = clock_boot_ms();
    FAULT(PARENT_BEATING);
    claim_heartbeat(&c, &self, &beat);
    s->heartbeat_sent = claim_send(s->pool, &c, on_heartbeat, s, NULL) == 0;
}

static int on_heartbeat_timer(sd_event_source *source, uint64_t usec, void *arg) {
    struct supervisor *s = arg;
    (void)source;
    (void)usec;
    arm(s);
    if (!s->heartbeat_sent)
        lease_beat(s);
    return 0;
}

int lease_begin(struct supervisor *s, struct err *err) {
    if (timer_arm(s->loop, &s->heartbeat_timer, 0, on_heartbeat_timer, s) < 0)
        return err_set(err, ERR_BUG, 0, "no timer for the heartbeat");
    return 0;
}

static void on_left(void *arg, const PGresult *result, const struct err *err) {
    struct supervisor *s = arg;
    (void)result;
    if (err)
        log_warn("clean exit not recorded, others wait for the lease", LERR(err));
    FAULT_IF(!err, PARENT_LEFT);
    s->leave_recorded = true;
    leave_check(s);
}

void lease_leave(struct supervisor *s) {
    struct claim c;
    bool running = children_sum(&s->children).runners > 0;
    struct claim_self self = startup_self(s);
    claim_leave(&c, &self, running ? s->settings.detach_timeout_ms : 0);
    if (!s->pool || !db_pool_is_up(s->pool) || claim_send(s->pool, &c, on_left, s, NULL) < 0)
        s->leave_recorded = true;
}
