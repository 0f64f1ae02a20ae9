/*
 * status - the words for where a job is and why, and the steps between them, written once.
 *
 * The tables below give the enums, their names on every channel, the checks in C, and (through the migration)
 * the rows of berth.transitions by which the database refuses a step that is not allowed. contract.md,
 * "Status and reason".
 */
#ifndef BERTH_PROTO_STATUS_H
#define BERTH_PROTO_STATUS_H

#include <stdbool.h>

/*        symbol      word         terminal */
#define STATUS_TABLE(X)                                                                                      \
    X(SCHEDULED, "scheduled", false)                                                                         \
    X(QUEUED, "queued", false)                                                                               \
    X(PREPARING, "preparing", false)                                                                         \
    X(RUNNING, "running", false)                                                                             \
    X(RETRYING, "retrying", false)                                                                           \
    X(CANCELING, "canceling", false)                                                                         \
    X(LOST, "lost", false)                                                                                   \
    X(SUCCEEDED, "succeeded", true)                                                                          \
    X(FAILED, "failed", true)                                                                                \
    X(ERRORED, "errored", true)                                                                              \
    X(TIMED_OUT, "timed_out", true)                                                                          \
    X(CANCELED, "canceled", true)

enum status {
#define X(symbol, word, terminal) STATUS_##symbol,
    STATUS_TABLE(X)
#undef X
        STATUS_COUNT
};

/*        symbol               word                    status it belongs to, can a repeat mend it */
#define REASON_TABLE(X)                                                                                      \
    X(EXIT_CODE, "exit_code", FAILED, false)                                                                 \
    X(SIGNAL, "signal", FAILED, false)                                                                       \
    X(OOM, "oom", FAILED, false)                                                                             \
    X(COMMAND_NOT_FOUND, "command_not_found", FAILED, false)                                                 \
    X(COMMAND_NOT_EXECUTABLE, "command_not_executable", FAILED, false)                                       \
    X(SERVICE_FAILED, "service_failed", FAILED, false)                                                       \
    X(IMAGE_NOT_FOUND, "image_not_found", ERRORED, false)                                                    \
    X(IMAGE_DENIED, "image_denied", ERRORED, false)                                                          \
    X(PULL_FAILED, "pull_failed", ERRORED, true)                                                             \
    X(SPEC_REFUSED, "spec_refused", ERRORED, false)                                                          \
    X(ENGINE_UNAVAILABLE, "engine_unavailable", ERRORED, true)                                               \
    X(ENGINE_RESTARTED, "engine_restarted", ERRORED, true)                                                   \
    X(CONTAINER_REMOVED, "container_removed", ERRORED, true)                                                 \
    X(CONTAINER_KILLED, "container_killed", ERRORED, true)                                                   \
    X(HOST_RESTARTED, "host_restarted", ERRORED, true)                                                       \
    X(ORCHESTRATOR_LOST, "orchestrator_lost", ERRORED, true)                                                 \
    X(SERVICE_NOT_READY, "service_not_ready", ERRORED, true)                                                 \
    X(INTERNAL, "internal", ERRORED, true)                                                                   \
    X(QUEUE_DEADLINE, "queue_deadline", TIMED_OUT, false)                                                    \
    X(PULL_DEADLINE, "pull_deadline", TIMED_OUT, false)                                                      \
    X(START_DEADLINE, "start_deadline", TIMED_OUT, false)                                                    \
    X(RUN_DEADLINE, "run_deadline", TIMED_OUT, false)                                                        \
    X(IDLE_DEADLINE, "idle_deadline", TIMED_OUT, false)                                                      \
    X(REQUESTED, "requested", CANCELED, false)                                                               \
    X(SUPERSEDED, "superseded", CANCELED, false)                                                             \
    X(SHUTDOWN, "shutdown", CANCELED, false)

/* The word in the reason's place that the API shows where the status itself says it all.
 *   status       word */
#define PLAIN_REASON_TABLE(X)                                                                                \
    X("scheduled", "run_at")                                                                                 \
    X("preparing", "starting")                                                                               \
    X("succeeded", "completed")

enum reason {
    REASON_NONE = 0,
#define X(symbol, word, status, mendable) REASON_##symbol,
    REASON_TABLE(X)
#undef X
        REASON_COUNT
};

/* Every allowed step. A terminal status is never left. */
#define TRANSITION_TABLE(X)                                                                                  \
    X(SCHEDULED, QUEUED)                                                                                     \
    X(SCHEDULED, CANCELED)                                                                                   \
    X(SCHEDULED, ERRORED)                                                                                    \
    X(QUEUED, PREPARING)                                                                                     \
    X(QUEUED, CANCELED)                                                                                      \
    X(QUEUED, ERRORED)                                                                                       \
    X(QUEUED, TIMED_OUT)                                                                                     \
    X(PREPARING, QUEUED)                                                                                     \
    X(PREPARING, SCHEDULED)                                                                                  \
    X(PREPARING, RUNNING)                                                                                    \
    X(PREPARING, RETRYING)                                                                                   \
    X(PREPARING, CANCELING)                                                                                  \
    X(PREPARING, LOST)                                                                                       \
    X(PREPARING, SUCCEEDED)                                                                                  \
    X(PREPARING, FAILED)                                                                                     \
    X(PREPARING, ERRORED)                                                                                    \
    X(PREPARING, TIMED_OUT)                                                                                  \
    X(PREPARING, CANCELED)                                                                                   \
    X(RUNNING, RETRYING)                                                                                     \
    X(RUNNING, CANCELING)                                                                                    \
    X(RUNNING, LOST)                                                                                         \
    X(RUNNING, SUCCEEDED)                                                                                    \
    X(RUNNING, FAILED)                                                                                       \
    X(RUNNING, ERRORED)                                                                                      \
    X(RUNNING, TIMED_OUT)                                                                                    \
    X(RUNNING, CANCELED)                                                                                     \
    X(RETRYING, PREPARING)                                                                                   \
    X(RETRYING, CANCELED)                                                                                    \
    X(RETRYING, TIMED_OUT)                                                                                   \
    X(RETRYING, ERRORED)                                                                                     \
    X(CANCELING, LOST)                                                                                       \
    X(CANCELING, SUCCEEDED)                                                                                  \
    X(CANCELING, FAILED)                                                                                     \
    X(CANCELING, ERRORED)                                                                                    \
    X(CANCELING, TIMED_OUT)                                                                                  \
    X(CANCELING, CANCELED)                                                                                   \
    X(LOST, PREPARING)                                                                                       \
    X(LOST, RUNNING)                                                                                         \
    X(LOST, RETRYING)                                                                                        \
    X(LOST, CANCELING)                                                                                       \
    X(LOST, SUCCEEDED)                                                                                       \
    X(LOST, FAILED)                                                                                          \
    X(LOST, ERRORED)                                                                                         \
    X(LOST, TIMED_OUT)                                                                                       \
    X(LOST, CANCELED)

const char *status_name(enum status status);
bool status_parse(const char *word, enum status *ret);
bool status_is_terminal(enum status status);
bool status_can_step(enum status from, enum status to);

const char *reason_name(enum reason reason); /* NULL for REASON_NONE */
bool reason_parse(const char *word, enum reason *ret);
enum status reason_status(enum reason reason);     /* the status that this reason explains */
bool reason_is_infrastructure(enum reason reason); /* retry.on "infrastructure" takes it */

#endif
