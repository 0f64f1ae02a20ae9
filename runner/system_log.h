/*
 * system_log - what Berth itself has to say in a job's log: stream "system" (proto/stream.h), a spool of its
 * own in the attempt's directory (ATTEMPT_SYSTEM). Losing a line is no reason to fail a job: nothing here
 * fails.
 */
#ifndef BERTH_RUNNER_SYSTEM_LOG_H
#define BERTH_RUNNER_SYSTEM_LOG_H

enum {
    SYSTEM_LOG_LINE_MAX = 1024,
    SYSTEM_LOG_BYTES_MAX = 1024 * 1024 /* of one attempt; more is dropped, with a last
                                           line that says so */
};

/* One line, without its newline. Control characters of foreign words (a registry's, say) become '?'. */
void system_log(int dir_fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
