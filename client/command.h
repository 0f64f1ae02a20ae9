/*
 * command - what the sub-commands of `berth` share: their table, options, printing, how a job is named.
 */
#ifndef BERTH_CLIENT_COMMAND_H
#define BERTH_CLIENT_COMMAND_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "client/remote.h"
#include "proto/stream.h"

/* contract.md, section 6. Of `run` and `wait`: the job's own code when it ran. */
enum {
    EXIT_OK = 0,
    EXIT_WRONG_USAGE = 2,
    EXIT_TIMED_OUT = 124,
    EXIT_ERRORED = 125, /* the job, or Berth itself */
    EXIT_CANCELED = 130,
    EXIT_SIGNAL_BASE = 128,
};

enum {
    COMMAND_PAGE = 200,      /* jobs asked for at a time */
    COMMAND_PAGES_MAX = 100, /* looked through for a prefix or a listing */
    COMMAND_WAIT_S = 60,     /* of one ?wait= */
    COMMAND_WAITED_MIN_MS =
        1000, /* an answer that comes sooner has not waited: back off before asking again */
};

enum output { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_NAME };

struct options {
    enum output output;
    bool quiet;
};

/* Each returns the exit status; argv[0] is the command's own name. */
int command_run(int argc, char **argv);
int command_submit(int argc, char **argv);
int command_logs(int argc, char **argv);
int command_wait(int argc, char **argv);
int command_ps(int argc, char **argv);
int command_inspect(int argc, char **argv);
int command_cancel(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_extend(int argc, char **argv);
int command_retry(int argc, char **argv);
int command_drain(int argc, char **argv);
int command_undrain(int argc, char **argv);

/* An option of a command. */
struct option_spec {
    const char *name; /* "--memory" */
    char letter;      /* 'm'; 0: none */
    bool takes_value;
    int (*take)(void *arg, const struct option_spec *self, const char *value,
                struct err *err); /* value NULL: takes none */
    const char *help;   /* "BYTES most memory": the value's name, if it takes one, then what it is */
    const char *member; /* for the command's own use */
    size_t offset;      /* into arg, of option_take_flag's bool or option_take_text's const char * */
};
int option_take_flag(void *arg, const struct option_spec *self, const char *value, struct err *err);
int option_take_text(void *arg, const struct option_spec *self, const char *value, struct err *err);
/* Takes options from argv[1] on, in "--name value", "--name=value", "-n value", "-nvalue" form; stops at the
 * first word that is none, or behind "--". Returns its index. ERR_USAGE. */
int options_parse(const struct option_spec *table, size_t count, void *arg, int argc, char **argv,
                  struct err *err);
void options_print(const struct option_spec *table, size_t count);
int options_take_output(struct options *options, const char *value, struct err *err);

/* "berth: <text>" on standard error; returns the status. */
int complain(int status, const struct err *err);
int complain_usage(const char *command, const struct err *err);

/* The whole id of a job that is named by it or by a unique prefix. */
int job_resolve(struct remote *remote, const char *name, char ret_id[37], struct err *err);
/* Waits until the job has ended, through restarts of the server; *ret_job is its view. */
int job_wait(struct remote *remote, const char *id, json_t **ret_job, struct err *err);
/* The exit status that tells how it ended. */
int job_exit_status(const json_t *job);
void print_json(const json_t *doc);

/* Hands one message's bytes on: stdout to standard output, all other streams to standard error. Lines of a
 * service begin with "NAME | ", Berth's own with "system | ". */
struct message;
struct printer {
    bool timestamps;
    bool bare;                  /* no such words before lines: one stream was asked for */
    bool quiet;                 /* leaves Berth's own lines out */
    bool midline[2];            /* standard output, error: the last byte was no newline */
    char last[STREAM_NAME_MAX]; /* the stream that wrote to standard error last */
};
int print_message(struct printer *printer, const struct message *message, struct err *err);

#endif
