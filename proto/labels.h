/*
 * labels - what marks our things on a Docker engine, and what they are called. contract.md, section 5.
 */
#ifndef BERTH_PROTO_LABELS_H
#define BERTH_PROTO_LABELS_H

#include <stdint.h>

#define LABEL_MANAGED "io.berth.managed" /* "true" */
#define LABEL_CLUSTER "io.berth.cluster"
#define LABEL_INSTANCE "io.berth.instance"
#define LABEL_JOB "io.berth.job"
#define LABEL_ATTEMPT "io.berth.attempt"
#define LABEL_TOKEN "io.berth.token"
#define LABEL_ROLE "io.berth.role"       /* main, service, netns, warm, probe, network, private, volume */
#define LABEL_SERVICE "io.berth.service" /* the name of a service; on those only */

#define ROLE_MAIN "main"
#define ROLE_SERVICE "service"
#define ROLE_VOLUME "volume" /* a named volume of a tenant: it lasts */
#define ROLE_PROBE "probe"
#define ROLE_NETWORK "network" /* not of one job: the reaper leaves it as long as its instance lives */
#define ROLE_PRIVATE "private" /* a network of one attempt: goes with it */

#define PROBE_IMAGE "berth-probe" /* made locally from berth-init; tag = our version */

enum { LABELS_NAME_MAX = 80 };

/* "berth-<job id>-<attempt>-<role>" */
const char *labels_container_name(const char *job, int attempt, const char *role, char out[LABELS_NAME_MAX]);
/* The bridge for all jobs of network class egress: "berth-egress-<first 8 of cluster>" */
const char *labels_egress_network(const char *cluster, char out[LABELS_NAME_MAX]);
/* The network of one attempt of class private: "berth-<job id>-<attempt>" */
const char *labels_private_network(const char *job, int attempt, char out[LABELS_NAME_MAX]);

#endif
