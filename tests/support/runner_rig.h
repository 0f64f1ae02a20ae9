/*
 * runner_rig - a parent for berth-runner: makes attempts in a state directory of its own, starts runners on
 * them, gives orders on their descriptor 3, kills them, and looks at what they left. For integration tests on
 * a real engine.
 */
#ifndef BERTH_TESTS_RUNNER_RIG_H
#define BERTH_TESTS_RUNNER_RIG_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "proto/attempt.h"
#include "proto/control.h"
#include "proto/journal.h"
#include "runner/docker/container.h"
#include "runner/docker/engine.h"

enum { RIG_WAIT_MS = 60 * 1000, RIG_PATH_MAX = 128, RIG_OUTPUT_MAX = 1024 * 1024 };

struct rig {
    char state[RIG_PATH_MAX];
    char cluster[ATTEMPT_ID_MAX];
    char name[ATTEMPT_NAME_MAX]; /* of the attempt made last */
    char container[80];
    char cgroup[160]; /* what the next runner is told to make the attempt's group below; "": nothing */
    int attempts_fd;
    struct engine *engine;
    struct ctx ctx;
    pid_t pid;         /* of the runner started last */
    const char *lease; /* NULL, or the setting: commands are begun with leave only */
    int fd;            /* its CHILD_FD's other end */
};

extern struct rig rig; /* of this test */

void rig_begin(void);
void rig_end(void); /* also checks that nothing is left on the engine */

const char *rig_image(void);
/* Makes an attempt from JSON; "IMAGE" in it becomes rig_image(), and network is none unless it says
 * something. */
void rig_attempt(const char *job_json);
/* Starts a runner as berthd would and sends it `config`. */
void rig_start(void);
void rig_start_probe(const char *docker_host, bool other_directory);
void rig_cancel(bool force);
/* The next message of the runner; it must be of this type. */
struct control rig_expect(enum control_type type);
int rig_wait(void); /* exit status, or 256 + signal */
void rig_kill(void);
void rig_hang_up(void); /* end of file on its descriptor 3 */

struct journal rig_journal(void);
void rig_await(enum journal_step step);
void rig_await_extended(int64_t run_ms); /* by so much in all */
void rig_await_output(const char *text);
/* Cuts the journal so that this step and all behind it never stood there. */
void rig_forget_from(enum journal_step step);
/* What the job wrote to this stream (enum spool_stream). *ret_starts: how often init has started the command.
 */
void rig_output(int stream, struct buf *out, int *ret_starts);
/* The same of another spool of the attempt: ATTEMPT_SYSTEM, "spool.<service>". Waiting looks at its standard
 * output and at words of Berth. */
void rig_output_of(const char *file, int stream, struct buf *out, int *ret_starts);
void rig_await_output_of(const char *file, const char *text);
/* Starts a runner and waits until it has done all; the verdict. */
struct verdict rig_finish(void);

/* Runs a shell command line; its output and exit status. RUNNER in it is the program. */
int rig_shell(const char *command, struct buf *out);

#endif
