/*
 * follow - prints a spool's output as it grows, for a job that is run by hand.
 */
#ifndef BERTH_RUNNER_FOLLOW_H
#define BERTH_RUNNER_FOLLOW_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { FOLLOW_BUFFER_BYTES = 256 * 1024 };

struct follow {
    int spool_fd, notify_fd; /* notify_fd: readable when there may be more */
    int out_fd[4];           /* by enum spool_stream; -1: its reader is gone */
    size_t len;              /* bytes that wait in buffer */
    int64_t lost_bytes;      /* that were no records */
    unsigned char *buffer;
};

/* path: of the spool, which must exist. Output goes to descriptors 1 and 2, words of Berth to 2. */
int follow_open(const char *path, struct follow *ret_follow, struct err *err);
/* Prints what is there by now. */
void follow_step(struct follow *follow);
void follow_done(struct follow *follow);

#endif
