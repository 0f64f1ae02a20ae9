/*
 * trouble - errors of PostgreSQL that say nothing about what was asked: the server cannot do it now, or has
 * not the schema of this version. Pure.
 *
 * Whoever asked may ask again later; a client of the API gets 503 and this module's words, which tell nothing
 * of the server's paths and names.
 */
#ifndef BERTH_DB_TROUBLE_H
#define BERTH_DB_TROUBLE_H

#include "base/err.h"

struct trouble {
    const char *sqlstate; /* PostgreSQL, appendix A: a code, or the two letters of a class */
    const char *state;    /* a word for /readyz */
    const char *text;     /* a sentence's part, for people */
    int retry_s;          /* when asking again makes sense */
    int lasts_ms; /* for so long after a refusal the database counts as in this state; 0: this once only */
};

/* NULL: it is not one of these. */
const struct trouble *trouble_find(const struct err *err);

#endif
