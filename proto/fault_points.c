#include "proto/fault_points.h"

const struct fault_point fault_points[FAULT_COUNT] = {
#define X(symbol, name_, sentence_) [FAULT_##symbol] = {.name = (name_), .sentence = (sentence_)},
    FAULT_TABLE(X)
#undef X
};
