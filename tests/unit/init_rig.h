/*
 * init_rig - runs the static berth-init itself, outside of a container, and reads its spool.
 *
 * One directory for each test process; every failure is an assertion's.
 */
#ifndef BERTH_TESTS_INIT_RIG_H
#define BERTH_TESTS_INIT_RIG_H

#include <stddef.h>
#include <sys/types.h>

#include "proto/spool.h"

enum { WAIT_MS = 30000 };

extern char dir[sizeof "/tmp/init_rig.XXXXXX"]; /* of init */
extern unsigned char *spool;
extern size_t spool_len;
extern struct spool_end end;
extern char *both, *out, *errs; /* output in order, and of each stream; NUL-terminated */
extern size_t both_len, out_len, errs_len;
extern const char *more_entry; /* one more entry of the launch file; "": none */
extern uid_t run_as;           /* another user for init; 0: this one */

/* A path in it; in a static buffer. */
const char *below(const char *name);
void prepare(const char *input, const char *const *argv);
pid_t start(void);
void spool_load(void);
/* Waits for init, reads the spool whole, returns init's exit status. */
int finish(pid_t pid);
int run(const char *input, const char *const *argv);
#define RUN(...) run(NULL, (const char *const[]){__VA_ARGS__, NULL})
#define SH(script) RUN("sh", "-c", script)
/* Until the job has written `text`. */
void await(const char *text);

#endif
