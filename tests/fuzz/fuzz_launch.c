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
    for (char **env = launch.env; *env; env++)
        if (!strchr(*env, '='))
            abort();
    free(launchfile_environment(&launch, inherited));
    launchfile_done(&launch);
    return 0;
}
