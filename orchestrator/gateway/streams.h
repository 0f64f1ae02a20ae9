/*
 * streams - the streams of one log: between their names (proto/stream.h) and the numbers in its segments.
 * Pure.
 *
 * `services` are the names of the attempt's services, separated by commas, as a head has them; names are not
 * looked at twice: they come from a checked spec, and what is too much is left out.
 */
#ifndef BERTH_GATEWAY_STREAMS_H
#define BERTH_GATEWAY_STREAMS_H

#include <stdbool.h>

#include "proto/spec.h"
#include "proto/stream.h"

enum { STREAMS_SERVICES_MAX = SPEC_SERVICES_MAX * (SPEC_SERVICE_NAME_MAX + 1) + 1 };

#define STREAMS_ALL ""
enum { STREAMS_NO_SUCH = -1 };

/* The number of a name; STREAM_NONE for STREAMS_ALL; STREAMS_NO_SUCH: no byte of this log is of that stream.
 */
int streams_find(const char *services, const char *name);
const char *streams_name(const char *services, int stream, char out[STREAM_NAME_MAX]);

/* Whether a name may be that of a stream: "stdout", "stderr", "system", or "service:" and a service's name.
 */
bool streams_name_ok(const char *name);
/* "stdout, stderr, system and service:db", for a message. */
enum { STREAMS_TEXT_MAX = STREAMS_SERVICES_MAX + SPEC_SERVICES_MAX * 16 + 64 };
const char *streams_list(const char *services, char out[STREAMS_TEXT_MAX]);

#endif
