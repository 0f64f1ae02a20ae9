#include "runner/docker/system.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "runner/docker/call.h"
#include "runner/docker/doc.h"

int system_info(struct engine *engine, const struct ctx *ctx, struct system_info *ret_info, struct err *err) {
    AUTO_JSON json_t *json = NULL;
    if (call_get_json(engine, ctx, "/info", &json, err) < 0)
        return -1;
    struct system_info info = {
        /* Named since API 1.41 with cgroup v2; older engines only know v1. */
        .cgroup_version = *doc_text(json, "CgroupVersion") == '2' ? 2 : 1,
        .ncpu = (int)json_get_int(json, "NCPU", 0),
        .mem_total_bytes = json_get_int(json, "MemTotal", 0),
        .live_restore = json_get_bool(json, "LiveRestoreEnabled", false),
    };
    if (doc_copy(json, "ID", info.id, sizeof info.id, "GET /info", err) < 0 ||
        doc_copy(json, "ServerVersion", info.server_version, sizeof info.server_version, "GET /info", err) <
            0)
        return -1;
    snprintf(info.cgroup_driver, sizeof info.cgroup_driver, "%s", doc_text(json, "CgroupDriver"));
    *ret_info = info;
    return 0;
}
