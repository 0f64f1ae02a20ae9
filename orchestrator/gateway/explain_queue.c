/* A job that could be taken up now: who is before it, and who has no room for it. */
#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/units.h"
#include "orchestrator/gateway/explain_private.h"

struct host {
    const char *name; /* borrowed */
    int64_t heartbeat_us, slots, used;
    int64_t memory, memory_used, cpus, cpus_used; /* -1: not told */
    bool alive, draining;
};

struct hosts {
    struct host items[API_HOSTS_MAX];
    size_t count;
};

static void read_hosts(const json_t *list, struct hosts *ret) {
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item) {
        if (ret->count == API_HOSTS_MAX)
            return;
        const char *name = json_get_string(item, "name");
        ret->items[ret->count++] = (struct host){
            .name = name ? name : "?",
            .heartbeat_us = json_get_int(item, "heartbeat_us", 0),
            .slots = json_get_int(item, "slots", 0),
            .used = json_get_int(item, "used", 0),
            .memory = json_get_int(item, "memory_bytes", -1),
            .memory_used = json_get_int(item, "memory_used", 0),
            .cpus = json_get_int(item, "cpus_milli", -1),
            .cpus_used = json_get_int(item, "cpus_used", 0),
            .alive = json_get_bool(item, "alive", false),
            .draining = json_get_bool(item, "draining", false),
        };
    }
}

/* --- One limit of one orchestrator --- */

static bool lacks_slots(const struct host *h, const struct api_explain *e) {
    (void)e;
    return h->used >= h->slots;
}

static bool lacks_memory(const struct host *h, const struct api_explain *e) {
    return h->memory > 0 && e->memory_bytes != API_NONE && h->memory - h->memory_used < e->memory_bytes;
}

static bool lacks_cpus(const struct host *h, const struct api_explain *e) {
    return h->cpus > 0 && h->cpus - h->cpus_used < e->cpus_milli;
}

static void tell_slots(const struct host *h, const struct api_explain *e, struct buf *out) {
    (void)e;
    buf_addf(out, "%s: %" PRId64 " of %" PRId64 " slots are taken", h->name, h->used, h->slots);
}

static int64_t not_negative(int64_t n) {
    return n > 0 ? n : 0;
}

static void tell_memory(const struct host *h, const struct api_explain *e, struct buf *out) {
    char need[UNITS_TEXT_MAX], have[UNITS_TEXT_MAX], all[UNITS_TEXT_MAX];
    units_format_size(e->memory_bytes, need);
    units_format_size(h->memory, all);
    units_format_size(not_negative(h->memory - h->memory_used), have);
    if (e->memory_bytes > h->memory)
        buf_addf(out, "%s: the job needs %s, there are %s for all jobs", h->name, need, all);
    else
        buf_addf(out, "%s: the job needs %s, %s of %s are free", h->name, need, have, all);
}

static void tell_cpus(const struct host *h, const struct api_explain *e, struct buf *out) {
    char need[UNITS_TEXT_MAX], have[UNITS_TEXT_MAX], all[UNITS_TEXT_MAX];
    units_format_milli(e->cpus_milli, need);
    units_format_milli(h->cpus, all);
    units_format_milli(not_negative(h->cpus - h->cpus_used), have);
    if (e->cpus_milli > h->cpus)
        buf_addf(out, "%s: the job needs %s CPUs, there are %s for all jobs", h->name, need, all);
    else
        buf_addf(out, "%s: the job needs %s CPUs, %s of %s are free", h->name, need, have, all);
}

static const struct resource {
    const char *limit;
    bool (*lacks)(const struct host *h, const struct api_explain *e);
    void (*tell)(const struct host *h, const struct api_explain *e, struct buf *out);
} resources[] = {
    {"slots", lacks_slots, tell_slots},
    {"memory", lacks_memory, tell_memory},
    {"cpus", lacks_cpus, tell_cpus},
};

/* --- All orchestrators together --- */

static bool is_usable(const struct host *h) {
    return h->alive && !h->draining;
}

static bool has_room(const struct host *h, const struct api_explain *e) {
    for (size_t i = 0; i < ARRAY_LEN(resources); i++)
        if (resources[i].lacks(h, e))
            return false;
    return true;
}

static void tell_resource(struct explanation *x, const struct hosts *hosts, const struct resource *resource) {
    AUTO_BUF struct buf text = BUF(EXPLAIN_TEXT_MAX);
    size_t told = 0, more = 0;
    for (size_t i = 0; i < hosts->count; i++) {
        const struct host *h = &hosts->items[i];
        if (!is_usable(h) || !resource->lacks(h, x->e))
            continue;
        if (told == EXPLAIN_HOSTS_TOLD) {
            more++;
            continue;
        }
        buf_adds(&text, told++ ? "; " : "");
        resource->tell(h, x->e, &text);
    }
    if (more)
        buf_addf(&text, "; and so on %zu more", more);
    if (told)
        explain_wait(x, resource->limit, "%s", buf_str(&text));
}

static size_t count_hosts(const struct hosts *hosts, bool usable) {
    size_t n = 0;
    for (size_t i = 0; i < hosts->count; i++)
        n += usable ? is_usable(&hosts->items[i]) : hosts->items[i].alive;
    return n;
}

static void tell_nobody(struct explanation *x, const struct hosts *hosts) {
    const struct host *last = NULL;
    char when[EXPLAIN_WHEN_MAX];
    for (size_t i = 0; i < hosts->count; i++)
        if (!last || hosts->items[i].heartbeat_us > last->heartbeat_us)
            last = &hosts->items[i];
    if (last)
        explain_wait(x, "no_orchestrator", "no orchestrator is there; the last one heard of is %s, %s",
                     last->name, explain_when(x, last->heartbeat_us, when));
    else
        explain_wait(x, "no_orchestrator", "no orchestrator was ever there; start berthd");
}

static void tell_draining(struct explanation *x, const struct hosts *hosts) {
    AUTO_BUF struct buf names = BUF(EXPLAIN_TEXT_MAX);
    size_t all = 0;
    for (size_t i = 0; i < hosts->count; i++)
        if (hosts->items[i].alive && all++ < EXPLAIN_HOSTS_TOLD)
            buf_addf(&names, "%s%s", all > 1 ? ", " : "", hosts->items[i].name);
    if (all > EXPLAIN_HOSTS_TOLD)
        buf_addf(&names, " and %zu more", all - EXPLAIN_HOSTS_TOLD);
    explain_wait(x, "draining", "every orchestrator that is there takes up no more jobs: %s",
                 buf_str(&names));
    x->all_drain = true;
}

/* True: some orchestrator has room. */
static bool look_at_hosts(struct explanation *x) {
    AUTO_JSON json_t *list = json_loads(x->e->hosts ? x->e->hosts : "[]", 0, NULL);
    struct hosts hosts = {.count = 0};
    read_hosts(list, &hosts);
    if (count_hosts(&hosts, false) == 0) {
        tell_nobody(x, &hosts);
        return false;
    }
    if (count_hosts(&hosts, true) == 0) {
        tell_draining(x, &hosts);
        return false;
    }
    for (size_t i = 0; i < hosts.count; i++)
        if (is_usable(&hosts.items[i]) && has_room(&hosts.items[i], x->e))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(resources); i++)
        tell_resource(x, &hosts, &resources[i]);
    return false;
}

/* --- The queue --- */

static bool key_is_full(const struct api_explain *e) {
    return e->concurrency_key && e->key_count >= e->concurrency_max;
}

static void tell_key(struct explanation *x) {
    const struct api_explain *e = x->e;
    AUTO_JSON json_t *ids = json_loads(e->key_holders ? e->key_holders : "[]", 0, NULL);
    AUTO_BUF struct buf text = BUF(EXPLAIN_TEXT_MAX);
    size_t i;
    const json_t *id;
    json_array_foreach(ids, i, id) buf_addf(&text, "%s%s", i ? ", " : "", json_string_value(id));
    explain_wait(x, "concurrency",
                 "of the key \"%s\" %" PRId64 " may be under way at once; %" PRId64 " are: %s",
                 e->concurrency_key, e->concurrency_max, e->key_count, buf_str(&text));
}

static void tell_order(struct explanation *x) {
    bool more = x->e->ahead > API_AHEAD_MAX;
    explain_wait(x, "queue_order", "%s%" PRId64 " %s before it: by priority, then by age",
                 more ? "more than " : "", more ? (int64_t)API_AHEAD_MAX : x->e->ahead,
                 x->e->ahead == 1 ? "job is" : "jobs are");
}

static void tell_next(struct explanation *x, bool room) {
    const struct api_explain *e = x->e;
    char when[EXPLAIN_WHEN_MAX];
    const char *words = x->all_drain ? "It is taken up when one of them is told to (berth undrain NAME), or "
                                       "another one comes"
                        : !room      ? "An orchestrator takes it up as soon as one has room for it"
                        : key_is_full(e) && e->ahead > 0
                            ? "It is taken up when those before it have been and its key is free"
                        : key_is_full(e) ? "It is taken up when one of the jobs with its key has ended"
                        : e->ahead > 0   ? "It is taken up when those before it have been"
                                         : "An orchestrator takes it up with its next look, which comes soon";
    buf_adds(&x->next, words);
    if (e->queue_deadline_us != API_NONE)
        buf_addf(&x->next, "; if none has by %s, it ends as timed_out/queue_deadline",
                 explain_when(x, e->queue_deadline_us, when));
    buf_adds(&x->next, ".");
}

void explain_queue(struct explanation *x) {
    x->position = x->e->ahead + 1;
    bool room = look_at_hosts(x);
    if (key_is_full(x->e))
        tell_key(x);
    if (x->e->ahead > 0)
        tell_order(x);
    tell_next(x, room);
}
