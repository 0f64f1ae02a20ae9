#include "proto/status.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *word;
    bool terminal;
} statuses[STATUS_COUNT] = {
#define X(symbol, word_, terminal_) [STATUS_##symbol] = {word_, terminal_},
    STATUS_TABLE(X)
#undef X
};

static const struct {
    const char *word;
    enum status status;
    bool mendable;
} reasons[REASON_COUNT] = {[REASON_NONE] = {NULL, STATUS_COUNT, false},
#define X(symbol, word_, status_, mendable_) [REASON_##symbol] = {word_, STATUS_##status_, mendable_},
                           REASON_TABLE(X)
#undef X
};

static const bool steps[STATUS_COUNT][STATUS_COUNT] = {
#define X(from, to) [STATUS_##from][STATUS_##to] = true,
    TRANSITION_TABLE(X)
#undef X
};

static bool known_status(enum status status) {
    return (unsigned)status < STATUS_COUNT;
}

const char *status_name(enum status status) {
    return known_status(status) ? statuses[status].word : "unknown";
}

bool status_parse(const char *word, enum status *ret) {
    for (unsigned i = 0; word && i < STATUS_COUNT; i++)
        if (strcmp(word, statuses[i].word) == 0) {
            *ret = (enum status)i;
            return true;
        }
    return false;
}

bool status_is_terminal(enum status status) {
    return known_status(status) && statuses[status].terminal;
}

bool status_can_step(enum status from, enum status to) {
    return known_status(from) && known_status(to) && steps[from][to];
}

const char *reason_name(enum reason reason) {
    return (unsigned)reason < REASON_COUNT ? reasons[reason].word : NULL;
}

bool reason_parse(const char *word, enum reason *ret) {
    for (unsigned i = REASON_NONE + 1; word && i < REASON_COUNT; i++)
        if (strcmp(word, reasons[i].word) == 0) {
            *ret = (enum reason)i;
            return true;
        }
    return false;
}

enum status reason_status(enum reason reason) {
    return (unsigned)reason < REASON_COUNT ? reasons[reason].status : STATUS_COUNT;
}

bool reason_is_infrastructure(enum reason reason) {
    return (unsigned)reason < REASON_COUNT && reasons[reason].mendable;
}
