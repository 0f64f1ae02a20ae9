/* berthd - the orchestrator's command line. What each command does is in the rooms; here is only which. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/json.h"
#include "base/log.h"
#include "orchestrator/gateway/gateway.h"
#include "orchestrator/reaper/reaper.h"
#include "orchestrator/scribe/scribe.h"
#include "orchestrator/settings.h"
#include "orchestrator/supervisor/supervisor.h"
#include "proto/fault_points.h"

enum { TEXT_MAX_BYTES = 262144, REAP_WORDS_MAX = 256 };

static int print(struct buf *text) {
    bool written = fd_write_all(STDOUT_FILENO, buf_str(text), text->len, NULL) == 0;
    return written ? SUPERVISOR_EXIT_DONE : SUPERVISOR_EXIT_BUG;
}

/* 0, or after all errors have been shown -1. */
static int load(struct settings *settings, char *const *argv, struct config_origins *ret_origins) {
    AUTO_BUF struct buf report = BUF(TEXT_MAX_BYTES);
    struct err err = {0};
    if (settings_load(settings, argv, ret_origins, &report, &err) < 0) {
        fprintf(stderr, "berthd: the settings are wrong (berthd --help tells all of them):\n%s",
                report.len ? buf_str(&report) : err.text);
        config_free(&settings_table, settings);
        return -1;
    }
    log_set_level_word(settings->log_level);
    return 0;
}

static int command_run(char *const *argv) {
    struct settings settings = {0};
    struct config_origins origins;
    if (load(&settings, argv, &origins) < 0)
        return SUPERVISOR_EXIT_USAGE;
    return supervisor_run(&settings, argv);
}

static int command_migrate(char *const *argv) {
    struct settings settings = {0};
    struct config_origins origins;
    if (load(&settings, argv, &origins) < 0)
        return SUPERVISOR_EXIT_USAGE;
    int status = supervisor_migrate(&settings);
    config_free(&settings_table, &settings);
    return status;
}

static int command_config(char *const *argv) {
    struct settings settings = {0};
    struct config_origins origins;
    AUTO_BUF struct buf text = BUF(TEXT_MAX_BYTES);
    if (argv[0] && strcmp(argv[0], "--example") == 0 && !argv[1]) {
        config_print_example(&settings_table, &text);
        return print(&text);
    }
    if (load(&settings, argv, &origins) < 0)
        return SUPERVISOR_EXIT_USAGE;
    config_print_effective(&settings_table, &settings, &origins, &text);
    config_free(&settings_table, &settings);
    return print(&text);
}

static int command_token(char *const *argv) {
    (void)argv;
    fputs("berthd: token is not available in this version yet; the admin token is in the file admin_token of "
          "the state "
          "directory\n",
          stderr);
    return SUPERVISOR_EXIT_USAGE;
}

/* A line for each: name, tabulator, what is true there. Nothing where none are compiled in. */
static void print_fault_points(void) {
#ifdef BERTH_FAULTS
    for (size_t i = 0; i < FAULT_COUNT; i++)
        printf("%s\t%s\n", fault_points[i].name, fault_points[i].sentence);
#endif
}

static int command_version(char *const *argv) {
    if (argv[0] && strcmp(argv[0], "--fault-points") == 0)
        print_fault_points();
    else
        puts("berthd " BERTH_VERSION);
    return SUPERVISOR_EXIT_DONE;
}

static int command_reap(char *const *argv) {
    struct settings settings = {0};
    struct config_origins origins;
    char *words[REAP_WORDS_MAX];
    size_t count = 0;
    bool dry_run = false;
    for (; *argv && count < REAP_WORDS_MAX - 1; argv++)
        if (strcmp(*argv, "--dry-run") == 0)
            dry_run = true;
        else
            words[count++] = *argv;
    words[count] = NULL;
    if (load(&settings, words, &origins) < 0)
        return SUPERVISOR_EXIT_USAGE;
    int status = reap_command(&settings, dry_run);
    config_free(&settings_table, &settings);
    return status;
}

/* --- the roles that the parent starts by executing this program again (proto/child.h) --- */

/* Executed as /proc/self/exe it would be called "exe" wherever people look for what takes their memory. */
static int as_role(const char *name, int (*run)(void)) {
    prctl(PR_SET_NAME, name);
    return run();
}

static int role_gateway(char *const *argv) {
    (void)argv;
    return as_role("berthd:gateway", gateway_main);
}

static int role_scribe(char *const *argv) {
    (void)argv;
    return as_role("berthd:scribe", scribe_main);
}

static int role_reaper(char *const *argv) {
    (void)argv;
    return as_role("berthd:reaper", reaper_main);
}

static int command_help(char *const *argv);

static const struct {
    const char *name;
    int (*run)(char *const *argv);
    const char *help; /* NULL: not for people */
} commands[] = {
    {"run", command_run, "the orchestrator; also without a command"},
    {"migrate", command_migrate, "bring the database schema to this version, then end"},
    {"config", command_config,
     "show the effective settings and where each comes from (--example: a berth.conf)"},
    {"token", command_token, "not available in this version yet"},
    {"reap", command_reap, "remove what is left over on the engine, once (--dry-run: only say what)"},
    {"version", command_version, "show the version"},
    {"help", command_help, "show this"},
    {"--version", command_version, NULL},
    {"--help", command_help, NULL},
    {"-h", command_help, NULL},
    {"gateway", role_gateway, NULL},
    {"scribe", role_scribe, NULL},
    {"reaper", role_reaper, NULL},
};

static int command_help(char *const *argv) {
    AUTO_BUF struct buf text = BUF(TEXT_MAX_BYTES);
    (void)argv;
    buf_adds(&text,
             "berthd " BERTH_VERSION ": runs jobs in Docker containers, from PostgreSQL to a live log\n\n"
             "usage: berthd [COMMAND] [--config FILE] [--KEY VALUE…]\n\ncommands:\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (commands[i].help)
            buf_addf(&text, "  %-10s %s\n", commands[i].name, commands[i].help);
    buf_adds(
        &text,
        "\nsignals: TERM, INT: claim no more, wait for drain_timeout, leave the rest running for the next "
        "start; a second one: leave at once;\n  QUIT: cancel all jobs and end; HUP: reload settings\n"
        "exit status: 0 done, 64 wrong usage or settings, 69 a dependency is away, 70 a bug, 75 try again\n"
        "\nsettings (default < " CONFIG_FILE_DEFAULT " or --config FILE < environment < command line):\n");
    config_print_help(&settings_table, &text);
    return print(&text);
}

/* A closed standard descriptor would be taken by the first file that is opened. */
static void open_standard_descriptors(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            _exit(SUPERVISOR_EXIT_BUG);
}

int main(int argc, char **argv) {
    (void)argc;
    json_use_mem();
    open_standard_descriptors();
    log_init("parent", NULL);
    struct err err = {0};
    if (fault_points_arm(config_env(FAULT_VARIABLE), &err) < 0) {
        fprintf(stderr, "berthd: " FAULT_VARIABLE ": %s\n", err.text);
        return SUPERVISOR_EXIT_USAGE;
    }
    if (!argv[0] || !argv[1])
        return command_run(argv + (argv[0] ? 1 : 0));
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argv + 2);
    if (strncmp(argv[1], "--", 2) == 0)
        return command_run(argv + 1);
    fprintf(stderr, "berthd: there is no command %s; berthd --help tells those there are\n", argv[1]);
    return SUPERVISOR_EXIT_USAGE;
}
