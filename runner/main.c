/*
 * berth-runner - drives one job.
 *
 *   berth-runner --attempt NAME   as a child of berthd (proto/child.h), on <state_dir>/attempts/NAME
 *   berth-runner --probe          as a child of berthd: can the engine be used?
 *   berth-runner --job FILE|-     by hand
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/config.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/attempt.h"
#include "proto/child.h"
#include "proto/control.h"
#include "proto/fault_points.h"
#include "runner/byhand.h"
#include "runner/job.h"
#include "runner/place.h"
#include "runner/probe.h"

#define STATE_DIR_DEFAULT "/var/lib/berth"
#define NETWORK_POOL_DEFAULT "10.213.0.0/16"

struct options {
    const char *attempt, *job, *state_dir, *init;
    bool probe, help, version;
};

static const char usage[] =
    "usage: berth-runner --job FILE|- [--state-dir DIR] [--init FILE]\n"
    "\n"
    "Runs one job against the local Docker Engine and prints its log. FILE has the job as JSON, - is "
    "standard input.\n"
    "\n"
    "  --job FILE       the job\n"
    "  --state-dir DIR  where its directory is made (BERTH_STATE_DIR, else " STATE_DIR_DEFAULT ");\n"
    "                   must have the same path for the engine\n"
    "  --init FILE      the static berth-init (else beside this program or in ../lib/berth)\n"
    "  --version, --help\n"
    "\n"
    "DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH and DOCKER_API_VERSION name the engine, as for "
    "docker.\n"
    "BERTH_NETWORK_POOL, BERTH_BIND_ROOTS and BERTH_DOCKER_CONFIG are as for berthd.\n"
    "Exit status: the job's own, or 124 timed out, 125 errored, 130 canceled, 2 wrong usage or a wrong job.\n"
    "SIGINT cancels the job, a second one kills it. berthd starts this program with --attempt NAME or "
    "--probe.\n";

static int parse_options(int argc, char **argv, struct options *o) {
    static const struct option longs[] = {
        {"attempt", required_argument, NULL, 'a'},   {"job", required_argument, NULL, 'j'},
        {"state-dir", required_argument, NULL, 's'}, {"init", required_argument, NULL, 'i'},
        {"probe", no_argument, NULL, 'p'},           {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},         {0}};
    for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        const char **text = c == 'a'   ? &o->attempt
                            : c == 'j' ? &o->job
                            : c == 's' ? &o->state_dir
                            : c == 'i' ? &o->init
                                       : NULL;
        if (text)
            *text = optarg;
        o->probe |= c == 'p';
        o->help |= c == 'h';
        o->version |= c == 'v';
        if (c == '?')
            return -1;
    }
    int modes = (o->attempt != NULL) + (o->job != NULL) + o->probe;
    return optind == argc && (modes == 1 || o->help || o->version) ? 0 : -1;
}

/* --- as a child of berthd --- */

struct parent {
    struct control config;
    const char *state_dir, *init_path; /* borrowed from config */
    struct job_place place;            /* likewise: what jobs are told by the operator */
    struct engine_settings engine;
};

static void parent_done(struct parent *parent) {
    control_done(&parent->config);
}

static int parent_listen(struct parent *parent, struct err *err) {
    signal(SIGINT, SIG_IGN); /* a terminal sends these to the whole group; here the parent gives the orders */
    signal(SIGQUIT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (control_recv_config(CHILD_FD, &parent->config, err) < 0)
        return -1;
    const json_t *settings = parent->config.settings;
    parent->state_dir = json_get_string(settings, "state_dir");
    parent->init_path = json_get_string(settings, "init_path");
    parent->engine = (struct engine_settings){.host = json_get_string(settings, "docker_host"),
                                              .tls_verify = json_get_string(settings, "docker_tls_verify"),
                                              .cert_path = json_get_string(settings, "docker_cert_path"),
                                              .api_version = json_get_string(settings, "docker_api_version")};
    parent->place = (struct job_place){.network_pool = json_get_string(settings, "network_pool"),
                                       .bind_roots = json_get_string(settings, "bind_roots"),
                                       .docker_config = json_get_string(settings, "docker_config"),
                                       .cgroup_group = parent->config.cgroup,
                                       .licensed = json_get_string(settings, "lease")};
    log_set_level_word(json_get_string(settings, "log_level"));
    if (!parent->state_dir || parent->state_dir[0] != '/')
        return err_set(err, ERR_USAGE, 0, "the parent's message has no absolute state_dir");
    return 0;
}

static int fail(const char *what, const struct err *err) {
    log_error(what, LERR(err));
    if (err->kind == ERR_USAGE)
        return CHILD_EXIT_NEVER;
    return err->kind == ERR_BUG ? CHILD_EXIT_BUG : CHILD_EXIT_AGAIN;
}

static int run_attempt(const struct parent *parent, const char *name, struct err *err) {
    FAULT(RUNNER_TOLD);
    struct orders orders;
    char job_id[ATTEMPT_ID_MAX];
    int number;
    AUTO_FREE char *init_path = NULL;
    AUTO_FREE char *attempts = mem_printf("%s/" ATTEMPT_DIR, parent->state_dir);
    AUTO_ENGINE struct engine *engine = NULL;
    AUTO_JOB struct job *job = NULL;
    if (attempt_parse_dir_name(name, job_id, &number) < 0)
        return err_set(err, ERR_USAGE, 0, "\"%.80s\" is no attempt's directory", name);
    log_init("runner", job_id);
    orders_init_child(&orders, CHILD_FD);
    struct job_place place = parent->place;
    AUTO_FD int locks_fd = -1;
    if (place_find_init(parent->init_path, &init_path, err) < 0 ||
        place_open_locks(parent->state_dir, &locks_fd, err) < 0 ||
        engine_open(&parent->engine, &engine, err) < 0)
        return -1;
    place.attempts_dir = attempts;
    place.state_dir = parent->state_dir;
    place.name = name;
    place.init_path = init_path;
    place.locks_fd = locks_fd;
    if (job_open(&place, engine, &orders, &job, err) < 0)
        return -1;
    FAULT(RUNNER_OPENED);
    if (control_send(CHILD_FD, &(struct control){.type = CONTROL_READY}, err) < 0 || job_run(job, err) < 0)
        return -1;
    const struct verdict *v = &job_journal(job)->verdict;
    log_info("job ended", LI("attempt", number), LS("status", status_name(v->status)),
             LS("reason", reason_name(v->reason)), LI("exit_code", v->exit_code), LI("signal", v->signal));
    return 0;
}

/* The end of the parent is not listened to: what was made is removed within the moment that the parent waits.
 */
static int run_probe(const struct parent *parent, struct err *err) {
    char detail[PROBE_DETAIL_MAX] = "", group[LIMITS_GROUP_MAX] = "", warning[PROBE_WARNING_MAX] = "";
    struct control answer = {.type = CONTROL_PROBED, .detail = detail, .cgroup = group, .warning = warning};
    AUTO_FREE char *init_path = NULL;
    AUTO_ENGINE struct engine *engine = NULL;
    struct ctx ctx = ctx_root(NULL);
    ctx_deadline_in(&ctx, PROBE_MAX_MS);
    if (control_send(CHILD_FD, &(struct control){.type = CONTROL_READY}, err) < 0)
        return -1;
    if (place_find_init(parent->init_path, &init_path, err) < 0 ||
        engine_open(&parent->engine, &engine, err) < 0) {
        snprintf(detail, sizeof detail, "%s", err->text);
    } else {
        struct probe probe = {.state_dir = parent->state_dir,
                              .init_path = init_path,
                              .instance = parent->config.instance,
                              .cluster = parent->config.cluster};
        probe_take_settings(&probe, parent->config.settings);
        answer.ok = probe_run(&probe, engine, &ctx, detail);
        if (answer.ok)
            probe_host(&probe, engine, &ctx, group, warning);
    }
    return control_send(CHILD_FD, &answer, err);
}

static int run_as_child(const struct options *o) {
    CLEANUP(parent_done) struct parent parent = {0};
    struct err err = {0};
    if (parent_listen(&parent, &err) < 0)
        return fail("runner got no orders", &err);
    int done = o->probe ? run_probe(&parent, &err) : run_attempt(&parent, o->attempt, &err);
    return done < 0 ? fail(o->probe ? "probe not done" : "attempt not brought to its end", &err)
                    : CHILD_EXIT_DONE;
}

/* --- by hand --- */

static int run_by_hand(const struct options *o) {
    struct err err = {0};
    AUTO_FREE char *init_path = NULL;
    char cwd[PATH_MAX] = "";
    const char *state = o->state_dir ? o->state_dir : config_env("BERTH_STATE_DIR");
    if (!state)
        state = STATE_DIR_DEFAULT;
    log_set_level(LOG_LEVEL_WARN);
    if ((state[0] != '/' && !getcwd(cwd, sizeof cwd)) || place_find_init(o->init, &init_path, &err) < 0) {
        fprintf(stderr, "berth-runner: %s\n", err.text[0] ? err.text : strerror(errno));
        return BYHAND_EXIT_USAGE;
    }
    AUTO_FREE char *state_dir = state[0] == '/' ? mem_strdup(state) : mem_printf("%s/%s", cwd, state);
    const char *pool = config_env("BERTH_NETWORK_POOL");
    struct byhand byhand = {.job = o->job,
                            .state_dir = state_dir,
                            .init_path = init_path,
                            .engine = {.host = config_env("DOCKER_HOST"),
                                       .tls_verify = config_env("DOCKER_TLS_VERIFY"),
                                       .cert_path = config_env("DOCKER_CERT_PATH"),
                                       .api_version = config_env("DOCKER_API_VERSION")},
                            .place = {.network_pool = pool ? pool : NETWORK_POOL_DEFAULT,
                                      .bind_roots = config_env("BERTH_BIND_ROOTS"),
                                      .docker_config = config_env("BERTH_DOCKER_CONFIG")}};
    return byhand_run(&byhand);
}

int main(int argc, char **argv) {
    struct options o = {0};
    struct err err = {0};
    prctl(PR_SET_NAME, "berth-runner"); /* which berthd executes by a number */
    json_use_mem();
    signal(SIGPIPE, SIG_IGN);
    log_init("runner", NULL);
    if (parse_options(argc, argv, &o) < 0) {
        fputs(usage, stderr);
        return BYHAND_EXIT_USAGE;
    }
    if (o.help || o.version) {
        fputs(o.help ? usage : "berth-runner " BERTH_VERSION "\n", stdout);
        return 0;
    }
    if (fault_points_arm(config_env(FAULT_VARIABLE), &err) < 0) {
        fprintf(stderr, "berth-runner: " FAULT_VARIABLE ": %s\n", err.text);
        return BYHAND_EXIT_USAGE;
    }
    return o.job ? run_by_hand(&o) : run_as_child(&o);
}
