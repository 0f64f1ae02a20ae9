/*
 * children - the table of child processes: who there is, in which state, and what the runners have been
 * promised.
 *
 * A child keeps its entry from the first start to its final end, over all restarts. The table owns the
 * entries; the descriptors and event sources in them belong to care.c. Pure.
 */
#ifndef BERTH_SUPERVISOR_CHILDREN_H
#define BERTH_SUPERVISOR_CHILDREN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "orchestrator/supervisor/restart.h"
#include "proto/attempt.h"

/*        symbol   word, program is berth-runner */
#define ROLE_TABLE(X)                                                                                        \
    X(GATEWAY, "gateway", false)                                                                             \
    X(SCRIBE, "scribe", false)                                                                               \
    X(REAPER, "reaper", false)                                                                               \
    X(PROBE, "probe", true)                                                                                  \
    X(RUNNER, "runner", true)

enum role {
#define X(symbol, word, runner) CHILD_##symbol,
    ROLE_TABLE(X)
#undef X
        CHILD_ROLE_COUNT
};
const char *role_name(enum role role);
bool role_is_runner_program(enum role role);
/* Which of the secret settings a role is given. A runner drives a container with a stranger's code in it:
 * none.
 */
bool role_needs_secret(enum role role, const char *key);

enum child_state {
    CHILD_NEW,
    CHILD_STARTED, /* runs, has not said READY */
    CHILD_READY,
    CHILD_WAITING, /* dead; its restart timer runs */
};

enum { CHILDREN_MAX = 2048 }; /* of which one each is kept for every other role than the runners' */

struct supervisor;
struct child {
    enum role role;
    enum child_state state;
    char name[ATTEMPT_NAME_MAX]; /* of the attempt; "" but for runners */
    int64_t memory_bytes, cpus_milli;
    bool fenced;        /* a runner: the database says that its attempt has ended, which was logged */
    bool wants_license; /* a runner: it has come to the point where it would begin the command */
    pid_t pid;          /* 0: none runs */
    int fd;             /* our end of its CHILD_FD; -1 */
    int64_t born_ms;
    unsigned unanswered; /* questions of the watchdog */
    struct restart restart;
    struct supervisor *supervisor;
    struct sd_event_source *exit_source, *message_source, *timer_source;
};

struct children {
    struct child *items[CHILDREN_MAX];
    size_t count;
};

/* NULL when the table is full, or, for a runner, when the attempt has one. */
struct child *children_add(struct children *c, enum role role, const char *name);
void children_remove(struct children *c, struct child *child); /* frees it */
struct child *children_find_runner(const struct children *c, const char *name);
struct child *children_find_role(const struct children *c, enum role role);

struct children_sum {
    int64_t runners, memory_bytes, cpus_milli;
};
struct children_sum children_sum(const struct children *c); /* of the runners */

#endif
