/*
 * mem - small allocations that do not fail.
 *
 * For sizes that are already bounded. When memory has truly run out the process writes one line and exits
 * with EX_BUG (70): its supervisor starts it anew, and everything it had to keep is on disk or in Postgres.
 * Sizes that come from outside are checked against a named bound before they get here.
 *
 * Libraries that we give a bounded amount of work (jansson, libcurl) are told to ask here, too: one of them
 * that has no memory says "wrong" in so many ways that a line of a journal would be passed over, or a job
 * refused.
 */
#ifndef BERTH_BASE_MEM_H
#define BERTH_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t bytes); /* zeroed */
void *mem_calloc(size_t count, size_t bytes);
void *mem_realloc(void *p, size_t bytes);
char *mem_strdup(const char *s); /* NULL gives NULL */
char *mem_strndup(const char *s, size_t n);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
