#include "proto/spec_private.h"

int64_t spec_memory_bytes(const struct spec *spec) {
    int64_t sum = spec->limits.memory_bytes;
    for (size_t i = 0; i < spec->services_count; i++)
        sum += spec->services[i].limits.memory_bytes;
    return sum;
}

int64_t spec_cpus_milli(const struct spec *spec) {
    int64_t sum = spec->limits.cpus_milli;
    for (size_t i = 0; i < spec->services_count && sum; i++)
        sum = spec->services[i].limits.cpus_milli ? sum + spec->services[i].limits.cpus_milli : 0;
    return sum;
}
