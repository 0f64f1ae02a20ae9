/*
 * place - what lies where in the state directory, for all processes that look into it.
 */
#ifndef BERTH_PROTO_PLACE_H
#define BERTH_PROTO_PLACE_H

#include "proto/attempt.h"

#define PLACE_ATTEMPTS ATTEMPT_DIR /* proto/attempt.h */
#define PLACE_BIN "bin"            /* berth-init-<first 12 hex digits of its SHA-256> */
#define PLACE_LOCKS "locks"        /* files that runners take turns on; one without a holder is of no use */
#define PLACE_PROBE "probe"        /* files of the start-up probe while it runs */
#define PLACE_IMAGES "images"      /* proto/pulled.h */

#define PLACE_REMOVED ".removed-"       /* before the name of an attempt's directory that is being removed */
#define PLACE_INIT_PREFIX "berth-init-" /* in bin/ */
#define PLACE_PULL_LOCK "pull-"         /* in locks/, before the hash of a reference, 16 hex digits */
#define PLACE_INIT_NOTE "init"          /* file: name of the copy below bin/ that containers are made with */

#endif
