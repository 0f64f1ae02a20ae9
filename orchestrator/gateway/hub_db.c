#include "orchestrator/gateway/hub_db.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "orchestrator/gateway/http.h"
#include "orchestrator/gateway/hub.h"
#include "orchestrator/gateway/ws.h"

static sd_event_source *tick;

static void on_heads(void *arg, const PGresult *result, const struct err *err) {
    struct gateway *gateway = arg;
    if (err && err->kind != ERR_AWAY && err->kind != ERR_CANCELED)
        log_error("the state of logs cannot be read", LERR(err));
    hub_heads_done(gateway->hub, err ? NULL : result);
}

static bool ask_heads(void *arg, const struct api_log_key *keys, size_t count) {
    struct gateway *gateway = arg;
    return !gateway->ending && api_log_heads(gateway->db, keys, count, on_heads, gateway, NULL) > 0;
}

static void on_chunks(void *arg, const PGresult *result, const struct err *err) {
    struct hub_read *read = arg;
    struct api_chunk chunks[API_CHUNKS_ROWS_MAX];
    size_t count = 0, rows = err ? 0 : (size_t)PQntuples(result);
    struct err why;
    bool ok = !err;
    if (err && err->kind != ERR_AWAY && err->kind != ERR_CANCELED)
        log_error("log cannot be read", LERR(err));
    for (; ok && count < rows && count < API_CHUNKS_ROWS_MAX; count++) {
        if (api_read_chunk(result, (int)count, &chunks[count], &why) < 0) {
            log_error("a stored chunk of log cannot be read", LERR(&why));
            ok = false;
            break;
        }
    }
    hub_read_done(read, ok, chunks, count);
}

static bool ask_chunks(void *arg, struct hub_read *read) {
    struct gateway *gateway = arg;
    return !gateway->ending &&
           api_log_chunks(gateway->db, read->attempt_id, *read->created_on ? read->created_on : NULL,
                          read->offset, false, on_chunks, read, NULL) > 0;
}

static int on_tick(sd_event_source *source, uint64_t us, void *arg) {
    struct gateway *gateway = arg;
    (void)us;
    hub_tick(gateway->hub);
    ws_tick();
    http_tick();
    sd_event_source_set_time_relative(source, HUB_TICK_MS * US_PER_MS);
    sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

int hub_db_start(struct gateway *gateway, struct err *err) {
    static const struct hub_ops ops = {.heads = ask_heads, .read = ask_chunks};
    gateway->hub = hub_new(&ops, gateway);
    int r = sd_event_add_time_relative(gateway->loop, &tick, CLOCK_BOOTTIME, HUB_TICK_MS * US_PER_MS, 0,
                                       on_tick, gateway);
    if (r < 0)
        return err_set(err, ERR_SYS, -r, "a timer cannot be made: %s", strerror(-r));
    return 0;
}

void hub_db_stop(struct gateway *gateway) {
    tick = sd_event_source_disable_unref(tick);
    if (gateway->hub)
        hub_free(STEAL(gateway->hub));
}
