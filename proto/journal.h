/*
 * journal - what a runner has done for its attempt, one JSON line a step, so that the next runner can go on
 * from it and the scribe can tell the database.
 *
 * {"step":"pulled","time_us":1763773323456789,"boot_ns":…,"boot_id":"…", …fields of the step}
 * A last line without its newline is torn and ignored; unknown steps and fields are kept out of harm's way.
 * Written with one write(2) and fdatasync each.
 *
 * step       fields                                          what it means
 * pulled     digest                                          image is there
 * created    container                                       container exists, not started
 * started    container                                       the engine confirmed it; the run deadline begins
 *            since_us, since_boot_ns (told late only)        when it was started; counts instead of the
 *                                                            line's own time
 * extended   run_ms                                          by so much the run deadline was moved, in all
 * stopping   cause ("run_deadline", "requested", "shutdown")  a stop signal is about to be sent
 *            text (service_failed only)                      which service, how it ended, its last lines
 * exited                                                     no process of the attempt runs any more
 *            since_us (where init or the engine knows it)    when the command ended; counts instead
 * verdict    status, reason, message, exit_code, signal, usage {…}
 * cleaned    left (absent: nothing)                          nothing of the attempt is left on the engine,
 * or, in words, what is: it does not run, and the reaper goes on with it
 */
#ifndef BERTH_PROTO_JOURNAL_H
#define BERTH_PROTO_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "proto/status.h"

#define JOURNAL_STEP_TABLE(X)                                                                                \
    X(PULLED, "pulled")                                                                                      \
    X(CREATED, "created")                                                                                    \
    X(STARTED, "started")                                                                                    \
    X(EXTENDED, "extended")                                                                                  \
    X(STOPPING, "stopping")                                                                                  \
    X(EXITED, "exited")                                                                                      \
    X(VERDICT, "verdict")                                                                                    \
    X(CLEANED, "cleaned")

enum journal_step {
#define X(symbol, word) JOURNAL_##symbol,
    JOURNAL_STEP_TABLE(X)
#undef X
        JOURNAL_STEP_COUNT
};

enum {
    JOURNAL_LINE_MAX = 8192,
    JOURNAL_BYTES_MAX = 1024 * 1024,
    JOURNAL_MESSAGE_MAX = 1024,
    JOURNAL_CONTAINER_MAX = 80,
    JOURNAL_DIGEST_MAX = 256,
};

struct usage {
    int64_t cpu_us, memory_peak_bytes, pids_peak, oom_kills, throttled_us; /* -1: unknown */
};

struct verdict {
    enum status status; /* terminal */
    enum reason reason; /* REASON_NONE for succeeded */
    char message[JOURNAL_MESSAGE_MAX];
    int exit_code; /* -1: none */
    int signal;    /* 0: none */
    struct usage usage;
};

/* All that a journal says, folded into one picture. */
struct journal {
    int64_t time_us[JOURNAL_STEP_COUNT]; /* first time of each step; 0: not yet */
    char digest[JOURNAL_DIGEST_MAX];
    char container[JOURNAL_CONTAINER_MAX];
    enum reason stopping; /* cause of the (first) stop; REASON_NONE: none */
    int64_t extended_ms;  /* of the last extended; 0: none */
    int64_t started_boot_ns;
    char started_boot_id[40];
    int64_t stopping_boot_ns; /* of the first stop, and the boot that this counts from; "": not told */
    char stopping_boot_id[40];
    char stopping_text[JOURNAL_MESSAGE_MAX]; /* with cause service_failed: which one, and how; else "" */
    struct verdict verdict;                  /* valid when time_us[JOURNAL_VERDICT] */
    size_t used;                             /* bytes of whole lines that were read */
};

static inline bool journal_has(const struct journal *j, enum journal_step step) {
    return j->time_us[step] != 0;
}

/* Folds text[0..len) (whole or partial file contents from offset j->used on) into *j, a struct that began
 * zeroed. Lines that cannot be understood are skipped; returns how many. */
int journal_fold(struct journal *j, const char *text, size_t len);
/* Reads and folds what is new in the journal file of dir_fd; an absent file is an empty journal. */
int journal_read(int dir_fd, struct journal *j, struct err *err);
/* Appends one step durably and folds it into *j. `fields`: the step's own, may be NULL; the reference is
 * taken. */
int journal_append(int dir_fd, struct journal *j, enum journal_step step, json_t *fields, struct err *err);
/* A text from elsewhere as a field: jansson takes valid UTF-8 only, so a byte that is none (of a character
 * that was cut, say) becomes '?', where json_pack() with "s" would make all fields vanish. NULL: NULL. */
json_t *journal_text(const char *text);
/* The fields of a VERDICT step. */
json_t *journal_verdict_fields(const struct verdict *verdict);
json_t *usage_to_json(const struct usage *usage); /* in the form of the contract; unknown: null */

#endif
