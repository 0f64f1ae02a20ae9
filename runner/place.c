#include "runner/place.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdutil.h"
#include "base/mem.h"
#include "proto/place.h"

#define INIT_NAME "berth-init"

static char *resolve_program(const char *path) {
    char full[PATH_MAX];
    return realpath(path, full) && access(full, X_OK) == 0 ? mem_strdup(full) : NULL;
}

int place_find_init(const char *given, char **ret_path, struct err *err) {
    static const char *const around[] = {INIT_NAME, "../lib/berth/" INIT_NAME, "../libexec/berth/" INIT_NAME,
                                         "init/" INIT_NAME, "../runner/init/" INIT_NAME};
    char self[PATH_MAX];
    if (given && given[0]) {
        char *found = resolve_program(given);
        if (!found)
            return err_set(err, ERR_USAGE, 0,
                           "%.300s is no program that can be run: name the static berth-init", given);
        *ret_path = found;
        return 0;
    }
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len < 0)
        return err_sys(err, "find this program");
    self[len] = '\0';
    *(strrchr(self, '/') + 1) = '\0';
    for (size_t i = 0; i < ARRAY_LEN(around); i++) {
        AUTO_FREE char *path = mem_printf("%s%s", self, around[i]);
        char *found = resolve_program(path);
        if (found) {
            *ret_path = found;
            return 0;
        }
    }
    return err_set(
        err, ERR_USAGE, 0,
        "berth-init is neither beside this program (%.300s) nor in ../lib/berth: name it with --init or the "
        "setting init_path",
        self);
}

int place_open_locks(const char *state_dir, int *ret_fd, struct err *err) {
    enum { DIR_MODE = 0700 };
    AUTO_FREE char *path = mem_printf("%s/" PLACE_LOCKS, state_dir);
    return dir_make_open(path, DIR_MODE, ret_fd, err);
}
