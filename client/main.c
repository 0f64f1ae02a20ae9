/* berth: the command line of people and pipelines. contract.md, section 6. */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "client/command.h"

static int command_version(int argc, char **argv) {
    (void)argc, (void)argv;
    puts("berth " BERTH_VERSION);
    return EXIT_OK;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"run", command_run, "submit a job, follow its output, exit as it does"},
    {"submit", command_submit, "submit a job from a file"},
    {"logs", command_logs, "show a job's log, -f while it grows"},
    {"wait", command_wait, "wait for a job's end, exit as it did"},
    {"ps", command_ps, "list jobs"},
    {"inspect", command_inspect, "show all that is known of a job"},
    {"cancel", command_cancel, "end jobs"},
    {"explain", command_explain, "say why a job is where it is, and what comes next"},
    {"extend", command_extend, "give a running job more time"},
    {"retry", command_retry, "make a new job of one that has ended"},
    {"drain", command_drain, "let an orchestrator take up no more jobs"},
    {"undrain", command_undrain, "let it take up jobs again"},
    {"version", command_version, "show the version"},
};

static void print_usage(FILE *to) {
    fputs("usage: berth COMMAND …      ('berth COMMAND --help' tells more)\n\n", to);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].help);
    fputs("\nBERTH_URL (default " REMOTE_DEFAULT_URL
          ") says where berthd answers, BERTH_TOKEN or BERTH_TOKEN_FILE who asks.\n",
          to);
}

static int dispatch(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_usage(stdout);
        return EXIT_OK;
    }
    if (strcmp(name, "--version") == 0)
        return command_version(0, NULL);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (*name)
        fprintf(stderr, "berth: there is no command '%s'\n\n", name);
    print_usage(stderr);
    return EXIT_WRONG_USAGE;
}

int main(int argc, char **argv) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int status = dispatch(argc, argv);
    curl_global_cleanup();
    return status;
}
