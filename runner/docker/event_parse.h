/*
 * event_parse - one line of GET /events. Pure. Private to this folder.
 */
#ifndef BERTH_RUNNER_DOCKER_EVENT_PARSE_H
#define BERTH_RUNNER_DOCKER_EVENT_PARSE_H

#include "runner/docker/events.h"

/* ERR_INVALID when it is not JSON or has no Type or Action. */
int event_parse(const char *line, size_t len, struct event *ret_event, struct err *err);

#endif
