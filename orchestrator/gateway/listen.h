/*
 * listen - whether one can listen on an address.
 */
#ifndef BERTH_GATEWAY_LISTEN_H
#define BERTH_GATEWAY_LISTEN_H

#include "base/address.h"

/* libwebsockets itself would not say why it cannot. ERR_USAGE, with errno as code, when the address cannot be
 * had, the text naming it (`text`, as it was written) and the remedy; ERR_SYS. */
int listen_probe(const char *text, const struct address *address, struct err *err);

#endif
