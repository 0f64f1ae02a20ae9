/*
 * stream - the streams of a log: which there are, their numbers in stored segments, their names on every
 * channel.
 *
 * "stdout", "stderr" of the main container; "system": what Berth itself has to say (pulls, services,
 * warnings); "service:<name>": both of a service's outputs. A number is what berth.log_chunks has in its
 * segments; that of a service is its place in the spec, whose names stand in berth.attempts.services.
 */
#ifndef BERTH_PROTO_STREAM_H
#define BERTH_PROTO_STREAM_H

#include <stddef.h>

enum stream {
    STREAM_NONE = 0,
    STREAM_STDOUT = 1, /* as enum spool_stream */
    STREAM_STDERR = 2,
    STREAM_SYSTEM = 3,
    STREAM_SERVICE = 16, /* the first service; the next one 17, … */
};

#define STREAM_SERVICE_PREFIX "service:"
enum { STREAM_NAME_MAX = 40 };

/* The name of a stream's number; `services` are the names in the order of the spec. A number that nobody has
 * ("service:?") can only come from a row that was tampered with. */
const char *stream_name(int stream, const char *const *services, size_t count, char out[STREAM_NAME_MAX]);
/* The number of a name; STREAM_NONE: there is no such stream in this job. */
int stream_find(const char *name, const char *const *services, size_t count);

#endif
