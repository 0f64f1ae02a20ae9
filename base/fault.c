#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"

#ifdef BERTH_FAULTS

struct armed {
    const char *name; /* of the table */
    long number;      /* dies when it is passed for this time */
    long passed;      /* where there is no directory to count in */
};

static struct {
    struct armed points[FAULT_ARMED_MAX];
    size_t count;
    char *dir; /* NULL: each process counts for itself */
} faults;

/* The number of this pass over all processes; 0: it could not be counted. The offset behind a write in append
 * mode is the end of what was written, so no two get the same number. */
static long count_together(const char *name) {
    char line[FAULT_LINE_BYTES + 1];
    AUTO_FREE char *path = mem_printf("%s/%s", faults.dir, name);
    AUTO_FD int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    snprintf(line, sizeof line, "%*d\n", FAULT_LINE_BYTES - 1, (int)getpid());
    if (fd < 0 || write(fd, line, FAULT_LINE_BYTES) != FAULT_LINE_BYTES)
        return 0;
    return (long)(lseek(fd, 0, SEEK_CUR) / FAULT_LINE_BYTES);
}

void fault_pass(const char *name) {
    int saved = errno;
    for (size_t i = 0; i < faults.count; i++) {
        struct armed *point = &faults.points[i];
        if (strcmp(point->name, name) != 0)
            continue;
        point->passed++;
        if ((faults.dir ? count_together(name) : point->passed) == point->number)
            kill(getpid(), SIGKILL);
    }
    errno = saved;
}

static const char *find(const struct fault_point *table, size_t count, const char *name, size_t len) {
    for (size_t i = 0; i < count; i++)
        if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
            return table[i].name;
    return NULL;
}

/* One "point:N". */
static int arm_one(const char *word, size_t len, const struct fault_point *table, size_t count,
                   struct err *err) {
    const char *colon = memchr(word, ':', len);
    const char *name = colon ? find(table, count, word, (size_t)(colon - word)) : NULL;
    char *end = NULL;
    long number = colon ? strtol(colon + 1, &end, 10) : 0;
    if (!name || end != word + len || number < 1 || number > FAULT_NUMBER_MAX)
        return err_set(err, ERR_USAGE, 0, "\"%.*s\" is no fault point with a number from 1 to %d", (int)len,
                       word, FAULT_NUMBER_MAX);
    if (faults.count == FAULT_ARMED_MAX)
        return err_set(err, ERR_USAGE, 0, "more than %d fault points", FAULT_ARMED_MAX);
    faults.points[faults.count++] = (struct armed){.name = name, .number = number};
    return 0;
}

int fault_arm(const char *wanted, const struct fault_point *table, size_t count, struct err *err) {
    const char *at = wanted ? strchr(wanted, '@') : NULL;
    const char *end = at ? at : wanted ? wanted + strlen(wanted) : NULL;
    faults.count = 0;
    free(faults.dir);
    faults.dir = at ? mem_strdup(at + 1) : NULL;
    for (const char *word = wanted; word && word < end;) {
        const char *comma = memchr(word, ',', (size_t)(end - word));
        const char *stop = comma ? comma : end;
        if (arm_one(word, (size_t)(stop - word), table, count, err) < 0)
            return -1;
        word = stop + 1;
    }
    return 0;
}

#endif
