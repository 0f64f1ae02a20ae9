/*
 * torture_rig - drives tests/support/torture: one run of a program that counts its sites, then one for each
 * point (a site and a way to fail there). The program is started by the test, with the environment of the
 * test.
 *
 * How many points there are is told by BERTH_TORTURE_POINTS (a number, "all"; else `most` of torture_load),
 * which ones by BERTH_TORTURE_SEED; BERTH_TORTURE_ONLY has one as SITE:HOW, or those of one CALL. Half of a
 * sample are failures of memory, of which there are more than of all others.
 */
#ifndef BERTH_TESTS_TORTURE_RIG_H
#define BERTH_TESTS_TORTURE_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

enum { TORTURE_REPORT_MAX = 64 * 1024, TORTURE_EXIT_SANITIZER = 86 };

struct torture_point {
    char site[20], call[40], how[16];
    char *frames;
    unsigned line;       /* what was run when it was met, a number of the test's own */
    uint64_t rank, turn; /* by the seed: of the point, and of the line among those that meet it */
};

struct torture_points {
    struct torture_point *items;
    size_t count, met; /* met: before a sample was taken */
};

/* only: as TORTURE_ONLY; dir: of this test, made by it. */
void torture_begin(const char *dir, const char *only);
void torture_end(void);

/* The next processes that are meant count their sites. */
void torture_count(void);
/* The first of the next processes that comes to this point fails there. */
void torture_aim(const struct torture_point *point);
/* The next processes run as ever. */
void torture_rest(void);
bool torture_fired(void);

/* Adds what was counted in this line, of one of `shares` parts of all points. A point that several lines meet
 * is kept once, with one of them. Returns how many this line meets. */
size_t torture_load(struct torture_points *points, unsigned line, unsigned share, unsigned shares);
/* Keeps `most` of them unless the environment says otherwise. */
void torture_choose(struct torture_points *points, unsigned share, unsigned shares, size_t most);
void torture_points_done(struct torture_points *points);

/* Adds what sanitizers have written since the last time. */
void torture_take_reports(struct buf *out);

/* Waits for the end of a child, but not longer than this (ms). Its exit status, 256 + signal, or -1: it was
 * killed because it did not end. */
int torture_wait(pid_t pid, int64_t ms);

/* One line for people: the point, its frames, and what went wrong. */
void torture_tell(const struct torture_point *point, const char *wrong);

#endif
