/*
 * files - what lies in the state directory and is of no use any more: attempts' directories that never got
 * their name or were only half removed, locks of pulls, copies of berth-init, the start-up probe's files.
 *
 * Named directories are not judged here: the parent starts a runner on each, and the scribe removes one whose
 * attempt the database does not know, or knows to have ended, as soon as nobody works on it. Attempts without
 * a directory the parent makes anew. What is called otherwise than any of ours is left alone.
 */
#ifndef BERTH_REAPER_FILES_H
#define BERTH_REAPER_FILES_H

#include "orchestrator/reaper/sides.h"
#include "orchestrator/reaper/sweep.h"

enum { FILES_MAX = 16384 }; /* of one directory in one sweep; others wait for the next */

/* What was there before the engine was asked. */
struct files {
    struct plan found; /* every file that has the age and the form */
};

int files_look(const struct sweep *sweep, struct files *ret, struct err *err);
/* Adds what is of no use, containers being these. */
void files_plan(const struct sweep *sweep, const struct files *files, const struct sides *seen,
                struct plan *plan);
int files_remove(const struct sweep *sweep, const struct ctx *ctx, const struct orphan *orphan,
                 struct err *err);
void files_done(struct files *files);
#define AUTO_FILES CLEANUP(files_done)

#endif
