/* berth run: a job is submitted, its output followed; its end is our exit status. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "client/command.h"
#include "client/run_flags.h"
#include "client/watch.h"

struct run {
    struct run_flags flags;
    struct remote remote;
    char id[ID_TEXT_MAX];
    int early_interrupts; /* before the job's id was known */
    int interrupts;
    struct printer printer;
};

static void on_interrupt(void *arg) {
    struct run *run = arg;
    struct err err = {0};
    bool force = run->interrupts++ > 0;
    /* A handle of its own: the first one may be in the middle of something. */
    AUTO_REMOTE struct remote remote = {0};
    AUTO_JSON json_t *body = json_pack("{s:b}", "force", force);
    AUTO_FREE char *path = mem_printf("/v1/jobs/%s/cancel", run->id);
    if (!run->flags.quiet)
        fprintf(stderr,
                force ? "berth: killing the job\n" : "berth: canceling; once more kills without grace\n");
    if (remote_open(&remote, &err) < 0 ||
        (remote_call(&remote, "POST", path, body, NULL, NULL, &err) < 0 && err.code != 409))
        fprintf(stderr, "berth: job %s could not be canceled: %s\n", run->id, err.text);
}

static sigset_t interrupt_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

/* The signals are blocked from before the submission to the end: watch_run takes them by itself, this looks
 * for them in the calls before and after. Not 0 breaks the call off. */
static int look_for_interrupt(void *arg) {
    struct run *run = arg;
    const sigset_t set = interrupt_signals();
    if (sigtimedwait(&set, NULL, &(struct timespec){0}) < 0)
        return 0;
    if (!run->id[0])
        return run->early_interrupts++ > 0;
    on_interrupt(run);
    return 0;
}

static void hold_interrupts(struct run *run) {
    const sigset_t set = interrupt_signals();
    sigprocmask(SIG_BLOCK, &set, NULL);
    run->remote.on_wait = look_for_interrupt;
    run->remote.arg = run;
}

static int on_message(void *arg, const struct message *m, struct err *err) {
    return print_message(&((struct run *)arg)->printer, m, err);
}

static int submit(struct run *run, struct err *err) {
    AUTO_JSON json_t *job = NULL;
    if (remote_post_once(&run->remote, "/v1/jobs", run->flags.spec, &job, err) < 0)
        return run->early_interrupts < 2 ? -1
                                         : err_set(err, ERR_CANCELED, 0,
                                                   "interrupted before %s had answered: whether it has the "
                                                   "job is not known",
                                                   run->remote.url);
    const char *id = json_get_string(job, "id");
    if (!id || !id_valid(id))
        return err_set(err, ERR_INVALID, 0, "%s does not answer like Berth", run->remote.url);
    snprintf(run->id, sizeof run->id, "%s", id);
    if (run->early_interrupts)
        on_interrupt(run);
    return 0;
}

static int follow(struct run *run, struct err *err) {
    struct watch watch = {.remote = &run->remote,
                          .job = run->id,
                          .tail = -1,
                          .on_message = on_message,
                          .on_interrupt = on_interrupt,
                          .arg = run};
    AUTO_JSON json_t *job = NULL;
    if (watch_run(&watch, err) < 0 || job_wait(&run->remote, run->id, &job, err) < 0)
        return -1;
    const char *message = json_get_string(job, "message");
    int status = job_exit_status(job);
    if (message && status != EXIT_OK && !run->flags.quiet)
        fprintf(stderr, "berth: job %s %s: %s\n", run->id, json_get_string(job, "status"), message);
    return status;
}

static void run_done(struct run *run) {
    json_decref(run->flags.spec);
    remote_done(&run->remote);
}
#define AUTO_RUN CLEANUP(run_done)

int command_run(int argc, char **argv) {
    AUTO_RUN struct run run = {.flags.spec = json_object()};
    struct err err = {0};
    if (run_flags_parse(&run.flags, argc, argv, &err) < 0)
        return complain_usage("run", &err);
    if (run.flags.help) {
        run_flags_print();
        return EXIT_OK;
    }
    if (remote_open(&run.remote, &err) < 0)
        return complain(EXIT_ERRORED, &err);
    if (!run.flags.detach)
        hold_interrupts(&run);
    if (submit(&run, &err) < 0)
        return complain(EXIT_ERRORED, &err);
    if (run.flags.detach) {
        puts(run.id);
        return EXIT_OK;
    }
    run.printer.quiet = run.flags.quiet;
    int status = follow(&run, &err);
    return status < 0 ? complain(EXIT_ERRORED, &err) : status;
}
