#include "proto/labels.h"

#include <stdio.h>

const char *labels_container_name(const char *job, int attempt, const char *role, char out[LABELS_NAME_MAX]) {
    snprintf(out, LABELS_NAME_MAX, "berth-%.36s-%d-%.24s", job, attempt, role);
    return out;
}

const char *labels_egress_network(const char *cluster, char out[LABELS_NAME_MAX]) {
    snprintf(out, LABELS_NAME_MAX, "berth-egress-%.8s", cluster);
    return out;
}

const char *labels_private_network(const char *job, int attempt, char out[LABELS_NAME_MAX]) {
    snprintf(out, LABELS_NAME_MAX, "berth-%.36s-%d", job, attempt);
    return out;
}
