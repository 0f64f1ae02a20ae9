#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/units.h"
#include "proto/spec_private.h"

static json_t *list_to_json(const struct spec_list *list) {
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, json_string(list->items[i]));
    return array;
}

static json_t *pairs_to_json(const struct spec_pairs *pairs) {
    json_t *object = json_object();
    for (size_t i = 0; i < pairs->count; i++)
        json_object_set_new(object, pairs->items[i].key, json_string(pairs->items[i].value));
    return object;
}

static void set_text(json_t *doc, const char *key, const char *text) {
    if (text)
        json_object_set_new(doc, key, json_string(text));
}

static void set_size(json_t *doc, const char *key, int64_t bytes) {
    char text[UNITS_TEXT_MAX];
    set_text(doc, key, units_format_size(bytes, text));
}

static void set_duration(json_t *doc, const char *key, int64_t ms) {
    char text[UNITS_TEXT_MAX];
    set_text(doc, key, units_format_duration(ms, text));
}

static json_t *limits_to_json(const struct spec *s) {
    json_t *doc = json_object();
    int64_t milli = s->limits.cpus_milli;
    if (milli)
        json_object_set_new(doc, "cpus",
                            milli % 1000 ? json_real((double)milli / 1000) : json_integer(milli / 1000));
    set_size(doc, "memory", s->limits.memory_bytes);
    json_object_set_new(doc, "pids", json_integer(s->limits.pids));
    set_size(doc, "shm", s->limits.shm_bytes);
    json_object_set_new(doc, "nofile", json_integer(s->limits.nofile));
    set_size(doc, "log", s->limits.log_bytes);
    if (s->limits.tmpfs_count) {
        json_t *tmpfs = json_object();
        for (size_t i = 0; i < s->limits.tmpfs_count; i++)
            set_size(tmpfs, s->limits.tmpfs[i].path, s->limits.tmpfs[i].bytes);
        json_object_set_new(doc, "tmpfs", tmpfs);
    }
    return doc;
}

static json_t *deadlines_to_json(const struct spec *s) {
    json_t *doc = json_object();
    if (s->deadlines.queue_ms)
        set_duration(doc, "queue", s->deadlines.queue_ms);
    set_duration(doc, "pull", s->deadlines.pull_ms);
    set_duration(doc, "start", s->deadlines.start_ms);
    set_duration(doc, "run", s->deadlines.run_ms);
    return doc;
}

static json_t *stop_to_json(const struct spec *s) {
    json_t *doc = json_object();
    const char *name = s->stop.signal ? sigabbrev_np(s->stop.signal) : NULL;
    if (name)
        json_object_set_new(doc, "signal", json_sprintf("SIG%s", name));
    else if (s->stop.signal)
        json_object_set_new(doc, "signal", json_integer(s->stop.signal));
    set_duration(doc, "grace", s->stop.grace_ms);
    return doc;
}

static json_t *hardening_to_json(const struct spec *s) {
    json_t *doc = json_object();
    json_object_set_new(doc, "read_only", json_boolean(s->hardening.read_only));
    if (s->hardening.caps_none)
        set_text(doc, "caps", "none");
    if (s->hardening.cap_add.count)
        json_object_set_new(doc, "cap_add", list_to_json(&s->hardening.cap_add));
    return doc;
}

/* What is to be run. A script brings its own command and clears the entrypoint, unless one was given. */
static void set_command(json_t *doc, const struct spec *s) {
    if (s->has_command && !s->script)
        json_object_set_new(doc, "command", list_to_json(&s->command));
    set_text(doc, "script", s->script);
    if (s->has_entrypoint && (!s->script || s->entrypoint.count))
        json_object_set_new(doc, "entrypoint", list_to_json(&s->entrypoint));
}

json_t *spec_to_json(const struct spec *s) {
    static const char *const pulls[] = {
        [SPEC_PULL_MISSING] = "missing", [SPEC_PULL_ALWAYS] = "always", [SPEC_PULL_NEVER] = "never"};
    static const char *const networks[] = {[SPEC_NETWORK_EGRESS] = "egress", [SPEC_NETWORK_NONE] = "none"};
    json_t *doc = json_object();
    set_text(doc, "name", s->name);
    set_text(doc, "image", s->image);
    set_command(doc, s);
    if (s->env.count)
        json_object_set_new(doc, "env", pairs_to_json(&s->env));
    set_text(doc, "workdir", s->workdir);
    set_text(doc, "user", s->user);
    if (s->input)
        json_object_set_new(doc, "input", json_loads(s->input, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL));
    json_object_set_new(doc, "limits", limits_to_json(s));
    json_object_set_new(doc, "deadlines", deadlines_to_json(s));
    json_object_set_new(doc, "stop", stop_to_json(s));
    set_text(doc, "pull", pulls[s->pull]);
    set_text(doc, "network", networks[s->network]);
    json_object_set_new(doc, "hardening", hardening_to_json(s));
    json_object_set_new(doc, "priority", json_integer(s->priority));
    if (s->run_at_us) {
        char text[CLOCK_RFC3339_MAX];
        set_text(doc, "run_at", clock_format_rfc3339(s->run_at_us, text));
    }
    if (s->labels.count)
        json_object_set_new(doc, "labels", pairs_to_json(&s->labels));
    return doc;
}

char *spec_labels_text(const struct spec *spec) {
    AUTO_JSON json_t *labels = pairs_to_json(&spec->labels);
    return json_dumps(labels, JSON_COMPACT);
}
