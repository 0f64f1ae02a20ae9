/* drain, undrain: whether an orchestrator takes up jobs. */
#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "client/jobs.h"

static void print_orchestrator(const json_t *doc, const struct jobs_options *options) {
    if (options->common.output == OUTPUT_JSON)
        print_json(doc);
    else if (options->common.output == OUTPUT_NAME)
        puts(text_of(doc, "name"));
    else if (!options->common.quiet)
        printf("%s: %s, %" PRId64 " of %" PRId64 " slots taken\n", text_of(doc, "name"),
               text_of(doc, "state"), json_get_int(doc, "running", 0), json_get_int(doc, "slots", 0));
}

static int tell(const char *usage, const char *call, int argc, char **argv) {
    static const struct option_spec table[] = {OPTION_OUTPUT, OPTION_QUIET, OPTION_HELP};
    struct jobs_options options = {0};
    AUTO_REMOTE struct remote remote = {0};
    struct err err = {0};
    int first;
    int status;
    if (!jobs_begin(table, ARRAY_LEN(table), usage, &options, argc, argv, &first, &remote, &status))
        return status;
    if (first + 1 != argc || !*argv[first]) {
        err_set(&err, ERR_USAGE, 0, "name one orchestrator");
        return complain_usage(argv[0], &err);
    }
    AUTO_JSON json_t *doc = NULL;
    AUTO_FREE char *name = remote_escape(&remote, argv[first]);
    AUTO_FREE char *path = mem_printf("/v1/orchestrators/%s/%s", name ? name : "", call);
    if (remote_call(&remote, "POST", path, NULL, NULL, &doc, &err) < 0)
        return complain(EXIT_ERRORED, &err);
    print_orchestrator(doc, &options);
    return EXIT_OK;
}

int command_drain(int argc, char **argv) {
    return tell("drain NAME", "drain", argc, argv);
}

int command_undrain(int argc, char **argv) {
    return tell("undrain NAME", "undrain", argc, argv);
}
