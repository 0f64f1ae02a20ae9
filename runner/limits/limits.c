#include "runner/limits/limits.h"

int limits_setup(const struct limits_bound *bound, char ret_group[LIMITS_GROUP_MAX], struct err *err) {
    (void)bound;
    (void)ret_group;
    return err_set(err, ERR_AWAY, 0, "no control groups yet");
}

int limits_make(const char *group, const char *attempt, char ret_parent[LIMITS_GROUP_MAX], struct err *err) {
    (void)group;
    (void)attempt;
    (void)err;
    ret_parent[0] = '\0';
    return 0;
}

void limits_usage(const char *parent, struct usage *ret_usage) {
    (void)parent;
    *ret_usage = (struct usage){-1, -1, -1, -1, -1};
}

int limits_remove(const char *parent, struct err *err) {
    (void)parent;
    (void)err;
    return 0;
}

int limits_list(const char *group, char ***ret_names, struct err *err) {
    (void)group;
    (void)ret_names;
    return err_set(err, ERR_AWAY, 0, "no control groups yet");
}

void limits_list_free(char **names) {
    (void)names;
}
