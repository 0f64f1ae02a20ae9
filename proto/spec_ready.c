#include <ctype.h>
#include <limits.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "proto/spec_private.h"

enum {
    PORT_MAX = 65535,
    EXPRESSION_SIZE_MAX = 2000, /* nodes that regcomp(3) makes of it */
    REPEAT_SIZE = 20, /* in nodes: what can be passed over costs memory by the square of its number */
    REGERROR_MAX = 128,
};

static const struct spec_range port_range = {.min = 1, .max = PORT_MAX, .format = spec_format_count};

static void read_tcp(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     const struct spec_field *field) {
    struct spec_ready *ready = r->base;
    (void)field;
    ready->kind = SPEC_READY_TCP;
    ready->port = spec_count(r, at, value, &port_range);
}

/* What stands behind the port: nothing, or a path that needs no more encoding to be asked for (RFC
 * 9112, 3.2.1). */
static bool is_path(const char *text) {
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p > '~' || *p == '#')
            return false;
    return *text == '\0' || *text == '/';
}

static void read_http(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                      const struct spec_field *field) {
    static const char scheme[] = "http://:";
    struct spec_ready *ready = r->base;
    char quote[SPEC_QUOTE_MAX];
    (void)field;
    ready->kind = SPEC_READY_HTTP;
    const char *text = spec_text(r, at, value, SPEC_READY_URL_MAX);
    if (!text)
        return;
    bool fits = strncmp(text, scheme, strlen(scheme)) == 0;
    const char *port = fits ? text + strlen(scheme) : "";
    size_t digits = strspn(port, "0123456789");
    long number = digits > 0 && digits <= strlen("65535") ? strtol(port, NULL, 10) : 0;
    if (number < 1 || number > PORT_MAX || !is_path(port + digits)) {
        spec_fault(
            r->faults, at,
            "\"%s\" must look like \"http://:8080/health\": a port of the service, no host before it, and "
            "a path without blanks behind it",
            spec_quote(text, quote));
        return;
    }
    ready->port = number;
    ready->path = mem_strdup(port[digits] ? port + digits : "/");
}

static void read_command(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                         const struct spec_field *field) {
    struct spec_ready *ready = r->base;
    ready->kind = SPEC_READY_COMMAND;
    if (json_is_array(value) && json_array_size(value) == 0)
        spec_fault(r->faults, at, "is empty; name the command that ends with 0 when the service is ready");
    else
        spec_read_list(r, at, value, field);
}

/* "*", "?", "+", "{3}", "{3,}", "{,3}", "{3,5}" at p: bytes of it, and how many copies of what stands before
 * it are made of it; 0 bytes: it is none. */
static size_t repeat(const char *p, int64_t *ret_copies) {
    char *end = (char *)p + 1;
    *ret_copies = *p == '+';
    if (*p != '{')
        return strchr("*?+", *p) != NULL;
    long least = isdigit((unsigned char)*end) ? strtol(end, &end, 10) : 0;
    long most = least;
    if (*end == ',') {
        end++;
        most = isdigit((unsigned char)*end) ? strtol(end, &end, 10) : least < LONG_MAX ? least + 1 : least;
    }
    *ret_copies = least > most ? least : most;
    return *end == '}' ? (size_t)(end + 1 - p) : 0;
}

/* Bytes of the bracket expression at p; it may hold "]" as its first member and within [: :], [. .], [= =].
 */
static size_t bracket(const char *p) {
    const char *q = p + 1 + (p[1] == '^');
    q += *q == ']';
    while (*q && *q != ']')
        if (*q == '[' && q[1] && strchr(":.=", q[1])) {
            const char closing[] = {q[1], ']', '\0'};
            const char *end = strstr(q + 2, closing);
            q = end ? end + 2 : q + 1;
        } else {
            q++;
        }
    return (size_t)(q - p) + (*q == ']');
}

/* Nodes that regcomp(3) makes of an expression, roughly: repeats are carried out by copying what they repeat,
 * so nested ones multiply and a few bytes can take all memory. */
static int64_t expression_size(const char *text) {
    int64_t sums[SPEC_READY_LOG_MAX + 1] = {0}; /* of what stands at each depth of parentheses */
    size_t depth = 0;
    int64_t last = 0; /* of what a repeat would copy */
    int64_t copies;
    for (const char *p = text; *p && sums[depth] <= EXPRESSION_SIZE_MAX;) {
        size_t len = 1;
        if (*p == '(') {
            sums[++depth] = last = 0;
        } else if (*p == ')' && depth > 0) {
            last = sums[depth--] + 1;
            sums[depth] += last;
        } else if ((len = repeat(p, &copies)) > 0) {
            if (copies > EXPRESSION_SIZE_MAX)
                return EXPRESSION_SIZE_MAX + 1;
            sums[depth] += last * copies + REPEAT_SIZE;
            last += last * copies + REPEAT_SIZE;
        } else {
            len = *p == '[' ? bracket(p) : *p == '\\' && p[1] ? 2 : 1;
            last = 1;
            sums[depth] += last;
        }
        p += len;
    }
    int64_t sum = 0;
    for (size_t i = 0; i <= depth; i++)
        sum += sums[i];
    return sum;
}

/* The GNU library knows them in extended expressions too, and looks for them in exponential time. */
static bool refers_back(const char *text) {
    for (const char *p = text; *p; p++)
        if (*p == '\\' && *++p >= '1' && *p <= '9')
            return true;
        else if (!*p)
            break;
    return false;
}

static void read_log(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     const struct spec_field *field) {
    struct spec_ready *ready = r->base;
    regex_t compiled;
    (void)field;
    ready->kind = SPEC_READY_LOG;
    const char *text = spec_text(r, at, value, SPEC_READY_LOG_MAX);
    if (!text)
        return;
    if (!*text) {
        spec_fault(r->faults, at, "is empty and would match every line; write a regular expression");
        return;
    }
    if (refers_back(text) || expression_size(text) > EXPRESSION_SIZE_MAX) {
        spec_fault(
            r->faults, at,
            "takes too much memory or time to match; use fewer and smaller repeats, and no \\1 to \\9");
        return;
    }
    int code = regcomp(&compiled, text, REG_EXTENDED | REG_NOSUB);
    if (code) {
        char why[REGERROR_MAX];
        regerror(code, &compiled, why, sizeof why);
        spec_fault(r->faults, at, "is not a POSIX extended regular expression: %s", why);
        return;
    }
    regfree(&compiled);
    ready->log = mem_strdup(text);
}

static void read_health(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                        const struct spec_field *field) {
    struct spec_ready *ready = r->base;
    (void)field;
    ready->kind = SPEC_READY_HEALTH;
    if (!json_is_true(value))
        spec_fault(r->faults, at, "must be true (the image's HEALTHCHECK decides), or left out");
}

const struct spec_field spec_ready_fields[] = {
    {.name = "tcp", .read = read_tcp},
    {.name = "http", .read = read_http},
    {.name = "command", .read = read_command, .offset = offsetof(struct spec_ready, command)},
    {.name = "log", .read = read_log},
    {.name = "health", .read = read_health},
    {0},
};

void spec_read_ready(struct spec_reader *r, const struct spec_at *at, const json_t *value,
                     const struct spec_field *field) {
    if (json_is_object(value) && json_object_size(value) != 1)
        spec_fault(r->faults, at, "must have exactly one of tcp, http, command, log and health");
    else
        spec_read_members(r, at, value, field->members, spec_place(r, field));
}
