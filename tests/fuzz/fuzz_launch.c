/* Whatever is in a launch file, it is refused with a reason or yields whole lists. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runner/init/launchfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    char *copy = malloc(len + 1);
    if (!copy)
        return 0;
    memcpy(copy, bytes, len);
    copy[len] = '\0';
    struct launchfile launch;
    if (launchfile_parse(copy, len, &launch)) {
        free(copy);
        return 0;
    }
    char *inherited[] = {"PATH=/bin", "A=b", "nonsense", NULL};
    if (!launch.argv[0])
        abort();
    bool port = launch.ready == LAUNCHFILE_READY_TCP || launch.ready == LAUNCHFILE_READY_HTTP;
    bool command = launch.ready == LAUNCHFILE_READY_COMMAND;
    if (port != (launch.port != 0) || command != (launch.command[0] != NULL) ||
        (launch.ready == LAUNCHFILE_READY_HTTP && launch.path[0] != '/') ||
        (launch.ready == LAUNCHFILE_READY_LOG && !launch.expression))
        abort();
    for (size_t i = 0; i < launch.bind_count; i++)
        if (launch.binds[i].target[0] != '/')
            abort();
    for (char **env = launch.env; *env; env++)
        if (!strchr(*env, '='))
            abort();
    free(launchfile_environment(&launch, inherited));
    launchfile_done(&launch);
    return 0;
}
