/*
 * control - the messages on CHILD_FD, between the parent and its children (proto/child.h).
 *
 * type      direction  fields
 * config    to child   settings {key: value}, all secrets in clear; instance; cluster; cgroup
 * ready     to parent
 * cancel    to runner  force (bool), reason ("requested", "shutdown", "superseded")
 * extend    to runner  run_ms: by so much the run deadline is to lie behind what the spec says, in all (not:
 *                      more)
 * probed    to parent  ok (bool), detail, cgroup, warning: answer of `berth-runner --probe`
 * begin     both       from a runner: may the command be begun? to it: it may, once and for all
 * alive     both       from the parent: does your loop go round? from a helper or a runner: it does
 * health    to parent, to gateway  part, ok (bool), detail: whether what jobs need is there
 *
 * A strict decoder: an unknown type or a wrong field is an error, so that a version skew is loud.
 */
#ifndef BERTH_PROTO_CONTROL_H
#define BERTH_PROTO_CONTROL_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "proto/status.h"

#define CONTROL_TABLE(X)                                                                                     \
    X(CONFIG, "config")                                                                                      \
    X(READY, "ready")                                                                                        \
    X(CANCEL, "cancel")                                                                                      \
    X(EXTEND, "extend")                                                                                      \
    X(BEGIN, "begin")                                                                                        \
    X(PROBED, "probed")                                                                                      \
    X(ALIVE, "alive")                                                                                        \
    X(HEALTH, "health")

enum control_type {
#define X(symbol, word) CONTROL_##symbol,
    CONTROL_TABLE(X)
#undef X
        CONTROL_TYPE_COUNT
};

/* What jobs need on their host. */
#define HEALTH_TABLE(X)                                                                                      \
    X(ENGINE, "engine")                                                                                      \
    X(STATE_DIR, "state_dir")

enum health_part {
#define X(symbol, word) HEALTH_##symbol,
    HEALTH_TABLE(X)
#undef X
        HEALTH_PART_COUNT
};
const char *health_part_word(enum health_part part);

enum { HEALTH_DETAIL_MAX = 400 };
struct health {
    bool known, ok;
    char detail[HEALTH_DETAIL_MAX]; /* why not; "": nothing to say */
};

enum { CONTROL_CONFIG_WAIT_MS = 30000 }; /* a parent that has not sent `config` by then never will */

struct control {
    enum control_type type;
    json_t *settings;      /* CONFIG; owned */
    char *instance;        /* CONFIG; owned */
    char *cluster;         /* CONFIG; owned; "" when the database was not reached yet */
    bool force;            /* CANCEL */
    enum reason reason;    /* CANCEL */
    int64_t run_ms;        /* EXTEND */
    enum health_part part; /* HEALTH */
    bool ok;               /* PROBED, HEALTH */
    char *detail;          /* PROBED, HEALTH; owned */
    char *cgroup;  /* CONFIG, PROBED; owned: the group over all jobs of this instance, in which a runner makes
                      one for its attempt; "": there is none, the engine's own limits must do */
    char *warning; /* PROBED; owned: what the host does not allow (cgroups, packet filter); "": nothing */
};

int control_send(int fd, const struct control *message, struct err *err);
/* When the message asks whether this process is alive. A parent that is not told asks again. */
void control_answer_alive(int fd, const struct control *message);
/* 1: a message; 0: end of file, the peer is gone; -1: none now (ERR_SYS with EAGAIN) or a message that is
 * wrong. */
int control_recv(int fd, struct control *ret_message, struct err *err);
/* Waits for the first message, which must be CONFIG, up to CONTROL_CONFIG_WAIT_MS. For a child's start. 0, or
 * -1: ERR_AWAY when the parent is gone, ERR_DEADLINE. */
int control_recv_config(int fd, struct control *ret_message, struct err *err);
int control_decode(const char *bytes, size_t len, struct control *ret_message, struct err *err);
void control_done(struct control *message);

#endif
