#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "proto/spec_private.h"

enum { CAP_NAME_MAX = 24 };

/* capabilities(7), in the order of linux/capability.h. */
static const char *const known_caps[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};

const char *const spec_default_caps[] = {"CHOWN",  "DAC_OVERRIDE", "FOWNER",           "FSETID", "SETUID",
                                         "SETGID", "KILL",         "NET_BIND_SERVICE", NULL};

static const char *without_prefix(const char *name) {
    return strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name;
}

static const char *find_cap(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(known_caps); i++)
        if (strcasecmp(without_prefix(name), known_caps[i]) == 0)
            return known_caps[i];
    return NULL;
}

/* Whether `name` is a word of a list with commas or blanks between ("SYS_PTRACE, CAP_NET_RAW"), or the list
 * says ALL. */
static bool listed(const char *list, const char *name) {
    static const char between[] = ", \t";
    for (const char *p = list; p && *p;) {
        p += strspn(p, between);
        size_t len = strcspn(p, between);
        char word[CAP_NAME_MAX + sizeof "CAP_"];
        if (len < sizeof word) {
            memcpy(word, p, len);
            word[len] = '\0';
            if (strcasecmp(without_prefix(word), name) == 0 || strcasecmp(word, "ALL") == 0)
                return true;
        }
        p += len;
    }
    return false;
}

static bool is_default(const char *name) {
    for (size_t i = 0; spec_default_caps[i]; i++)
        if (strcmp(spec_default_caps[i], name) == 0)
            return true;
    return false;
}

static void read_cap(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     struct spec_list *caps) {
    char quote[SPEC_QUOTE_MAX];
    const char *text = spec_text(r, at, value, SPEC_STRING_MAX);
    if (!text)
        return;
    const char *cap = find_cap(text);
    if (!cap) {
        spec_fault(r->faults, at, "\"%s\" is no capability; see capabilities(7) for their names",
                   spec_quote(text, quote));
        return;
    }
    if (!is_default(cap) && !listed(r->policy->allowed_caps, cap)) {
        spec_fault(r->faults, at,
                   "%s is not among the capabilities that the operator allows (BERTH_ALLOWED_CAPS)", cap);
        return;
    }
    for (size_t i = 0; i < caps->count; i++)
        if (strcmp(caps->items[i], cap) == 0)
            return;
    spec_list_add(caps, cap);
}

static void read_cap_add(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                         const struct spec_field *field) {
    if (!spec_is_array(r, at, value, ARRAY_LEN(known_caps), "capabilities such as [\"CHOWN\"]"))
        return;
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item) {
        struct spec_at here = {.parent = at, .index = i};
        read_cap(r, &here, item, spec_place(r, field));
    }
}

static void read_caps(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field) {
    const char *text = json_string_value(value);
    if (text && strcmp(text, "none") == 0)
        *(bool *)spec_place(r, field) = true;
    else
        spec_fault(r->faults, at, "must be \"none\" (drop all capabilities), or left out");
}

const struct spec_field spec_hardening_fields[] = {
    {.name = "read_only", .read = spec_read_bool, .offset = offsetof(struct spec_hardening, read_only)},
    {.name = "caps", .read = read_caps, .offset = offsetof(struct spec_hardening, caps_none)},
    {.name = "cap_add", .read = read_cap_add, .offset = offsetof(struct spec_hardening, cap_add)},
    {0},
};
