/*
 * retry - whether another attempt follows one that has ended, and when. Pure. contract.md, "retry".
 */
#ifndef BERTH_PROTO_RETRY_H
#define BERTH_PROTO_RETRY_H

#include <stdint.h>

#include "proto/journal.h"
#include "proto/spec.h"

/* Milliseconds until the next attempt, or -1: there is none. number: of the attempt that has ended, from 1,
 * without those before it that never started (berth.attempts.freed). random: any 32 bits; up to a tenth of
 * the delay is added by it, so that jobs that failed together do not come back together, and never one early.
 * A canceled or succeeded one is never repeated. */
int64_t retry_delay_ms(const struct spec *spec, const struct verdict *verdict, int number, uint32_t random);

#endif
