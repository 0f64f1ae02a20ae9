#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "proto/attempt.h"
#include "runner/limits/limits_parts.h"

enum { UUID_TEXT = 36, UUID_DIGITS = 32 };

static bool safe(char c, bool slice) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || (c == '-' && !slice);
}

const char *limits_safe_name(const char *instance, bool slice, char out[LIMITS_INSTANCE_MAX]) {
    enum { HASH_TEXT = 9, WHOLE_MAX = LIMITS_INSTANCE_MAX - 1, CUT_MAX = WHOLE_MAX - HASH_TEXT };
    size_t len = strlen(instance);
    bool changed = len > WHOLE_MAX;
    for (size_t i = 0; i < len; i++) {
        changed |= !safe(instance[i], slice);
        if (i < WHOLE_MAX)
            out[i] = safe(instance[i], slice) ? instance[i] : '_';
    }
    out[len < WHOLE_MAX ? len : WHOLE_MAX] = '\0';
    if (changed)
        snprintf(out + (len < CUT_MAX ? len : CUT_MAX), HASH_TEXT + 1, "_%08x", hash_bytes32(instance, len));
    return out;
}

bool limits_is_slice(const char *group) {
    size_t len = strlen(group), end = strlen(LIMITS_SLICE_END);
    return len > end && group[0] != '/' && strcmp(group + len - end, LIMITS_SLICE_END) == 0;
}

int limits_attempt_to_part(const char *attempt, char *out, size_t size) {
    char job[ATTEMPT_ID_MAX], digits[UUID_DIGITS + 1];
    int number;
    size_t n = 0;
    if (attempt_parse_dir_name(attempt, job, &number) < 0)
        return -1;
    for (const char *p = job; *p && n < UUID_DIGITS; p++)
        if (*p != '-')
            digits[n++] = *p;
    digits[n] = '\0';
    int len = snprintf(out, size, "%s.%d", digits, number);
    return len > 0 && (size_t)len < size ? 0 : -1;
}

int limits_part_to_attempt(const char *part, char *out, size_t size) {
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    char name[ATTEMPT_NAME_MAX], job[ATTEMPT_ID_MAX];
    int number;
    size_t at = 0;
    if (strlen(part) <= UUID_DIGITS || strlen(part) >= sizeof name - UUID_TEXT + UUID_DIGITS)
        return -1;
    for (size_t i = 0; form[i]; i++)
        name[i] = form[i] == '-' ? '-' : part[at++];
    snprintf(name + UUID_TEXT, sizeof name - UUID_TEXT, "%s", part + UUID_DIGITS);
    if (attempt_parse_dir_name(name, job, &number) < 0)
        return -1;
    int len = snprintf(out, size, "%s", name);
    return len > 0 && (size_t)len < size ? 0 : -1;
}

int limits_slice_path(const char *slice, char *out, size_t size) {
    size_t len = strlen(slice), end = strlen(LIMITS_SLICE_END), used = 0;
    for (size_t i = 1; i + end <= len; i++) {
        if (slice[i] != '-' && i + end != len)
            continue;
        int n = snprintf(out + used, size - used, "%s%.*s" LIMITS_SLICE_END, used ? "/" : "", (int)i, slice);
        if (n < 0 || (size_t)n >= size - used)
            return -1;
        used += (size_t)n;
    }
    return used ? 0 : -1;
}
