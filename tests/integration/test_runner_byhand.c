/* `berth-runner --job FILE` on a real engine. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/cleanup.h"
#include "proto/labels.h"
#include "runner/docker/network.h"
#include "runner_rig.h"

TestSuite(byhand, .init = rig_begin, .fini = rig_end, .timeout = 120);

/* job: JSON behind "image". The shell's quoting: no single quotes. */
static const struct {
    const char *what, *job;
    int status;
    const char *out, *err; /* stdout whole (NULL: whatever it is); a part of stderr ("": nothing on stderr) */
} rows[] = {
    {"success is silent", "\"command\":[\"echo\",\"hi\"]", 0, "hi\n", ""},
    {"its exit code", "\"script\":\"echo out; echo err >&2; exit 3\"", 3, "out\n", "exit code 3"},
    {"exit 137", "\"script\":\"exit 137\"", 137, "", "failed/exit_code"},
    {"kill -9", "\"script\":\"kill -9 $$\"", 137, "", "failed/signal"},
    {"not found", "\"command\":[\"/no/such\"]", 127, "", "failed/command_not_found"},
    {"not executable", "\"command\":[\"/etc/passwd\"]", 126, "", "failed/command_not_executable"},
    {"input", "\"input\":{\"a\":[1,2]},\"command\":[\"cat\"]", 0, "{\"a\":[1,2]}\n", ""},
    {"no input is empty input", "\"command\":[\"cat\"]", 0, "", ""},
    {"variables",
     "\"env\":{\"A\":\"b\"},\"name\":\"n\",\"script\":\"echo $A $CI $BERTH $BERTH_JOB_NAME $BERTH_ATTEMPT\"",
     0, "b true 1 n 1\n", ""},
    {"a user without a name", "\"user\":\"12345\",\"command\":[\"id\",\"-u\"]", 0, "12345\n", ""},
    {"a user that is not there", "\"user\":\"nosuch\",\"command\":[\"id\"]", 125, "", "errored/spec_refused"},
    {"directory", "\"workdir\":\"/etc\",\"command\":[\"pwd\"]", 0, "/etc\n", ""},
    {"read-only root", "\"hardening\":{\"read_only\":true},\"script\":\"touch /x 2>/dev/null || echo no\"", 0,
     "no\n", ""},
    {"tmpfs on it",
     "\"hardening\":{\"read_only\":true},\"limits\":{\"tmpfs\":{\"/t\":\"1m\"}},\"script\":\"touch /t/x; "
     "echo yes\"",
     0, "yes\n", ""},
    {"out of memory", "\"limits\":{\"memory\":\"16m\"},\"script\":\"tail /dev/zero\"", 137, "", "failed/oom"},
    {"deadline, with last words",
     "\"deadlines\":{\"run\":\"1s\"},\"stop\":{\"grace\":\"5s\"},\"script\":\"trap \\\"echo bye; exit 0\\\" "
     "TERM; sleep 600 & wait\"",
     124, "bye\n", "timed_out/run_deadline"},
    {"deadline, deaf to TERM",
     "\"deadlines\":{\"run\":\"1s\"},\"stop\":{\"grace\":\"1s\"},\"script\":\"trap \\\"\\\" TERM; sleep "
     "600\"",
     124, "", "had to be killed"},
    {"the way out", "\"network\":\"egress\",\"script\":\"ls /sys/class/net | grep -c eth0\"", 0, "1\n", ""},
    {"a service, and a word about it",
     "\"services\":[{\"name\":\"db\",\"image\":\"'$IMAGE'\",\"ready\":{\"tcp\":7000},\"command\":[\"httpd\","
     "\"-f\","
     "\"-p\",\"7000\",\"-h\",\"/etc\"]}],\"command\":[\"wget\",\"-q\",\"-O\",\"-\",\"http://db:7000/"
     "hostname\"]",
     0, NULL, "service db: ready after"},
    {"a mount",
     "\"mounts\":[{\"type\":\"tmpfs\",\"target\":\"/m\",\"size\":\"1m\"}],\"script\":"
     "\"grep -c ^tmpfs./m.tmpfs /proc/mounts\"",
     0, "1\n", ""},
    {"no way out", "\"network\":\"none\",\"script\":\"ls /sys/class/net | grep -c eth0 || true\"", 0, "0\n",
     ""},
};

Test(byhand, jobs) {
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
        AUTO_BUF struct buf errors = BUF(RIG_OUTPUT_MAX);
        char command[1024];
        snprintf(command, sizeof command,
                 "printf '%%s' '{\"image\":\"'$IMAGE'\",%s}' | $RUNNER --job - 2>%s/stderr", rows[i].job,
                 rig.state);
        int status = rig_shell(command, &out);
        rig_shell("cat ${RUNNER##* }/stderr", &errors);
        cr_expect_eq(status, rows[i].status, "%s: exit status %d: %s", rows[i].what, status,
                     buf_str(&errors));
        if (rows[i].out)
            cr_expect_str_eq(buf_str(&out), rows[i].out, "%s: %s", rows[i].what, buf_str(&out));
        cr_expect(rows[i].err[0] ? strstr(buf_str(&errors), rows[i].err) != NULL : errors.len == 0, "%s: %s",
                  rows[i].what, buf_str(&errors));
    }
    AUTO_BUF struct buf left = BUF(RIG_OUTPUT_MAX);
    rig_shell("ls -A ${RUNNER##* }/byhand/attempts", &left);
    cr_expect_str_eq(buf_str(&left), "");
}

Test(byhand, faults_of_the_spec_are_told_with_pointers) {
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    int status = rig_shell("echo '{\"bogus\":1,\"limits\":{\"pids\":\"x\"}}' | $RUNNER --job - 2>&1", &out);
    cr_expect_eq(status, 2);
    cr_expect(strstr(buf_str(&out), "/bogus: ") && strstr(buf_str(&out), "/limits/pids: ") &&
                  strstr(buf_str(&out), "/image: "),
              "%s", buf_str(&out));
}

Test(byhand, an_engine_that_is_not_there) {
    AUTO_BUF struct buf wrong = BUF(RIG_OUTPUT_MAX);
    AUTO_BUF struct buf away = BUF(RIG_OUTPUT_MAX);
    static const char job[] = "echo '{\"image\":\"x\"}' | DOCKER_HOST=%s $RUNNER --job - 2>&1";
    char command[128];
    snprintf(command, sizeof command, job, "nonsense");
    cr_expect_eq(rig_shell(command, &wrong), 2);
    cr_expect(strstr(buf_str(&wrong), "DOCKER_HOST"), "%s", buf_str(&wrong));
    snprintf(command, sizeof command, job, "unix:///nonexistent/docker.sock");
    cr_expect_eq(rig_shell(command, &away), 125);
    cr_expect(strstr(buf_str(&away), "DOCKER_HOST"), "%s", buf_str(&away));
}

/* All want the network, and none is there: it is made once, and taken away by the last. */
Test(byhand, several_at_once) {
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    rig_shell("for i in 1 2 3 4; do printf '%s' '{\"image\":\"'$IMAGE'\",\"command\":[\"echo\",\"'$i'\"]}' | "
              "$RUNNER --job - 2>&1 & done | sort",
              &out);
    cr_expect_str_eq(buf_str(&out), "1\n2\n3\n4\n");
    AUTO_BUF struct buf cluster = BUF(64);
    rig_shell("cat ${RUNNER##* }/byhand/cluster", &cluster);
    const struct engine_pair label = {LABEL_CLUSTER, buf_str(&cluster)};
    AUTO_NETWORK_LIST struct network_list left = {0};
    struct err err = {0};
    cr_assert_eq(network_list(rig.engine, &rig.ctx, (struct engine_pairs){&label, 1}, &left, &err), 0, "%s",
                 err.text);
    cr_expect_eq(left.count, 0);
}

Test(byhand, interrupted) {
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    int status = rig_shell("printf '%s' '{\"image\":\"'$IMAGE'\",\"network\":\"none\",\"script\":\"trap "
                           "\\\"echo bye; exit 0\\\" "
                           "TERM; echo begun; sleep 600 & wait\"}' > ${RUNNER##* }/j; "
                           "mkfifo ${RUNNER##* }/f; $RUNNER --job ${RUNNER##* }/j > ${RUNNER##* }/f 2>&1 & "
                           "{ read line; echo $line; kill -INT $!; cat; } < ${RUNNER##* }/f; wait $!",
                           &out);
    cr_expect_eq(status, 130, "%d: %s", status, buf_str(&out));
    cr_expect(strstr(buf_str(&out), "begun\nbye\n") && strstr(buf_str(&out), "canceled/requested"), "%s",
              buf_str(&out));
}
