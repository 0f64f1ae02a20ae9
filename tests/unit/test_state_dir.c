#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "orchestrator/supervisor/state_dir.h"

/* A killed berthd's child that has not executed its program yet has all its descriptors still. */
Test(state_dir, is_free_when_its_berthd_is_gone_whatever_children_hold) {
    char path[] = "/tmp/test-state-dir-XXXXXX";
    cr_assert_not_null(mkdtemp(path));
    struct err err = {0};
    struct state_dir first = STATE_DIR_NONE;
    struct state_dir second = STATE_DIR_NONE;
    cr_assert_eq(state_dir_open(path, &first, &err), 0, "%s", err.text);
    pid_t child = fork();
    cr_assert(child >= 0);
    while (child == 0)
        pause();
    state_dir_close(&first);

    int opened = state_dir_open(path, &second, &err);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    cr_expect_eq(opened, 0, "%s", err.text);
    state_dir_close(&second);
    cr_expect_eq(dir_remove_tree(AT_FDCWD, path, &err), 0, "%s", err.text);
}
