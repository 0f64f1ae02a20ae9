/* supervisor_private - the parent's one structure, and what its files offer each other. */
#ifndef BERTH_SUPERVISOR_PRIVATE_H
#define BERTH_SUPERVISOR_PRIVATE_H

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/ctx.h"
#include "orchestrator/db/claim.h"
#include "orchestrator/settings.h"
#include "orchestrator/supervisor/children.h"
#include "orchestrator/supervisor/state_dir.h"
#include "proto/control.h"
#include "proto/status.h"

enum {
    QUIT_WAIT_MS = 90000, /* for canceled jobs to be cleaned up and recorded; the watchdog is faster */
    LEAVE_WAIT_MS = 3000, /* for children to end by themselves once their socket is closed */
    POOL_CONNECTIONS = 2, /* and one that listens */
    POOL_QUEUE_TIMEOUT_MS = 5000,
    HEARTBEATS_PER_LEASE = 3,
    DIRECTORY_RETRY_MIN_MS = 1000, /* an attempt's directory cannot be made: the disk is full */
    DIRECTORY_RETRY_MAX_MS = 30000,
    COMPLAIN_AGAIN_MS = 60000,
};

enum { SIGNALS_COUNT = 4 }; /* TERM, INT, QUIT, HUP */

enum phase {
    PHASE_STARTING, /* the engine has not been proved: nothing is claimed */
    PHASE_RUNNING,
    PHASE_DRAINING,  /* TERM: nothing is claimed, runners may end their jobs */
    PHASE_CANCELING, /* QUIT: every runner was told to cancel */
    PHASE_LEAVING,   /* children are let go, containers stay */
};

struct dispatch {
    sd_event_source *poll_timer, *retry_timer, *due_timer;
    bool sweeping, claiming, ordering, owning, judging,
        licensing; /* a statement of this kind is on its way */
    bool sweep_again, claim_again, order_again, owned_wanted;
    unsigned fetching, changing; /* statements on their way */
    int64_t owned_at_ms;         /* when we last looked at what is ours */
    struct {
        int kind, code;
        int64_t at_ms;          /* 0: none since all went well */
        int64_t last_ms;        /* when a statement failed last, told or not */
    } complaint;                /* the last one that was told */
    int64_t directory_retry_ms; /* claims pause for so long: a directory could not be made; 0: they do not */
    int64_t directory_pause_ms; /* the last such pause; 0: a directory was made since */
    char **listing;             /* attempt directories before the look at what is ours; NULL-terminated */
    struct backlog *backlog;    /* claimed rows whose turn has not come (admit.c); NULL: none */
    sd_event_source *backlog_turn;
};

struct supervisor {
    struct settings settings; /* effective; init_path is the copy in the state directory */
    char *const *argv;
    struct state_dir state;
    char cluster[ATTEMPT_ID_MAX];
    char life[ATTEMPT_ID_MAX]; /* of this process */
    int runner_fd;             /* -1, or the program that was installed at the start, … */
    char *runner_path;         /* … as children execute it, whatever is installed meanwhile */
    bool change_user;          /* of the gateway */
    uid_t gateway_uid;
    gid_t gateway_gid;
    sd_event *loop;
    struct db_pool *pool;
    struct children children;
    struct dispatch dispatch;
    enum phase phase;
    bool draining; /* told so through the database */
    int exit_status;
    sd_event_source *signals[SIGNALS_COUNT], *heartbeat_timer, *phase_timer, *attempts_watch, *probe_timer,
        *watchdog_timer;
    int64_t engine_wait_until_ms;
    bool leave_recorded, shut_down_sent, heartbeat_sent, heartbeat_again;
    int64_t beating_since_ms, beat_ms; /* heartbeats without a gap, the last one; 0: none yet */
    int64_t beat_sent_ms; /* when the one on its way was sent; beat_ms likewise of an answered one */
    char *probe_detail;
    struct health health[HEALTH_PART_COUNT];
    char *cgroup; /* over all jobs of ours, as the probe says; NULL: there is none */
};

/* startup.c */
struct claim_self startup_self(const struct supervisor *s); /* borrows */
int startup_failed(const struct err *err);                  /* logs it; the exit status that it means */
void startup_raise_descriptors(void);
int startup_check_url(const struct settings *settings, struct err *err);
int startup_resolve(struct supervisor *s, struct err *err); /* settings that were left open */
int startup_database(struct supervisor *s,
                     struct err *err); /* connects, migrates, registers; ERR_AWAY, ERR_LIMIT: name taken */
int startup_programs(struct supervisor *s, struct err *err);

/* care.c */
int care_start(struct supervisor *s, struct child *child); /* a failure counts as a death */
struct child *care_add(struct supervisor *s, enum role role, const char *name);
int care_add_runner(struct supervisor *s, const char *name, const struct spec *spec); /* spec NULL: unknown */
void care_let_go(struct child *child); /* closes its socket: it ends by itself */
void care_kill_all(struct supervisor *s);
void care_cancel(const struct child *runner, bool force, enum reason reason);
void care_license(const struct child *runner);
void care_extend(const struct child *runner, int64_t run_ms);
/* Kills a runner that hangs, so that it is started again; not one that has just been started. */
void care_replace(struct child *runner, int64_t late_ms);

/* probe.c */
void probe_begin(struct supervisor *s);
void probe_answered(struct supervisor *s, const struct control *answer);
void probe_ended(struct supervisor *s);

/* dispatch.c */
int dispatch_begin(struct supervisor *s, struct err *err);
void dispatch_kick(struct supervisor *s); /* there may be work or room: claim now */
void dispatch_hint(struct supervisor *s, const char *channel,
                   const char *payload); /* from the database; NULL: connected again */
void dispatch_directory_failed(struct supervisor *s, const struct err *err); /* claims pause */
void dispatch_look(struct supervisor *s); /* at what is ours, if that is wanted or was long ago */
void dispatch_end(struct supervisor *s);
bool dispatch_send(struct supervisor *s, const struct claim *c, db_done *done, const char *what);
/* A statement failed. Once, and again now and then while it lasts: what is asked with every poll fails with
 * every poll. */
void dispatch_complain(struct supervisor *s, const char *what, const struct err *err);
void dispatch_recovered(struct supervisor *s); /* the database does again what it is asked for */

/* health.c */
void health_set(struct supervisor *s, enum health_part part, bool ok, const char *detail);
void health_look(struct supervisor *s);       /* at the state directory */
void health_tell(const struct supervisor *s); /* the gateway, which has just begun */
bool health_has_room(
    const struct supervisor *s); /* for the directory of another attempt, as far as one can see */
int health_try_room(const struct supervisor *s, struct err *err); /* by making one */

/* orders.c */
void orders_ask(struct supervisor *s);
void orders_fence(struct supervisor *s,
                  const PGresult *owned); /* runners of attempts that are not ours any more */

/* license.c */
void license_ask(struct supervisor *s); /* for the runners that want to begin their commands */

/* judge.c */
void judge_others(struct supervisor *s);

/* admit.c */
void admit_rows(struct supervisor *s, const PGresult *rows); /* a few now, the others in later turns */
void admit_end(struct supervisor *s);

/* adopt.c */
void adopt_all(struct supervisor *s);
void adopt_directory(struct supervisor *s, const char *name);     /* unless it has a runner or needs none */
bool adopt_is_done(const struct supervisor *s, const char *name); /* its runner has nothing left to do */
void adopt_give_up(struct supervisor *s,
                   const char *name);    /* no runner can work on it: it ends, if it never began */
char **adopt_list(struct supervisor *s); /* names, NULL-terminated; NULL: cannot be read */
void adopt_list_free(char **list);
bool adopt_listed(char *const *list, const char *name);

/* lease.c */
int64_t lease_connected_ms(const struct supervisor *s); /* for how long heartbeats have gone without a gap */
int lease_begin(struct supervisor *s, struct err *err);
void lease_beat(struct supervisor *s);  /* now: it tells what others have written into our row */
void lease_leave(struct supervisor *s); /* records the clean exit; sets leave_recorded */

/* leave.c */
int leave_watch_signals(struct supervisor *s, struct err *err);
void leave_now(struct supervisor *s, int exit_status);
void leave_cancel_all(struct supervisor *s); /* after QUIT; again and again does no harm */
void leave_check(struct supervisor *s);      /* a child or a directory has gone: is that all we waited for? */

/* watchdog.c */
int watchdog_begin(struct supervisor *s, struct err *err);

/* timers */
int timer_arm(sd_event *loop, sd_event_source **source, int64_t in_ms, sd_event_time_handler_t handler,
              void *arg);

#endif
