/* `berth-runner --probe` on a real engine. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/cleanup.h"
#include "proto/child.h"
#include "proto/labels.h"
#include "runner/docker/image.h"
#include "runner_rig.h"

TestSuite(probe, .init = rig_begin, .fini = rig_end, .timeout = 120);

static void expect_probe(bool ok, const char *words) {
    struct control ready = rig_expect(CONTROL_READY);
    struct control answer = rig_expect(CONTROL_PROBED);
    cr_expect(answer.ok == ok && strstr(answer.detail, words), "%d: %s", answer.ok, answer.detail);
    control_done(&ready);
    control_done(&answer);
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
    AUTO_BUF struct buf left = BUF(RIG_OUTPUT_MAX);
    rig_shell("ls -A ${RUNNER##* }/probe 2>/dev/null", &left);
    cr_expect_str_eq(buf_str(&left), "");
}

Test(probe, all_is_well) {
    rig_start_probe(NULL, false);
    expect_probe(true, rig.state);
    rig_start_probe(NULL, false); /* now with the image that is there */
    expect_probe(true, rig.state);
}

Test(probe, what_a_killed_one_has_left_goes) {
    AUTO_BUF struct buf none = BUF(RIG_OUTPUT_MAX);
    rig_shell(
        "mkdir -p ${RUNNER##* }/probe && touch ${RUNNER##* }/probe/0.asked ${RUNNER##* }/probe/0.answered",
        &none);
    rig_start_probe(NULL, false);
    expect_probe(true, rig.state);
}

Test(probe, another_directory) {
    rig_start_probe(NULL, true);
    expect_probe(false, "at the same path");
}

Test(probe, no_engine) {
    rig_start_probe("unix:///nonexistent/docker.sock", false);
    expect_probe(false, "DOCKER_HOST");
}

Test(probe, a_wrong_engine) {
    rig_start_probe("nonsense", false);
    struct control ready = rig_expect(CONTROL_READY);
    struct control answer = rig_expect(CONTROL_PROBED);
    cr_expect(!answer.ok && strstr(answer.detail, "DOCKER_HOST"), "%s", answer.detail);
    control_done(&ready);
    control_done(&answer);
    cr_expect_eq(rig_wait(), CHILD_EXIT_DONE);
}
