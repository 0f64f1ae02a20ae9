/*
 * launch - what berth-init has to start, in a form that needs no parser of JSON inside the container.
 *
 * A file of NUL-terminated strings: the word LAUNCH_VERSION, then entries of a one-letter key and a value:
 *   "a<argument>"     one per element of argv, in order; at least one
 *   "e<NAME=value>"   put into the environment; replaces what the image or the engine had set
 *   "i"               standard input is LAUNCH_INPUT_PATH (else it is empty: /dev/null)
 *   "t<port>"         a service: it is ready when this port of the container's own address takes a connection
 *   "h<port><path>"   when GET answers 2xx or 3xx there: "h8080/health"
 *   "c<argument>"     when this command (one per element of argv) ends with 0; it is started again and again
 *   "l<expression>"   when a line of the output matches this POSIX extended regular expression
 *                     (one of t, h, c, l at most; with none the service is ready when it has been executed)
 *   "b<dev>:<inode>:<target>"   the file at target must be this one, in decimal, or nothing is executed: what
 * a bind was checked to be is what the job gets, whoever moves names meanwhile and at last "." so that a torn
 * file is seen. Everything else about the process (user, directory, the image's own environment) is given to
 * the engine and inherited by init.
 *
 * In the container, below LAUNCH_DIR: init (the program), launch, input, spool; for a service ready, too.
 * Libc only.
 */
#ifndef BERTH_PROTO_LAUNCH_H
#define BERTH_PROTO_LAUNCH_H

#include <stddef.h>

#define LAUNCH_VERSION "berth-launch-1"
#define LAUNCH_DIR "/.berth"
#define LAUNCH_INIT_PATH LAUNCH_DIR "/init"
#define LAUNCH_FILE_PATH LAUNCH_DIR "/launch"
#define LAUNCH_INPUT_PATH LAUNCH_DIR "/input"
#define LAUNCH_SPOOL_PATH LAUNCH_DIR "/spool"
#define LAUNCH_READY_PATH LAUNCH_DIR "/ready"
#define LAUNCH_PROBE_PATH                                                                                    \
    LAUNCH_DIR "/probe" /* `init --probe` copies this file to standard output's place                        \
                         */

enum { LAUNCH_BYTES_MAX = 4 * 1024 * 1024, LAUNCH_ENTRIES_MAX = 65536 };

/* On this signal (SIGRTMAX - 1) init kills all processes of the container but itself: unlike a SIGKILL of the
 * container, the last words are then written down and the end is told. Whoever sends it follows with SIGKILL
 * where that does not help. */
enum { LAUNCH_KILL_SIGNAL = 63 };

/* Exit status of berth-init itself when it could not do its work (no launch file, no spool): the job never
 * ran. Else it exits as the command did: its status, or 128 + signal. */
enum { LAUNCH_EXIT_BROKEN = 70 };
/* A "b" entry does not hold: the command was not executed. */
enum { LAUNCH_EXIT_BIND_CHANGED = 71 };
/* Whether it holds cannot be seen: the container's user may not enter a directory above the target. */
enum { LAUNCH_EXIT_BIND_HIDDEN = 72 };

/* The `ready` file: LAUNCH_READY_BYTES at its beginning, written with one pwrite(2), a line filled up with
 * blanks: "ready", or the reason why not yet ("connect to 10.213.0.2 port 5432: Connection refused"). Empty:
 * init has not got so far. init writes only what is new, so that who watches is not woken in vain. */
#define LAUNCH_READY_WORD "ready"
enum { LAUNCH_READY_BYTES = 256 };
/* Between two tries of t, h and c: the first pause, doubled up to the last. */
enum { LAUNCH_READY_PAUSE_MIN_MS = 5, LAUNCH_READY_PAUSE_MAX_MS = 250, LAUNCH_READY_TRY_MAX_MS = 5000 };

#endif
