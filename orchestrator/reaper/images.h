/*
 * images - the least recently used of the images that Berth has pulled go when they take too much room.
 *
 * Only those with a note (proto/pulled.h), and none that bears a name which Berth has not pulled it by: that
 * one somebody else has given it. Never one that an unfinished job names, that any container on the engine
 * was made of, or that a runner holds; what a job has begun to use since it was looked at stays too.
 */
#ifndef BERTH_REAPER_IMAGES_H
#define BERTH_REAPER_IMAGES_H

#include "orchestrator/reaper/plan.h"
#include "orchestrator/reaper/sweep.h"

/* Adds what is to go; nothing without a high mark. -1: a side did not answer whole. */
int images_plan(const struct sweep *sweep, const struct ctx *ctx, struct plan *plan, struct err *err);
int images_remove(const struct sweep *sweep, const struct ctx *ctx, const struct orphan *orphan,
                  struct err *err);

#endif
