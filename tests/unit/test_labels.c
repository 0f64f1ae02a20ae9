#include <criterion/criterion.h>
#include <string.h>

#include "proto/attempt.h"
#include "proto/labels.h"

static const char job[] = "019a0f3e-7b1c-7d2e-8f30-0123456789ab";

Test(labels, container_names_follow_from_job_and_attempt) {
    char name[LABELS_NAME_MAX];
    cr_expect_str_eq(labels_container_name(job, 2, ROLE_MAIN, name),
                     "berth-019a0f3e-7b1c-7d2e-8f30-0123456789ab-2-main");
}

Test(labels, the_longest_container_name_is_whole) {
    char name[LABELS_NAME_MAX];
    labels_container_name(job, ATTEMPT_NUMBER_MAX, "network", name);
    cr_expect_str_eq(strrchr(name, '-'), "-network");
}

Test(labels, one_egress_network_a_cluster) {
    char name[LABELS_NAME_MAX];
    cr_expect_str_eq(labels_egress_network("7c9e6679-7425-40de-944b-e07fc1f90ae7", name),
                     "berth-egress-7c9e6679");
}
