#include "proto/fault_points.h"

#ifdef BERTH_FAULTS

const struct fault_point fault_points[FAULT_COUNT] = {
#define X(symbol, name_, sentence_) [FAULT_##symbol] = {.name = (name_), .sentence = (sentence_)},
    FAULT_TABLE(X)
#undef X
};

int fault_points_arm(const char *wanted, struct err *err) {
    return fault_arm(wanted, fault_points, FAULT_COUNT, err);
}

#else

int fault_points_arm(const char *wanted, struct err *err) {
    return wanted ? err_set(err, ERR_USAGE, 0, "this build has no fault points") : 0;
}

#endif
