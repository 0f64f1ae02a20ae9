/*
 * problem - errors as application/problem+json (RFC 9457). Pure.
 */
#ifndef BERTH_GATEWAY_PROBLEM_H
#define BERTH_GATEWAY_PROBLEM_H

#include <jansson.h>

#include "proto/spec.h"

#define PROBLEM_CONTENT_TYPE "application/problem+json"

/* The words for a status, as RFC 9110 has them. */
const char *problem_title(int status);
/* instance: the request's id; faults: NULL, or what is wrong with the body. Owned by the caller. */
json_t *problem_make(int status, const char *detail, const char *instance, const struct spec_faults *faults);

#endif
