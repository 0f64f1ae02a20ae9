/*
 * fault_points - all points at which a test can kill a process of Berth (base/fault.h), each with what is
 * true there. `berthd version --fault-points` prints them, and the tests go through all that it prints.
 *
 * A word's first part is the process that passes the point; file and tree: whichever writes or removes.
 */
#ifndef BERTH_PROTO_FAULT_POINTS_H
#define BERTH_PROTO_FAULT_POINTS_H

#include "base/fault.h"

#define FAULT_VARIABLE "BERTH_FAULT"

/* clang-format off */
#define FAULT_TABLE(X) \
    X(PARENT_REGISTERING, "parent.registering", "the database is there, the name is not registered in it") \
    X(PARENT_REGISTERED, "parent.registered", "the name is registered, no child runs") \
    X(PARENT_CHILDREN, "parent.children", "scribe and gateway run, no attempt is taken up") \
    X(PARENT_ADOPTING, "parent.adopting", "an attempt's directory was met, its runner is not started") \
    X(PARENT_ADOPTED, "parent.adopted", "the runner of an attempt that was met is started") \
    X(PARENT_PROVED, "parent.proved", "the engine is proved, nothing is claimed and no reaper runs") \
    X(PARENT_CLAIM_SENT, "parent.claim-sent", "a claim is on its way, its answer is not read") \
    X(PARENT_CLAIMED, "parent.claimed", "rows are claimed, there is no directory") \
    X(PARENT_DESCRIBED, "parent.described", "a row from SQL is filled in, there is no directory") \
    X(PARENT_REFUSING, "parent.refusing", "a claimed row is about to be refused or released") \
    X(PARENT_REFUSED, "parent.refused", "a claimed row was refused or released in the database") \
    X(PARENT_FETCHED, "parent.fetched", "an attempt of ours without a directory was read again, it is not made") \
    X(PARENT_DIRECTORY_UNNAMED, "parent.directory-unnamed", "an attempt's directory is written and has no name") \
    X(PARENT_DIRECTORY_MADE, "parent.directory-made", "an attempt's directory is there, no runner") \
    X(PARENT_RUNNER_SPAWNED, "parent.runner-spawned", "a runner runs and has no settings") \
    X(PARENT_RUNNER_TOLD, "parent.runner-told", "a runner has its settings and has not said READY") \
    X(PARENT_RUNNER_READY, "parent.runner-ready", "a runner said READY, which is not noted") \
    X(PARENT_RUNNER_ENDED, "parent.runner-ended", "a runner has done its work and is not forgotten") \
    X(PARENT_RUNNER_DIED, "parent.runner-died", "a runner was killed, its restart is not planned") \
    X(PARENT_RUNNER_AGAIN, "parent.runner-again", "a runner's restart is due") \
    X(PARENT_BEATING, "parent.beating", "a heartbeat is due") \
    X(PARENT_BEATEN, "parent.beaten", "a heartbeat was answered") \
    X(PARENT_ORDERED, "parent.ordered", "an order to a runner was read, it is not given") \
    X(PARENT_ORDER_GIVEN, "parent.order-given", "an order to a runner was given") \
    X(PARENT_OWNED, "parent.owned", "what is ours was read, nothing is done about it") \
    X(PARENT_DRAINING, "parent.draining", "TERM came, nothing is claimed any more") \
    X(PARENT_CANCELING, "parent.canceling", "QUIT came, the runners are told to cancel") \
    X(PARENT_LEAVING, "parent.leaving", "it is decided to leave, which is not recorded") \
    X(PARENT_LEFT, "parent.left", "the clean exit is recorded") \
    X(PARENT_ENDING, "parent.ending", "the loop has ended, what is left of children is not killed") \
    X(RUNNER_TOLD, "runner.told", "it has its settings, the attempt is not locked") \
    X(RUNNER_OPENED, "runner.opened", "the attempt is locked and read, READY is not said") \
    X(RUNNER_PULLING, "runner.pulling", "it has its turn, an image is about to be pulled") \
    X(RUNNER_IMAGE_PULLED, "runner.image-pulled", "the engine has pulled an image, nobody was told") \
    X(RUNNER_BEFORE_PULLED, "runner.before-pulled", "all images are there") \
    X(RUNNER_AFTER_PULLED, "runner.after-pulled", "… and that is noted") \
    X(RUNNER_GROUP_MADE, "runner.group-made", "the control group is there") \
    X(RUNNER_NETWORK_MADE, "runner.network-made", "the network is there") \
    X(RUNNER_FILES_HALF, "runner.files-half", "the launch file is written, there is no spool") \
    X(RUNNER_FILES_MADE, "runner.files-made", "all files are there, no container") \
    X(RUNNER_SERVICE_CREATED, "runner.service-created", "a service's container is made") \
    X(RUNNER_SERVICE_STARTED, "runner.service-started", "a service's container is started") \
    X(RUNNER_BEFORE_CREATED, "runner.before-created", "the main container is made") \
    X(RUNNER_AFTER_CREATED, "runner.after-created", "… and that is noted") \
    X(RUNNER_SERVICES_READY, "runner.services-ready", "the services are ready, the main container is not started") \
    X(RUNNER_BEFORE_STARTED, "runner.before-started", "the main container is started") \
    X(RUNNER_AFTER_STARTED, "runner.after-started", "… and that is noted") \
    X(RUNNER_WATCHING, "runner.watching", "the end is about to be waited for") \
    X(RUNNER_BEFORE_EXTENDED, "runner.before-extended", "a later deadline was asked for") \
    X(RUNNER_AFTER_EXTENDED, "runner.after-extended", "… and that is noted") \
    X(RUNNER_BEFORE_STOPPING, "runner.before-stopping", "the job is to be stopped") \
    X(RUNNER_AFTER_STOPPING, "runner.after-stopping", "… and that is noted, no signal is sent") \
    X(RUNNER_STOP_SENT, "runner.stop-sent", "the stop signal was sent, its grace runs") \
    X(RUNNER_KILLING, "runner.killing", "the grace is over, nothing is killed") \
    X(RUNNER_KILLED, "runner.killed", "init was told to kill, the end is not seen") \
    X(RUNNER_END_SEEN, "runner.end-seen", "the main container has ended, services run") \
    X(RUNNER_BEFORE_EXITED, "runner.before-exited", "nothing of the attempt runs") \
    X(RUNNER_AFTER_EXITED, "runner.after-exited", "… and that is noted") \
    X(RUNNER_BEFORE_VERDICT, "runner.before-verdict", "the verdict is known") \
    X(RUNNER_AFTER_VERDICT, "runner.after-verdict", "… and noted, nothing is cleaned up") \
    X(RUNNER_REMOVING, "runner.removing", "a container is about to be removed") \
    X(RUNNER_MAIN_REMOVED, "runner.main-removed", "the main container is removed, services are there") \
    X(RUNNER_PARTS_REMOVED, "runner.parts-removed", "all containers are removed, the network is there") \
    X(RUNNER_ENGINE_CLEAN, "runner.engine-clean", "nothing is left on the engine, the control group is there") \
    X(RUNNER_BEFORE_CLEANED, "runner.before-cleaned", "nothing is left") \
    X(RUNNER_AFTER_CLEANED, "runner.after-cleaned", "… and that is noted, the runner has not ended") \
    X(SCRIBE_STARTED, "scribe.started", "it is ready and has looked at nothing") \
    X(SCRIBE_LOADED, "scribe.loaded", "it knows how far the database is") \
    X(SCRIBE_GATHERED, "scribe.gathered", "a batch is filled") \
    X(SCRIBE_BYTES, "scribe.bytes", "log bytes are in the transaction, no state is") \
    X(SCRIBE_ENDING, "scribe.ending", "an end is about to be put into the transaction") \
    X(SCRIBE_COMMITTING, "scribe.committing", "all is in the transaction") \
    X(SCRIBE_COMMITTED, "scribe.committed", "it is committed, which nobody knows") \
    X(SCRIBE_PUNCHED, "scribe.punched", "a part of a spool was given back to the disk") \
    X(SCRIBE_SHIPPED, "scribe.shipped", "a batch is stored, the hint is not sent") \
    X(SCRIBE_HINTED, "scribe.hinted", "the hint is sent, directories of ended attempts are there") \
    X(SCRIBE_REMOVING, "scribe.removing", "a directory is about to lose its name") \
    X(SCRIBE_UNNAMED, "scribe.unnamed", "a directory has lost its name, all of it is there") \
    X(SCRIBE_REMOVED, "scribe.removed", "a directory is gone, which is not noted") \
    X(REAPER_STARTED, "reaper.started", "it has looked at nothing") \
    X(REAPER_LISTED, "reaper.listed", "what is on the engine is listed, the database is not asked") \
    X(REAPER_REMOVING, "reaper.removing", "an orphan is about to be removed") \
    X(REAPER_REMOVED, "reaper.removed", "an orphan is removed, others are not") \
    X(REAPER_SWEPT, "reaper.swept", "a sweep is done") \
    X(FILE_HALF, "file.half", "a file is written under another name and has not got its own") \
    X(TREE_HALF, "tree.half", "a tree is half removed")
/* clang-format on */

enum fault {
#define X(symbol, name, sentence) FAULT_##symbol,
    FAULT_TABLE(X)
#undef X
        FAULT_COUNT
};
extern const struct fault_point fault_points[FAULT_COUNT]; /* only with BERTH_FAULTS */

/* As fault_arm(), with this table. Where no points are compiled in, to want any is ERR_USAGE. */
int fault_points_arm(const char *wanted, struct err *err);

#define FAULT(symbol) FAULT_PASS(fault_points[FAULT_##symbol].name)
/* Where the point is known only when it is passed, and where it is one only on a condition. */
#define FAULT_AT(fault) FAULT_PASS(fault_points[fault].name)
#define FAULT_IF(condition, symbol) ((condition) ? FAULT(symbol) : (void)0)

#endif
