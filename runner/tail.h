/*
 * tail - the last words of a container, out of its spool, for a message about its end.
 */
#ifndef BERTH_RUNNER_TAIL_H
#define BERTH_RUNNER_TAIL_H

#include <stddef.h>

enum {
    TAIL_READ_BYTES = 256 * 1024, /* from the end of the spool; holds at least two of the longest records */
    TAIL_JOINT_BYTES = 3,         /* " | " between two lines */
};

/* The last whole lines of both its streams, at most `lines` of them and `max` bytes with the NUL, joined by "
 * | ": valid UTF-8 without control characters. A line that is too long keeps its end. "" when there is
 * nothing. Pure but for the reading. */
void tail_read(int spool_fd, size_t lines, char *ret_text, size_t max);
/* Foreign text made fit for a message, in place: what is no valid UTF-8, and control characters, become '?'.
 */
void tail_clean(char *text);

#endif
