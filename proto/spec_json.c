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

static json_t *milli_to_json(int64_t milli) {
    return milli % 1000 ? json_real((double)milli / 1000) : json_integer(milli / 1000);
}

static json_t *limits_to_json(const struct spec_limits *limits) {
    json_t *doc = json_object();
    if (limits->cpus_milli)
        json_object_set_new(doc, "cpus", milli_to_json(limits->cpus_milli));
    set_size(doc, "memory", limits->memory_bytes);
    json_object_set_new(doc, "pids", json_integer(limits->pids));
    set_size(doc, "shm", limits->shm_bytes);
    json_object_set_new(doc, "nofile", json_integer(limits->nofile));
    if (limits->log_bytes)
        set_size(doc, "log", limits->log_bytes);
    if (limits->tmpfs_count) {
        json_t *tmpfs = json_object();
        for (size_t i = 0; i < limits->tmpfs_count; i++)
            set_size(tmpfs, limits->tmpfs[i].path, limits->tmpfs[i].bytes);
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
    set_duration(doc, "idle", s->deadlines.idle_ms); /* also of 0: the operator's default may be another */
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

static json_t *hardening_to_json(const struct spec_hardening *hardening) {
    json_t *doc = json_object();
    json_object_set_new(doc, "read_only", json_boolean(hardening->read_only));
    if (hardening->caps_none)
        set_text(doc, "caps", "none");
    if (hardening->cap_add.count)
        json_object_set_new(doc, "cap_add", list_to_json(&hardening->cap_add));
    return doc;
}

static json_t *retry_to_json(const struct spec *s) {
    json_t *doc = json_object();
    json_object_set_new(doc, "max", json_integer(s->retry.max));
    set_duration(doc, "delay", s->retry.delay_ms);
    json_object_set_new(doc, "factor", milli_to_json(s->retry.factor_milli));
    set_duration(doc, "max_delay", s->retry.max_delay_ms);
    if (s->retry.on.count)
        json_object_set_new(doc, "on", list_to_json(&s->retry.on));
    if (s->retry.exit_codes_count) {
        json_t *codes = json_array();
        for (size_t i = 0; i < s->retry.exit_codes_count; i++)
            json_array_append_new(codes, json_integer(s->retry.exit_codes[i]));
        json_object_set_new(doc, "exit_codes", codes);
    }
    return doc;
}

static json_t *ready_to_json(const struct spec_ready *ready) {
    switch (ready->kind) {
    case SPEC_READY_TCP:
        return json_pack("{s:I}", "tcp", (json_int_t)ready->port);
    case SPEC_READY_HTTP:
        return json_pack(
            "{s:o}", "http",
            json_sprintf("http://:%" JSON_INTEGER_FORMAT "%s", (json_int_t)ready->port, ready->path));
    case SPEC_READY_COMMAND:
        return json_pack("{s:o}", "command", list_to_json(&ready->command));
    case SPEC_READY_LOG:
        return json_pack("{s:s}", "log", ready->log);
    case SPEC_READY_HEALTH:
        return json_pack("{s:b}", "health", 1);
    case SPEC_READY_DEFAULT:
        break;
    }
    return NULL;
}

static json_t *service_to_json(const struct spec_service *service) {
    json_t *doc = json_object();
    set_text(doc, "name", service->name);
    set_text(doc, "image", service->image);
    if (service->env.count)
        json_object_set_new(doc, "env", pairs_to_json(&service->env));
    if (service->has_command)
        json_object_set_new(doc, "command", list_to_json(&service->command));
    json_object_set_new(doc, "limits", limits_to_json(&service->limits));
    if (service->ready.kind != SPEC_READY_DEFAULT)
        json_object_set_new(doc, "ready", ready_to_json(&service->ready));
    set_duration(doc, "deadline", service->deadline_ms);
    json_object_set_new(doc, "hardening", hardening_to_json(&service->hardening));
    return doc;
}

static json_t *services_to_json(const struct spec *s) {
    json_t *array = json_array();
    for (size_t i = 0; i < s->services_count; i++)
        json_array_append_new(array, service_to_json(&s->services[i]));
    return array;
}

static json_t *mounts_to_json(const struct spec *s) {
    json_t *array = json_array();
    for (size_t i = 0; i < s->mounts_count; i++) {
        const struct spec_mount *mount = &s->mounts[i];
        json_t *doc = json_object();
        set_text(doc, "type", spec_mount_words[mount->type]);
        set_text(doc, "source", mount->source);
        set_text(doc, "target", mount->target);
        json_object_set_new(doc, "read_only", json_boolean(mount->read_only));
        if (mount->bytes)
            set_size(doc, "size", mount->bytes);
        json_array_append_new(array, doc);
    }
    return array;
}

static json_t *concurrency_to_json(const struct spec *s) {
    return json_pack("{s:s, s:I, s:s}", "key", s->concurrency.key, "max", (json_int_t)s->concurrency.max,
                     "on_conflict", spec_conflict_words[s->concurrency.on_conflict]);
}

/* What is absent where there is none of it. */
static void set_optional(json_t *doc, const struct spec *s) {
    if (s->retry.max)
        json_object_set_new(doc, "retry", retry_to_json(s));
    if (s->services_count)
        json_object_set_new(doc, "services", services_to_json(s));
    if (s->mounts_count)
        json_object_set_new(doc, "mounts", mounts_to_json(s));
    if (s->concurrency.key)
        json_object_set_new(doc, "concurrency", concurrency_to_json(s));
    if (s->labels.count)
        json_object_set_new(doc, "labels", pairs_to_json(&s->labels));
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
    json_object_set_new(doc, "limits", limits_to_json(&s->limits));
    json_object_set_new(doc, "deadlines", deadlines_to_json(s));
    json_object_set_new(doc, "stop", stop_to_json(s));
    set_text(doc, "pull", spec_pull_words[s->pull]);
    set_text(doc, "network", spec_network_words[s->network]);
    json_object_set_new(doc, "hardening", hardening_to_json(&s->hardening));
    json_object_set_new(doc, "priority", json_integer(s->priority));
    if (s->run_at_us) {
        char text[CLOCK_RFC3339_MAX];
        set_text(doc, "run_at", clock_format_rfc3339(s->run_at_us, text));
    }
    set_optional(doc, s);
    return doc;
}

char *spec_labels_text(const struct spec *spec) {
    AUTO_JSON json_t *labels = pairs_to_json(&spec->labels);
    return json_dumps(labels, JSON_COMPACT);
}
