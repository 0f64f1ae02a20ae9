/*
 * supervisor - the parent: claims jobs, starts and buries children, keeps the lease.
 *
 * It parses no HTTP, speaks no Docker, carries no log byte. One event loop, no thread; after the start every
 * statement is asynchronous. The way of berthd's life is enum phase in supervisor_private.h.
 *
 * Files: state_dir (what lies there) · startup (resolve, connect, migrate, register) · care (a child's birth,
 * messages and death) on spawn, restart, obituary and children · probe · dispatch (when to ask the database
 * what) · admit (a claimed row becomes a directory and a runner) · adopt (what is there already) · orders (to
 * runners) · license (to begin a command) · judge (of orchestrators that are gone) · lease ·
 * leave (drain, cancel all, end).
 */
#ifndef BERTH_SUPERVISOR_H
#define BERTH_SUPERVISOR_H

#include "orchestrator/settings.h"

enum {
    SUPERVISOR_EXIT_DONE = 0,
    SUPERVISOR_EXIT_USAGE = 64,
    SUPERVISOR_EXIT_AWAY = 69,
    SUPERVISOR_EXIT_BUG = 70,
    SUPERVISOR_EXIT_AGAIN = 75,
};

/* `berthd run`. argv: the words behind the sub-command, kept for HUP. Takes *settings over and frees them.
 * Returns the exit status; every error has been logged. */
int supervisor_run(struct settings *settings, char *const *argv);

/* `berthd migrate`. */
int supervisor_migrate(const struct settings *settings);

#endif
