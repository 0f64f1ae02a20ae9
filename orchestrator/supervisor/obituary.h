/*
 * obituary - one line for every death: who, after how long, of what, and what happens next.
 */
#ifndef BERTH_SUPERVISOR_OBITUARY_H
#define BERTH_SUPERVISOR_OBITUARY_H

#include "orchestrator/supervisor/children.h"

enum { OBITUARY_CAUSE_MAX = 64 };

/* "exit 70", "signal 9 (Killed)". Returns out. */
const char *obituary_cause(const struct death *death, char out[OBITUARY_CAUSE_MAX]);
void obituary_write(const struct child *child, const struct death *death, enum restart_what what,
                    int64_t delay_ms);

#endif
