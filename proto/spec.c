#include "proto/spec.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "proto/spec_private.h"

void spec_read_later(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     const struct spec_field *field) {
    (void)value;
    (void)field;
    spec_fault(r->faults, at, "is not available in this version yet; leave it out");
}

static const struct spec_field *find_field(const struct spec_field *fields, const char *name) {
    for (; fields->name; fields++)
        if (strcmp(fields->name, name) == 0)
            return fields;
    return NULL;
}

/* What other systems give a container of its host, and this one does not, wherever it is asked for. */
static bool asks_for_host(const char *key) {
    static const char *const wishes[] = {
        "privileged", "pid",     "pid_mode",      "ipc",     "ipc_mode",     "uts",        "uts_mode",
        "userns",     "devices", "cgroup_parent", "sysctls", "security_opt", "host_config"};
    for (size_t i = 0; i < ARRAY_LEN(wishes); i++)
        if (strcmp(key, wishes[i]) == 0)
            return true;
    return false;
}

static void refuse_unknown(struct spec_reader *r, const struct spec_at *at, const struct spec_field *known) {
    const char *nearest = spec_nearest(at->key, known);
    if (asks_for_host(at->key))
        spec_fault(
            r->faults, at,
            "is not a known field: a job gets no privileged mode, namespaces, devices or kernel settings "
            "of the host");
    else if (nearest)
        spec_fault(r->faults, at, "is not a known field; did you mean \"%s\"?", nearest);
    else
        spec_fault(r->faults, at, "is not a known field");
}

void *spec_place(const struct spec_reader *r, const struct spec_field *field) {
    return (char *)r->base + field->offset;
}

void spec_read_members(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                       const struct spec_field *members, void *base) {
    if (!json_is_object(value)) {
        spec_fault(r->faults, at, "must be an object, not %s", spec_type_name(value));
        return;
    }
    void *around = r->base;
    r->base = base;
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)value, key, member) {
        struct spec_at here = {.parent = at, .key = key};
        const struct spec_field *f = find_field(members, key);
        if (f)
            f->read(r, &here, member, f);
        else
            refuse_unknown(r, &here, members);
    }
    r->base = around;
}

void spec_read_object(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field) {
    spec_read_members(r, at, value, field->members, spec_place(r, field));
}

int64_t spec_within(int64_t value, int64_t ceiling) {
    return ceiling && (!value || value > ceiling) ? ceiling : value;
}

/* A default above its ceiling is an operator's slip that no user can mend: the ceiling counts. */
void spec_limits_default(struct spec_limits *limits, const struct spec_policy *p) {
    limits->cpus_milli = spec_within(p->default_cpus_milli, p->max_cpus_milli);
    limits->memory_bytes = spec_within(p->default_memory_bytes, p->max_memory_bytes);
    limits->pids = spec_within(p->default_pids, p->max_pids);
    limits->shm_bytes = spec_within(p->default_shm_bytes, p->max_shm_bytes);
    limits->nofile = spec_within(p->default_nofile, p->max_nofile);
    limits->log_bytes = spec_within(p->default_log_bytes, p->max_log_bytes);
}

static void set_defaults(struct spec *s, const struct spec_policy *p) {
    spec_limits_default(&s->limits, p);
    s->deadlines.queue_ms = spec_within(p->default_queue_ms, p->max_queue_ms);
    s->deadlines.pull_ms = spec_within(p->default_pull_ms, p->max_pull_ms);
    s->deadlines.start_ms = spec_within(p->default_start_ms, p->max_start_ms);
    s->deadlines.run_ms = spec_within(p->default_run_ms, p->max_run_ms);
    s->deadlines.idle_ms = spec_within(p->default_idle_ms, p->max_idle_ms);
    s->stop.grace_ms =
        p->max_grace_ms && p->default_grace_ms > p->max_grace_ms ? p->max_grace_ms : p->default_grace_ms;
}

/* What no single field can see. */
static void check_together(struct spec_reader *r, const json_t *doc, const struct spec_at *top) {
    struct spec_at image = {.parent = top, .key = "image"};
    struct spec_at script = {.parent = top, .key = "script"};
    if (!json_object_get(doc, "image"))
        spec_fault(r->faults, &image,
                   "is missing; name the image that the job runs in, such as \"debian:bookworm-slim\"");
    if (json_object_get(doc, "script") && json_object_get(doc, "command"))
        spec_fault(r->faults, &script, "and command exclude each other; leave one of them out");
    spec_check_services(r, top, json_object_get(doc, "network"));
    spec_check_mounts(r, top);
}

/* `script` is a command of its own: the image's entrypoint must not take it for arguments. */
static void carry_out_script(struct spec *s) {
    if (!s->script)
        return;
    static const char *const shell[] = {"/bin/sh", "-e", "-c"};
    spec_list_done(&s->command);
    for (size_t i = 0; i < ARRAY_LEN(shell); i++)
        spec_list_add(&s->command, shell[i]);
    spec_list_add(&s->command, s->script);
    s->has_command = s->has_entrypoint = true;
}

int spec_parse(const json_t *doc, const struct spec_policy *policy, struct spec **ret_spec,
               struct spec_faults *faults) {
    AUTO_SPEC struct spec *spec = mem_alloc(sizeof *spec);
    struct spec_reader r = {.policy = policy, .spec = spec, .faults = faults};
    struct spec_at top = {0};
    size_t before = faults->count;
    set_defaults(spec, policy);
    spec_read_members(&r, &top, doc, spec_top_fields, spec);
    if (json_is_object(doc))
        check_together(&r, doc, &top);
    if (faults->count > before || faults->omitted)
        return -1;
    carry_out_script(spec);
    *ret_spec = STEAL(spec);
    return 0;
}

int spec_parse_text(const char *text, size_t len, const struct spec_policy *policy, struct spec **ret_spec,
                    struct spec_faults *faults) {
    struct spec_at top = {0};
    if (len > SPEC_BYTES_MAX) {
        spec_fault(faults, &top, "has %zu bytes; at most %d are allowed", len, SPEC_BYTES_MAX);
        return -1;
    }
    json_error_t error;
    /* NUL is let through here and told by the field that has it. */
    AUTO_JSON json_t *doc =
        json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (!doc) { /* JSON has numbers of any size; ours has not */
        bool number = json_error_code(&error) == json_error_numeric_overflow;
        spec_fault(faults, &top, "%s: %s (line %d, column %d)",
                   number ? "has a number that is too large" : "is not JSON", error.text, error.line,
                   error.column);
        return -1;
    }
    return spec_parse(doc, policy, ret_spec, faults);
}

static void each_field(const char *around, const struct spec_field *fields,
                       void (*visit)(const char *pointer, bool available, void *arg), void *arg) {
    for (; fields->name; fields++) {
        AUTO_FREE char *pointer = mem_printf("%s/%s", around, fields->name);
        AUTO_FREE char *inside = mem_printf("%s%s", pointer, fields->array ? "/0" : "");
        visit(pointer, fields->read != spec_read_later, arg);
        if (fields->members)
            each_field(inside, fields->members, visit, arg);
    }
}

void spec_each_field(void (*visit)(const char *pointer, bool available, void *arg), void *arg) {
    each_field("", spec_top_fields, visit, arg);
}

void spec_free(struct spec *spec) {
    if (!spec)
        return;
    char *const texts[] = {spec->name, spec->image, spec->script,         spec->workdir,
                           spec->user, spec->input, spec->concurrency.key};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    spec_list_done(&spec->command);
    spec_list_done(&spec->entrypoint);
    spec_list_done(&spec->hardening.cap_add);
    spec_list_done(&spec->retry.on);
    spec_pairs_done(&spec->env);
    spec_pairs_done(&spec->labels);
    spec_limits_done(&spec->limits);
    for (size_t i = 0; i < spec->services_count; i++)
        spec_service_done(&spec->services[i]);
    free(spec->services);
    for (size_t i = 0; i < spec->mounts_count; i++)
        spec_mount_done(&spec->mounts[i]);
    free(spec->mounts);
    free(spec);
}
