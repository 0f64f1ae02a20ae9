#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "proto/spec_private.h"

enum { DEADLINE_DEFAULT_MS = 60000 };

/* A label as RFC 1123, section 2.1 lets hosts be called, that no resolver takes for an address. */
static const char *name_fault(const char *name) {
    static const char *const taken[] = {"main", "system", "localhost"};
    static const char inner[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    size_t len = strlen(name);
    struct in_addr address;
    if (len == 0 || len > SPEC_SERVICE_NAME_MAX)
        return "must have 1 to 24 characters";
    if (strspn(name, inner) < len || name[0] == '-' || name[len - 1] == '-')
        return "must be a host name: lower-case letters and digits, and - between them";
    if (inet_aton(name, &address))
        return "reads as an address; put a letter into it";
    for (size_t i = 0; i < ARRAY_LEN(taken); i++)
        if (strcmp(name, taken[i]) == 0)
            return "is a name that Berth or the container itself needs; choose another";
    return NULL;
}

static void read_name(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field) {
    const char *text = spec_text(r, at, value, SPEC_NAME_MAX);
    const char *fault = text ? name_fault(text) : NULL;
    char quote[SPEC_QUOTE_MAX];
    if (fault)
        spec_fault(r->faults, at, "\"%s\" %s", spec_quote(text, quote), fault);
    else if (text)
        *(char **)spec_place(r, field) = mem_strdup(text);
}

#define PLACE(member) .offset = offsetof(struct spec_service, member)

const struct spec_field spec_service_fields[] = {
    {.name = "name", .read = read_name, PLACE(name)},
    {.name = "image", .read = spec_read_image, PLACE(image)},
    {.name = "env", .read = spec_read_env, PLACE(env)},
    {.name = "command",
     .read = spec_read_list,
     PLACE(command),
     .given = offsetof(struct spec_service, has_command)},
    {.name = "limits", .read = spec_read_object, PLACE(limits), .members = spec_service_limits_fields},
    {.name = "ready", .read = spec_read_ready, PLACE(ready), .members = spec_ready_fields},
    {.name = "deadline", .read = spec_read_duration, PLACE(deadline_ms), .range = &spec_start_range},
    {.name = "hardening", .read = spec_read_object, PLACE(hardening), .members = spec_hardening_fields},
    {0},
};

static void read_service(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                         struct spec_service *service) {
    struct spec_at name = {.parent = at, .key = "name"};
    struct spec_at image = {.parent = at, .key = "image"};
    spec_limits_default(&service->limits, r->policy);
    service->limits.log_bytes = 0;
    service->deadline_ms = spec_within(DEADLINE_DEFAULT_MS, r->policy->max_start_ms);
    spec_read_members(r, at, value, spec_service_fields, service);
    if (!json_is_object(value))
        return;
    if (!json_object_get(value, "name"))
        spec_fault(r->faults, &name, "is missing; by this name the job reaches the service");
    if (!json_object_get(value, "image"))
        spec_fault(r->faults, &image, "is missing; name the image that the service runs in");
}

static void check_unique(struct spec_reader *r, const struct spec_at *services, size_t i) {
    const struct spec_service *all = r->spec->services;
    struct spec_at element = {.parent = services, .index = i};
    struct spec_at name = {.parent = &element, .key = "name"};
    for (size_t k = 0; all[i].name && k < i; k++)
        if (all[k].name && strcmp(all[k].name, all[i].name) == 0) {
            spec_fault(r->faults, &name, "\"%s\" is there twice; give each service a name of its own",
                       all[i].name);
            return;
        }
}

void spec_read_services(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                        const struct spec_field *field) {
    size_t i;
    json_t *item;
    (void)field;
    if (!spec_is_array(r, at, value, SPEC_SERVICES_MAX,
                       "services such as [{\"name\": \"db\", \"image\": \"postgres:17\"}]"))
        return;
    r->spec->services_count = json_array_size(value);
    r->spec->services = mem_alloc(r->spec->services_count * sizeof *r->spec->services);
    json_array_foreach(value, i, item) {
        struct spec_at here = {.parent = at, .index = i};
        read_service(r, &here, item, &r->spec->services[i]);
        check_unique(r, at, i);
    }
}

void spec_check_services(struct spec_reader *r, const struct spec_at *top, bool network_named) {
    struct spec_at network = {.parent = top, .key = "network"};
    struct spec_at services = {.parent = top, .key = "services"};
    struct spec *s = r->spec;
    int64_t ceiling = r->policy->max_memory_bytes;
    char sum[UNITS_TEXT_MAX];
    char bound[UNITS_TEXT_MAX];
    if (!s->services_count)
        return;
    if (network_named && s->network != SPEC_NETWORK_PRIVATE)
        spec_fault(r->faults, &network,
                   "must be \"private\", or left out, for a job with services: they are reached in a network "
                   "of the job's own");
    s->network = SPEC_NETWORK_PRIVATE;
    if (ceiling && spec_memory_bytes(s) > ceiling)
        spec_fault(r->faults, &services,
                   "and the main container have %s of memory together, and that is over the ceiling of %s "
                   "that the operator has set (BERTH_MAX_MEMORY)",
                   units_format_size(spec_memory_bytes(s), sum), units_format_size(ceiling, bound));
}

void spec_service_done(struct spec_service *service) {
    free(service->name);
    free(service->image);
    spec_list_done(&service->command);
    spec_pairs_done(&service->env);
    spec_limits_done(&service->limits);
    spec_list_done(&service->hardening.cap_add);
    free(service->ready.path);
    spec_list_done(&service->ready.command);
    free(service->ready.log);
}

int64_t spec_memory_bytes(const struct spec *spec) {
    int64_t sum = spec->limits.memory_bytes;
    for (size_t i = 0; i < spec->services_count; i++)
        sum += spec->services[i].limits.memory_bytes;
    return sum;
}

int64_t spec_cpus_milli(const struct spec *spec) {
    int64_t sum = spec->limits.cpus_milli;
    for (size_t i = 0; i < spec->services_count && sum; i++)
        sum = spec->services[i].limits.cpus_milli ? sum + spec->services[i].limits.cpus_milli : 0;
    return sum;
}
