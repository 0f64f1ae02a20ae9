/*
 * body - the JSON that came with a request, and what is wrong with it.
 */
#ifndef BERTH_GATEWAY_BODY_H
#define BERTH_GATEWAY_BODY_H

#include "orchestrator/gateway/http.h"

/* Any JSON value, owned by the caller. NULL: answered already, with 400 where it is no JSON and with 422
 * where it has a number that no program of ours can hold. */
json_t *body_read(struct request *request);

/* Answers 422 with one fault. */
void body_fault(struct request *request, const char *pointer, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
