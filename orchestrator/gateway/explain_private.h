/* explain_private - how an explanation is put together; for the sources explain*.c only. */
#ifndef BERTH_GATEWAY_EXPLAIN_PRIVATE_H
#define BERTH_GATEWAY_EXPLAIN_PRIVATE_H

#include "base/buf.h"
#include "orchestrator/gateway/explain.h"

enum {
    EXPLAIN_TEXT_MAX = 4096, /* bytes of a sentence */
    EXPLAIN_WHEN_MAX = 96,
    EXPLAIN_HOSTS_TOLD = 8, /* orchestrators named in one sentence; more are counted */
};

struct explanation {
    const struct api_explain *e;
    json_t *spec;        /* an object, or NULL when it is none (yet) */
    json_t *waiting_for; /* array */
    struct buf next;
    bool all_drain;   /* every orchestrator that is there */
    int64_t position; /* API_NONE: it does not wait in the queue */
};

void explain_wait(struct explanation *x, const char *limit, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "2026-11-22T01:02:03.456789Z (in 5m)", to the second. Returns out. */
const char *explain_when(const struct explanation *x, int64_t us, char out[EXPLAIN_WHEN_MAX]);

/* explain_queue.c: what keeps a job that could be taken up from being taken up. Adds to waiting_for and next,
 * sets the position. */
void explain_queue(struct explanation *x);

#endif
